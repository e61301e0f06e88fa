// Package sqlrun does what people do with a database at a command line: run statements and print what they
// give, import files, export the whole.
//
// Contract: results are written as their rows come; memory holds a bounded part of them. It asks a cluster
// through package api only.
package sqlrun

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/debros/debros/api"
)

// Session runs statements on a database and writes what they give to Out.
type Session struct {
	DB     *api.SQL
	Read   *api.QueryOptions
	Out    io.Writer
	Format Format
}

// Run runs one statement. Whether it writes is asked of the database: it is sent as a query, which refuses
// what would write without having done a thing, and then as a write.
func (s *Session) Run(ctx context.Context, st api.SQLStatement) error {
	rows, err := s.DB.Query(ctx, st, s.Read)
	if errors.Is(err, api.ErrQueryWrites) {
		_, err := s.Execute(ctx, &api.SQLRequest{Statements: []api.SQLStatement{st}})
		return err
	}
	if err != nil {
		return err
	}
	return s.print(rows)
}

// Execute sends a request that may write and prints each of its results.
func (s *Session) Execute(ctx context.Context, q *api.SQLRequest) (*api.SQLReply, error) {
	reply, err := s.DB.Execute(ctx, q, nil)
	if reply == nil {
		return nil, err
	}
	if err != nil && q.Transaction {
		return nil, fmt.Errorf("nothing was done: %w", err)
	}
	for i := range reply.Results {
		if r := &reply.Results[i]; r.Err == nil {
			if perr := s.printResult(r); perr != nil {
				return reply, perr
			}
		}
	}
	return reply, err
}

func (s *Session) print(rows *api.SQLRows) error {
	p := newPrinter(s.Out, s.Format, rows.Columns())
	for row, err := range rows.All() {
		if err != nil {
			return errors.Join(p.end(), fmt.Errorf("the result is not complete: %w", err))
		}
		if err := p.row(row.Values()); err != nil {
			rows.Close()
			return err
		}
	}
	return p.end()
}

func (s *Session) printResult(r *api.SQLResult) error { return s.Format.Result(s.Out, r) }

// Result writes what a statement gave.
func (f Format) Result(w io.Writer, r *api.SQLResult) error {
	if r.Columns == nil {
		return f.done(w, r)
	}
	p := newPrinter(w, f, r.Columns)
	for i := range r.Rows {
		if err := p.row(r.Rows[i].Values()); err != nil {
			return err
		}
	}
	return p.end()
}

// persist sends a request until its outcome is known, at most for patience: by its RequestID the servers do
// it once.
func persist(ctx context.Context, db *api.SQL, q *api.SQLRequest, patience time.Duration) (repeated int64, err error) {
	deadline := time.Now().Add(patience)
	for {
		_, err = db.Execute(ctx, q, nil)
		var failed *api.SQLError
		if err == nil || errors.As(err, &failed) || ctx.Err() != nil || !passing(err) || time.Now().After(deadline) {
			return repeated, err
		}
		repeated++
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// passing reports whether the same request may succeed later.
func passing(err error) bool {
	for _, e := range []error{api.ErrNoLeader, api.ErrUnavailable, api.ErrUnknownResult, api.ErrRateLimited} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
