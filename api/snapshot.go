package api

import (
	"context"
	"io"
	"net/http"
	"time"
)

// Snapshot saves and restores the state of the whole cluster.
type Snapshot struct{ c *Client }

// Save streams an archive of the state. It is only good if it was read to io.EOF and can be
// verified (debros snapshot inspect): it ends with checksums.
func (s *Snapshot) Save(ctx context.Context, o *QueryOptions) (io.ReadCloser, *QueryMeta, error) {
	r := s.c.newRequest(http.MethodGet, "/v1/snapshot")
	r.query(o)
	r.streaming = true
	start := time.Now()
	reply, err := s.c.send(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	return reply.Body, queryMeta(reply.Header, time.Since(start)), nil
}

// Restore replaces the state of the whole cluster by that of an archive, after all of it was
// verified. It is sent once and never repeated.
func (s *Snapshot) Restore(ctx context.Context, archive io.Reader, o *WriteOptions) (*WriteMeta, error) {
	r := s.c.newRequest(http.MethodPut, "/v1/snapshot")
	r.stream, r.streaming, r.contentType = archive, true, "application/octet-stream"
	return s.c.put(ctx, r, o, nil)
}
