package sqldriver

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/debros/debros/api"
)

// tx is a transaction, which is nothing but what the program read and what it means to write. database/sql
// calls it for one caller at a time, and has closed all rows when it commits.
type tx struct {
	c        *conn
	ctx      context.Context // of BeginTx: Commit is given none of its own
	readOnly bool
	guarded  bool // reads must still hold at Commit

	reads   []api.SQLGuard
	unknown error // why one read cannot be a guard; there is no Commit then
	writes  []api.SQLStatement
	results []*later // one per write
}

// later is the sql.Result of a write that waits for Commit.
type later struct{ done atomic.Pointer[api.SQLResult] }

// LastInsertId implements driver.Result.
func (l *later) LastInsertId() (int64, error) {
	if r := l.done.Load(); r != nil {
		return r.LastInsertID, nil
	}
	return 0, ErrNotCommitted
}

// RowsAffected implements driver.Result.
func (l *later) RowsAffected() (int64, error) {
	if r := l.done.Load(); r != nil {
		return r.RowsAffected, nil
	}
	return 0, ErrNotCommitted
}

// exec keeps a write for Commit.
func (t *tx) exec(st api.SQLStatement) (driver.Result, error) {
	if t.readOnly {
		return nil, refusal("the transaction only reads", "begin it without sql.TxOptions.ReadOnly")
	}
	l := &later{}
	t.writes, t.results = append(t.writes, kept(st)), append(t.results, l)
	return l, nil
}

// kept is a statement whose arguments the caller may overwrite.
func kept(st api.SQLStatement) api.SQLStatement {
	for i, a := range st.Args { // the list is ours already
		switch a := a.(type) {
		case []byte:
			st.Args[i] = bytes.Clone(a)
		case api.NamedArg:
			if b, ok := a.Value.([]byte); ok {
				st.Args[i] = api.Named(a.Name, bytes.Clone(b))
			}
		}
	}
	return st
}

// query reads now.
func (t *tx) query(ctx context.Context, st api.SQLStatement) (driver.Rows, error) {
	if surelyWrites(st.SQL) {
		return nil, errReturning()
	}
	if len(t.writes) > 0 {
		return nil, refusal("a read behind a write in the same transaction would not see it", "read first, then write")
	}
	r, err := t.c.db.Query(ctx, st, nil)
	if errors.Is(err, api.ErrQueryWrites) {
		return nil, errReturning()
	}
	if err != nil {
		return nil, err
	}
	if !t.guarded {
		return newRows(r, nil), nil
	}
	return newRows(r, &read{tx: t, st: kept(st), digest: api.NewSQLDigest()}), nil
}

func errReturning() error {
	return refusal("a write in a transaction gives no rows before it is committed", "write with Exec there; for RETURNING, query outside the transaction")
}

// read is what a transaction sees of a query.
type read struct {
	tx     *tx
	st     api.SQLStatement
	rows   int
	first  []any
	digest *api.SQLDigest
	done   bool // it is among the transaction's reads, or never will be
}

// next notes what came of asking for a row.
func (s *read) next(row *api.SQLRow, err error) {
	switch {
	case s.done:
	case err == nil:
		if s.rows++; s.rows == 1 {
			s.first = row.Values()
		}
		s.digest.Add(row)
	case err == io.EOF:
		s.guard(api.SQLGuard{SQLStatement: s.st, Digest: s.digest.Sum()})
	default:
		s.done = true
		s.tx.unknown = err
	}
}

func (s *read) guard(g api.SQLGuard) {
	s.done = true
	s.tx.reads = append(s.tx.reads, g)
}

// close ends a read at the rows that were asked for. No guard could say "so they begin" but for one row, so
// the rest of more is read.
func (s *read) close(r *api.SQLRows) {
	switch {
	case s.done:
	case s.rows == 0: // nothing was seen
		s.done = true
	case s.rows == 1: // as QueryRow does
		s.guard(api.SQLGuard{SQLStatement: s.st, First: s.first})
	default:
		for !s.done {
			s.next(r.Next())
		}
	}
}

// Commit implements driver.Tx.
func (t *tx) Commit() error {
	t.c.tx = nil
	if t.unknown != nil {
		return fmt.Errorf("commit: what a query of the transaction gave is not known to its end: %w", t.unknown)
	}
	if len(t.writes) == 0 {
		return t.checkReads()
	}
	reply, err := t.send(t.writes)
	if err != nil {
		return err
	}
	for i, l := range t.results {
		if i < len(reply.Results) {
			l.done.Store(&reply.Results[i])
		}
	}
	return nil
}

// checkReads asks whether all reads are of one state, the present one.
func (t *tx) checkReads() error {
	if len(t.reads) < 2 {
		return nil // one read is of one state
	}
	_, err := t.send([]api.SQLStatement{api.Stmt("SELECT 1")}) // a request has a statement
	return err
}

// send does statements if the reads still hold.
func (t *tx) send(statements []api.SQLStatement) (*api.SQLReply, error) {
	reply, err := t.c.db.Execute(t.ctx, &api.SQLRequest{Transaction: true, Guards: t.reads, Statements: statements}, nil)
	var failed *api.SQLError
	switch {
	case err == nil:
		return reply, nil
	case errors.Is(err, api.ErrConflict) && !errors.As(err, &failed): // of no statement, so of a guard
		return nil, fmt.Errorf("commit: %w: %w", ErrConflict, err)
	}
	return nil, fmt.Errorf("commit: %w", err)
}

// Rollback implements driver.Tx: it forgets.
func (t *tx) Rollback() error {
	t.c.tx = nil
	return nil
}
