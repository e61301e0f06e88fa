package httpapi

import (
	"io"
	"net/http"

	"github.com/debros/debros/structs"
)

func snapshotRoutes() []route {
	return []route{
		{
			method: "GET", pattern: "/v1/snapshot", handle: snapshotSave, errors: textErrors,
			doc: "Download an archive of the replicated state.", reply: "a tar.gz; a connection broken off means that it is not whole",
		},
		{
			method: "PUT", pattern: "/v1/snapshot", handle: snapshotRestore, errors: textErrors,
			doc:  "Replace the replicated state by that of an archive, after all of it was verified.",
			body: "the archive", reply: "nothing",
		},
	}
}

func snapshotSave(c *call) error {
	o, err := c.query()
	if err != nil {
		return err
	}
	o.Index, o.PerPage, o.NextToken = 0, 0, ""
	var ping structs.StatusReply
	// A ping fills the headers, which come before an archive of unknown length.
	if err := c.rpc("Status.Ping", &structs.QueryRequest{QueryOptions: o}, &ping); err != nil {
		return err
	}
	out := &lateWriter{c: c, meta: ping.QueryMeta, mediaType: "application/x-gzip", file: "debros.snap"}
	defer c.clearDeadline()
	if err := c.h.b.Stream(c.r.Context(), "Snapshot.Save", &structs.SnapshotRequest{QueryOptions: o}, nil, out); err != nil {
		return err // after the first byte this breaks the connection: half an archive must not look whole
	}
	if !c.w.started() {
		return structs.Errorf(structs.KindUnavailable, "the server gave no archive")
	}
	return nil
}

// lateWriter sends the headers with the first byte, so that an error before it is still an answer.
type lateWriter struct {
	c         *call
	meta      structs.QueryMeta
	mediaType string
	file      string // what a browser would call it
}

func (w *lateWriter) Write(p []byte) (int, error) {
	if !w.c.w.started() {
		w.c.meta(&w.meta)
		hdr := w.c.w.Header()
		hdr.Set("Content-Type", w.mediaType)
		hdr.Set("Content-Disposition", `attachment; filename="`+w.file+`"`)
		w.c.w.WriteHeader(http.StatusOK)
	}
	w.c.extendDeadline()
	return w.c.w.Write(p)
}

func snapshotRestore(c *call) error {
	limit := c.h.limits().SnapshotBytesMax
	const knob = "limits.snapshot_bytes_max"
	if err := c.refuseLong(limit, knob); err != nil {
		return err
	}
	in := &bodyReader{r: http.MaxBytesReader(c.w, c.r.Body, limit)}
	req := structs.SnapshotRequest{QueryOptions: structs.QueryOptions{Token: c.token, Namespace: c.ns, Datacenter: c.dc}}
	err := c.h.b.Stream(c.r.Context(), "Snapshot.Restore", &req, in, nil)
	if err != nil && in.err != nil { // the body is why, whatever became of it on the way
		return c.bodyError(in.err, limit, knob)
	}
	return c.done(err)
}

// bodyReader remembers why reading the body failed.
type bodyReader struct {
	r   io.Reader
	err error
}

func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}
