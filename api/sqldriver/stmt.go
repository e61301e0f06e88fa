package sqldriver

import (
	"context"
	"database/sql/driver"

	"github.com/debros/debros/api"
)

// stmt is a prepared statement: its text.
type stmt struct {
	c     *conn
	query string
}

var (
	_ driver.StmtExecContext  = (*stmt)(nil)
	_ driver.StmtQueryContext = (*stmt)(nil)
)

// Close implements driver.Stmt.
func (s *stmt) Close() error { return nil }

// NumInput implements driver.Stmt: the servers count.
func (s *stmt) NumInput() int { return -1 }

// ExecContext implements driver.StmtExecContext.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.c.ExecContext(ctx, s.query, args)
}

// QueryContext implements driver.StmtQueryContext.
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.c.QueryContext(ctx, s.query, args)
}

// Exec implements driver.Stmt.
func (s *stmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(context.Background(), positional(args))
}

// Query implements driver.Stmt.
func (s *stmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.QueryContext(context.Background(), positional(args))
}

func positional(args []driver.Value) []driver.NamedValue {
	out := make([]driver.NamedValue, 0, len(args))
	for i, v := range args {
		out = append(out, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return out
}

// result is what a statement outside a transaction did.
type result struct{ r *api.SQLResult }

// LastInsertId implements driver.Result.
func (r result) LastInsertId() (int64, error) { return r.r.LastInsertID, nil }

// RowsAffected implements driver.Result.
func (r result) RowsAffected() (int64, error) { return r.r.RowsAffected, nil }
