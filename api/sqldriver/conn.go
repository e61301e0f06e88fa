package sqldriver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"

	"github.com/debros/debros/api"
)

// conn is what database/sql takes for a connection. It serves one caller at a time, who may have a
// transaction in it.
type conn struct {
	db   *api.SQL
	read api.QueryOptions // of reads outside transactions
	own  *api.Client      // closed with the connection; nil when it belongs to somebody else
	tx   *tx              // nil outside a transaction
}

var (
	_ driver.ConnBeginTx        = (*conn)(nil)
	_ driver.ConnPrepareContext = (*conn)(nil)
	_ driver.ExecerContext      = (*conn)(nil)
	_ driver.NamedValueChecker  = (*conn)(nil)
	_ driver.Pinger             = (*conn)(nil)
	_ driver.QueryerContext     = (*conn)(nil)
	_ driver.SessionResetter    = (*conn)(nil)
	_ driver.Validator          = (*conn)(nil)
)

// CheckNamedValue turns an argument into what the database keeps, as package api does.
func (c *conn) CheckNamedValue(nv *driver.NamedValue) error {
	if n, ok := nv.Value.(api.NamedArg); ok { // as well as a sql.NamedArg, which database/sql has taken apart
		nv.Name, nv.Value = n.Name, n.Value
	}
	v, err := api.SQLValue(nv.Value)
	nv.Value = v
	return err
}

// statement is a statement of package api.
func statement(query string, args []driver.NamedValue) (api.SQLStatement, error) {
	st := api.SQLStatement{SQL: query}
	for _, a := range args {
		if (a.Name == "") != (args[0].Name == "") {
			return st, refusal("either all arguments have names or none has", "")
		}
		if a.Name != "" {
			st.Args = append(st.Args, api.Named(a.Name, a.Value))
		} else {
			st.Args = append(st.Args, a.Value)
		}
	}
	return st, nil
}

// ExecContext implements driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	st, err := statement(query, args)
	if err != nil {
		return nil, err
	}
	if c.tx != nil {
		return c.tx.exec(st)
	}
	res, err := c.db.Exec(ctx, st.SQL, st.Args...)
	if err != nil {
		return nil, err
	}
	return result{res}, nil
}

// QueryContext implements driver.QueryerContext. It gives the rows of reads, and of writes with RETURNING.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	st, err := statement(query, args)
	if err != nil {
		return nil, err
	}
	if c.tx != nil {
		return c.tx.query(ctx, st)
	}
	if !surelyWrites(query) {
		r, err := c.db.Query(ctx, st, &c.read)
		if err == nil {
			return newRows(r, nil), nil
		}
		if !errors.Is(err, api.ErrQueryWrites) {
			return nil, err
		}
	}
	res, err := c.db.Exec(ctx, st.SQL, st.Args...)
	if err != nil {
		return nil, err
	}
	return newReturned(res), nil
}

// surelyWrites saves asking whether a statement reads where its first word tells. The database decides about
// all others.
func surelyWrites(query string) bool {
	word := strings.TrimSpace(query)
	word = word[:min(len(word), len("REPLACE"))]
	if i := strings.IndexAny(word, " \t\r\n"); i >= 0 {
		word = word[:i]
	}
	switch strings.ToUpper(word) {
	case "INSERT", "UPDATE", "DELETE", "REPLACE":
		return true
	}
	return false
}

// PrepareContext implements driver.ConnPrepareContext. The servers keep statements prepared by their text; what
// is wrong with one shows when it runs.
func (c *conn) PrepareContext(_ context.Context, query string) (driver.Stmt, error) {
	return &stmt{c, query}, nil
}

// Prepare implements driver.Conn.
func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// BeginTx implements driver.ConnBeginTx. It asks the servers nothing.
func (c *conn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if c.tx != nil {
		return nil, refusal("the connection has a transaction already", "commit it, or roll it back, before the next one")
	}
	t := &tx{c: c, ctx: ctx, readOnly: o.ReadOnly}
	switch level := sql.IsolationLevel(o.Isolation); level {
	case sql.LevelDefault, sql.LevelSerializable, sql.LevelLinearizable:
		t.guarded = true
	case sql.LevelReadCommitted:
	default:
		return nil, refusal("there is no isolation level %s here", "take sql.LevelSerializable, which is the default, or sql.LevelReadCommitted", level)
	}
	c.tx = t
	if told, ok := ctx.Value(retried{}).(**tx); ok {
		*told = t
	}
	return t, nil
}

// Begin implements driver.Conn.
func (c *conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// Ping implements driver.Pinger: the database exists and answers.
func (c *conn) Ping(ctx context.Context) error {
	return c.db.QueryRow(ctx, api.Stmt("SELECT 1"), &c.read, nil)
}

// ResetSession implements driver.SessionResetter.
func (c *conn) ResetSession(context.Context) error {
	c.tx = nil
	return nil
}

// IsValid implements driver.Validator: there is nothing in a connection that could break.
func (c *conn) IsValid() bool { return true }

// Close implements driver.Conn.
func (c *conn) Close() error {
	c.tx = nil
	if c.own != nil {
		c.own.Close()
	}
	return nil
}
