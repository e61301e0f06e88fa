package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/debros/debros/agent/httpapi/rqlite"
	"github.com/debros/debros/structs"
)

// query reads by one statement after the other and streams their rows.
func (d *dbCall) query() error {
	req := &structs.SQLQueryRequest{Database: d.params.Get("db")}
	var err error
	if req.QueryOptions, err = d.call.query(); err != nil {
		return err
	}
	req.Index, req.PerPage, req.NextToken = 0, 0, "" // as rqlite, which knows nothing of them
	req.Consistency = level(d.params.Get("level"))
	if req.Consistency == structs.Stale { // elsewhere it means nothing
		if err := d.readFreshness(req); err != nil {
			return err
		}
	}
	ctx, cancel, err := d.dbTimeout()
	if err != nil {
		return err
	}
	defer cancel()
	out := &dbStream{d: d, b: []byte(`{"results":[`)}
	for i, st := range d.statements {
		if i > 0 {
			out.b = append(out.b, ',')
		}
		req.SQLStatement = st
		if err := out.statement(ctx, req); err != nil {
			return err
		}
		if out.ended {
			return nil
		}
		req.MinIndex = max(req.MinIndex, out.index) // should another server answer the next one
	}
	return out.end(append(out.b, ']'))
}

// level is the consistency that a word means; an unknown one means weak, as in rqlite.
func level(word string) structs.Consistency {
	if level, known := levelOf(word); known {
		return level
	}
	return structs.Leader
}

// dbTimeout is the request's context, which ends after ?db_timeout=.
func (d *dbCall) dbTimeout() (context.Context, context.CancelFunc, error) {
	text := d.params.Get("db_timeout")
	if text == "" {
		return d.r.Context(), func() {}, nil
	}
	after, err := time.ParseDuration(text)
	if err != nil || after < 0 {
		return nil, nil, invalid(`db_timeout=%q is not a duration such as "5s"`, shorten(text))
	}
	if after == 0 {
		return d.r.Context(), func() {}, nil
	}
	ctx, cancel := context.WithTimeout(d.r.Context(), after)
	return ctx, cancel, nil
}

// dbStream sends the results of queries as they come. Nothing is sent before the first statement's first part is
// there, so that what keeps it from being run is still an HTTP status.
type dbStream struct {
	d     *dbCall
	w     *jsonWriter // nil until something is sent
	b     []byte
	index uint64
	ended bool
}

// statement runs one query. An error is the request's; a statement's own is in its result.
func (s *dbStream) statement(ctx context.Context, req *structs.SQLQueryRequest) error {
	start := time.Now()
	var rows *rqlite.Rows
	done := false
	var lost error // the connection to the client
	err := s.d.sqlChunks(ctx, req, func(chunk *structs.SQLChunk) (err error) {
		if rows == nil && chunk.Begin == nil && chunk.Done != nil && chunk.Done.Err != nil && !ofStatement(chunk.Done.Err.Kind) {
			return chunk.Done.Err
		}
		if chunk.Begin != nil {
			s.begin(&chunk.Begin.QueryMeta)
			rows = s.d.form.Rows(chunk.Begin.Columns, chunk.Begin.Types)
			s.index = chunk.Begin.Index
		}
		if rows == nil { // refused before there were columns
			s.begin(nil)
			rows = s.d.form.Rows(nil, nil)
		}
		if s.b, err = rows.Append(s.b, chunk.Rows); err != nil {
			return err
		}
		if chunk.Done != nil {
			s.b = rows.End(s.b, chunk.Done.Err, time.Since(start))
			done = true
		}
		s.b, lost = s.w.full(s.b)
		return lost
	})
	switch {
	case err == nil || lost != nil || s.d.r.Context().Err() != nil || done:
		return err
	case ctx.Err() != nil, structs.KindOf(err) == structs.KindCanceled: // a server elsewhere may see the deadline a moment before
		err = structs.Errorf(structs.KindCanceled, "query timeout")
		s.begin(nil)
	case s.w == nil && errors.Is(err, structs.ErrStaleRead):
		s.begin(nil)
		return s.end(append(s.b, `],"error":"stale read"`...))
	case s.w == nil:
		return err
	}
	// It is too late for a status: the result tells, and so does the whole.
	e := structs.AsError(err)
	if e.Kind == structs.KindInternal {
		s.d.h.log.Error("query failed", "request_id", s.d.id, "error", err)
	}
	if rows == nil {
		rows = s.d.form.Rows(nil, nil)
	}
	s.b = rows.End(s.b, e, time.Since(start))
	if e.Kind == structs.KindCanceled {
		return nil // the time of the others is up as well, which they say themselves
	}
	b := append(s.b, `],"error":`...)
	return s.end(rqlite.AppendText(b, rqlite.ErrorText(e)))
}

// ofStatement tells what a statement may have wrong from what keeps any statement from being run.
func ofStatement(k structs.Kind) bool {
	switch k {
	case structs.KindInvalid, structs.KindConflict, structs.KindDenied, structs.KindTooLarge:
		return true
	}
	return false
}

// begin sends the status; m is nil where there is nothing to tell.
func (s *dbStream) begin(m *structs.QueryMeta) {
	if s.w != nil {
		return
	}
	if m != nil {
		s.d.meta(m)
	}
	s.w = s.d.jsonWriter()
	s.d.w.WriteHeader(http.StatusOK)
}

func (s *dbStream) end(b []byte) error {
	s.begin(nil)
	s.ended = true
	return s.w.end(append(s.d.form.AppendTook(b, time.Since(s.d.start)), '}'))
}
