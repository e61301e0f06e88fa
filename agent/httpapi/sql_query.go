package httpapi

import (
	"context"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/debros/debros/agent/httpapi/sqljson"
	"github.com/debros/debros/structs"
)

func sqlQuery(c *call) error {
	req, err := c.sqlQueryRequest()
	if err != nil {
		return err
	}
	asJSON, err := c.wantsOneObject()
	if err != nil {
		return err
	}
	out := &rowStream{c: c, ndjson: !asJSON}
	err = c.sqlChunks(c.r.Context(), req, out.chunk)
	if err != nil && out.w != nil && out.failed == nil {
		return out.broken(err)
	}
	return err
}

func (c *call) sqlQueryRequest() (*structs.SQLQueryRequest, error) {
	req := &structs.SQLQueryRequest{}
	if c.r.Method == http.MethodGet {
		req.SQL = c.params.Get("q")
	} else {
		body, err := c.sqlBody()
		if err != nil {
			return nil, err
		}
		if err := sqljson.DecodeQuery(body, req); err != nil {
			return nil, err
		}
	}
	var err error
	if req.QueryOptions, err = c.query(); err != nil {
		return nil, err
	}
	if req.Index > 0 || req.PerPage > 0 {
		return nil, invalid("a SQL query neither blocks nor pages").WithHint("min_index waits for a write; LIMIT and a condition on the last row read page")
	}
	if req.Database, err = c.database(req.Database); err != nil {
		return nil, err
	}
	return req, c.sqlFreshness(req)
}

// wantsOneObject tells the two forms of a query's reply apart.
func (c *call) wantsOneObject() (bool, error) {
	switch f := c.params.Get("format"); f {
	case "json":
		return true, nil
	case "ndjson":
		return false, nil
	case "":
	default:
		return false, invalid("format=%q is neither json nor ndjson", shorten(f))
	}
	for accepted := range strings.SplitSeq(c.r.Header.Get("Accept"), ",") {
		switch kind, _, _ := mime.ParseMediaType(accepted); kind {
		case "application/json":
			return true, nil
		case "application/x-ndjson":
			return false, nil
		}
	}
	return false, nil
}

// sqlChunks runs a query and hands on the parts of its reply; the first has Begin, the last Done.
func (c *call) sqlChunks(ctx context.Context, req *structs.SQLQueryRequest, take func(*structs.SQLChunk) error) error {
	if c.params.Get("min_index") != "" { // it may wait
		done, err := c.h.watch(c)
		if err != nil {
			return err
		}
		defer done()
	}
	var failed error // of take: what it becomes on its way through the stream is not told to anybody
	ended := false
	frames := structs.FrameWriter{Frame: func(payload []byte) error {
		var chunk structs.SQLChunk
		if failed = structs.Decode(payload, &chunk); failed == nil {
			failed = take(&chunk)
		}
		ended = ended || chunk.Done != nil
		return failed
	}}
	err := c.h.b.Stream(ctx, "SQL.Query", req, nil, &frames)
	switch {
	case failed != nil:
		return failed
	case err == nil && !ended:
		return structs.Errorf(structs.KindUnavailable, "the server broke off its answer")
	}
	return err
}

// rowStream sends a query's reply as it comes.
type rowStream struct {
	c      *call
	ndjson bool
	w      *jsonWriter // nil until the first chunk
	rows   int64
	index  uint64
	failed error // of the connection to the client
}

func (s *rowStream) chunk(chunk *structs.SQLChunk) error {
	var b []byte
	if s.w == nil {
		switch {
		case chunk.Begin != nil:
		case chunk.Done != nil && chunk.Done.Err != nil: // refused before there were columns
			return chunk.Done.Err
		default:
			return structs.Errorf(structs.KindInternal, "a query's reply has no beginning")
		}
		b = s.begin(chunk.Begin)
	}
	for _, row := range chunk.Rows {
		if !s.ndjson && s.rows > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = sqljson.AppendRow(b, row); err != nil {
			return err
		}
		if s.ndjson {
			b = append(b, '\n')
		}
		s.rows++
		if b, s.failed = s.w.full(b); s.failed != nil {
			return s.failed
		}
	}
	switch {
	case chunk.Done == nil:
		if len(b) > 0 {
			s.failed = s.w.send(b)
		}
	case chunk.Done.Err != nil:
		s.failed = s.w.end(s.appendError(b, chunk.Done.Err))
	default:
		s.failed = s.w.end(s.appendEnd(b, chunk.Done))
	}
	return s.failed
}

func (s *rowStream) begin(begin *structs.SQLBegin) []byte {
	s.w = s.c.jsonWriter()
	s.c.meta(&begin.QueryMeta)
	s.index = max(begin.Index, 1)
	b := sqljson.AppendBegin(nil, begin)
	if s.ndjson {
		s.w.pretty = nil // a line is a value
		s.c.w.Header().Set("Content-Type", "application/x-ndjson")
		b = append(b, "}\n"...)
	} else {
		b = append(b, `,"rows":[`...)
	}
	s.c.w.WriteHeader(http.StatusOK)
	return b
}

func (s *rowStream) appendEnd(b []byte, done *structs.SQLDone) []byte {
	if s.ndjson {
		b = strconv.AppendInt(append(b, `{"rows":`...), s.rows, 10)
	} else {
		b = append(b, ']')
	}
	b = strconv.AppendUint(append(b, `,"index":`...), s.index, 10)
	b = sqljson.AppendMilliseconds(append(b, `,"elapsed_ms":`...), done.Elapsed)
	if s.ndjson {
		return append(b, "}\n"...)
	}
	return append(b, '}')
}

// appendError ends a reply whose rows are not all: there is no index then.
func (s *rowStream) appendError(b []byte, e *structs.Error) []byte {
	if s.ndjson {
		return append(sqljson.AppendError(append(b, `{"error":`...), e), "}\n"...)
	}
	return append(sqljson.AppendError(append(b, `],"error":`...), e), '}')
}

// broken ends a reply that has begun, for an error that did not come with the rows.
func (s *rowStream) broken(err error) error {
	if s.c.r.Context().Err() != nil {
		return err
	}
	e := structs.AsError(err)
	if e.Kind == structs.KindInternal {
		s.c.h.log.Error("query failed", "request_id", s.c.id, "error", err)
	}
	return s.w.end(s.appendError(nil, e))
}
