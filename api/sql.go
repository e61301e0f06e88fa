package api

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// SQL reads and writes one database of a namespace. It is safe for concurrent use.
type SQL struct {
	c        *Client
	database string // "" = the default database
}

// Database is the database of that name in the same namespace; "" is the one that every namespace has.
func (s *SQL) Database(name string) *SQL { return &SQL{s.c, name} }

// SQLStatement is one SQL statement with its arguments: either one for each parameter in order, or
// NamedArg for every one. See Stmt for what an argument may be.
type SQLStatement struct {
	SQL  string
	Args []any
}

// Stmt is a statement with arguments. An argument is
//
//   - nil, a nil pointer or a nil []byte: NULL
//   - an integer of any size, or a bool (1 or 0): INTEGER. A uint64 beyond int64 is refused.
//   - a float: REAL. NaN is refused, infinities are not.
//   - a string: TEXT, byte for byte, UTF-8 or not
//   - a []byte: BLOB
//   - a time.Time: TEXT in UTC in SQLite's own form, "2006-01-02 15:04:05.999999999", which sorts as
//     time does and equals what CURRENT_TIMESTAMP gives
//   - a driver.Valuer, as sql.Null is: what it gives
//   - a pointer to one of these, or a type made of one: what it holds
//   - a NamedArg of one of these
func Stmt(sql string, args ...any) SQLStatement { return SQLStatement{SQL: sql, Args: args} }

// NamedArg is the argument for every parameter of that name: :name, @name or $name.
type NamedArg struct {
	Name  string // without the sign
	Value any
}

// Named makes a NamedArg.
func Named(name string, value any) NamedArg { return NamedArg{name, value} }

// SQLGuard is a condition on the database: a statement that only reads, and what it must give.
// Members that are not set ask for nothing.
type SQLGuard struct {
	SQLStatement
	Rows   *int64 // number of rows
	First  []any  // values of the first row, as arguments
	Digest []byte // SQLDigest.Sum of all rows, as an earlier read found them
}

// SQLRequest is statements that go to the database as one entry of the log.
type SQLRequest struct {
	Statements []SQLStatement
	// Transaction: all statements or none; the first that fails ends it. Without it each statement
	// stands alone, and one that fails leaves the others as they are.
	Transaction bool
	// Guards must all hold when the request is applied, or nothing is done and the error is ErrConflict.
	Guards []SQLGuard
	// RequestID makes a repetition harmless: within a day the same id on the same database gives the
	// stored reply and does nothing. Execute makes one up where it is "", so that it can repeat a call
	// whose answer was lost; name one to repeat the call yourself, after a crash for example.
	RequestID string
}

// SQLResult is what one statement did.
type SQLResult struct {
	RowsAffected int64    // rows inserted, updated or deleted by the statement itself, without triggers
	LastInsertID int64    // rowid of its last insert; 0 when it inserted nothing
	Columns      []string // of RETURNING; nil when the statement gives no rows
	Types        []string // declared types, lower case, "" for an expression
	Rows         []SQLRow
	Err          *Error // the statement failed and did nothing
}

// SQLReply answers a SQLRequest.
type SQLReply struct {
	// Results has one per statement, in order; in a transaction that failed it ends with the one that did.
	Results  []SQLResult
	Replayed bool // the request had been done before, by its RequestID: this is the reply of then
	Meta     WriteMeta
}

// SQLError says which statement of a request failed. It wraps the *Error of that statement.
type SQLError struct {
	Statement int // from 0
	Err       *Error
	of        int
}

// Error is the statement's message, and which one it was if there were more.
func (e *SQLError) Error() string {
	if e.of == 1 {
		return e.Err.Message
	}
	return fmt.Sprintf("statement %d: %s", e.Statement+1, e.Err.Message)
}

// Unwrap is the *Error of the statement.
func (e *SQLError) Unwrap() error { return e.Err }

// Execute does what the request says, once: when the answer is lost it asks again under the same
// RequestID.
//
// When a statement fails the error is a *SQLError about the first that did, and the reply is there
// too: without Transaction the other statements were done. With any other error the reply is nil.
func (s *SQL) Execute(ctx context.Context, q *SQLRequest, o *WriteOptions) (*SQLReply, error) {
	body, err := s.executeBody(q)
	if err != nil {
		return nil, err
	}
	r := s.c.newRequest(http.MethodPost, "/v1/sql/execute")
	if err := r.json(body); err != nil {
		return nil, err
	}
	set(r.params, "db", s.database)
	r.write(o)
	r.repeatable = true // by its RequestID
	start := time.Now()
	res, err := s.c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var reply executeReply
	if err := s.c.decode(res, &reply, KindUnknownResult); err != nil {
		return nil, err
	}
	out := &SQLReply{
		Replayed: reply.Replayed, Results: make([]SQLResult, 0, len(reply.Results)),
		Meta: WriteMeta{Index: reply.Index, RequestTime: time.Since(start)},
	}
	var failed *SQLError
	for i, x := range reply.Results {
		out.Results = append(out.Results, x.result())
		if e := out.Results[i].Err; e != nil && failed == nil {
			failed = &SQLError{Statement: i, Err: e, of: len(q.Statements)}
		}
	}
	if failed != nil {
		return out, failed
	}
	return out, nil
}

// Exec executes one statement. That it failed is the error.
func (s *SQL) Exec(ctx context.Context, sql string, args ...any) (*SQLResult, error) {
	reply, err := s.Execute(ctx, &SQLRequest{Statements: []SQLStatement{Stmt(sql, args...)}}, nil)
	if err != nil {
		return nil, err
	}
	if len(reply.Results) != 1 {
		return nil, errorf(KindInternal, "the agent answered one statement with %d results", len(reply.Results))
	}
	return &reply.Results[0], nil
}

// The JSON of /v1/sql/execute.
type (
	statementBody struct {
		SQL  string          `json:"sql"`
		Args json.RawMessage `json:"args,omitempty"`
	}
	guardBody struct {
		statementBody
		Rows   *int64          `json:"rows,omitempty"`
		First  json.RawMessage `json:"first,omitempty"`
		Digest []byte          `json:"digest,omitempty"`
	}
	executeBody struct {
		Statements  []statementBody `json:"statements"`
		Transaction bool            `json:"transaction,omitempty"`
		RequestID   string          `json:"request_id,omitempty"`
		Guards      []guardBody     `json:"guards,omitempty"`
	}
	executeReply struct {
		Results  []resultBody `json:"results"`
		Index    uint64       `json:"index"`
		Replayed bool         `json:"replayed"`
	}
	resultBody struct {
		RowsAffected int64      `json:"rows_affected,omitempty"`
		LastInsertID int64      `json:"last_insert_id,omitempty"`
		Columns      []string   `json:"columns,omitempty"`
		Types        []string   `json:"types,omitempty"`
		Rows         []rowBody  `json:"rows,omitempty"`
		Error        *errorBody `json:"error,omitempty"`
	}
	errorBody struct {
		Kind    string `json:"kind"`
		Message string `json:"message"`
		Hint    string `json:"hint"`
	}
)

func (e *errorBody) err() *Error {
	if e == nil {
		return nil
	}
	return &Error{Kind: Kind(e.Kind), Message: e.Message, Hint: e.Hint}
}

func (b *resultBody) result() SQLResult {
	r := SQLResult{RowsAffected: b.RowsAffected, LastInsertID: b.LastInsertID, Columns: b.Columns, Types: b.Types, Err: b.Error.err()}
	for _, values := range b.Rows {
		r.Rows = append(r.Rows, SQLRow{columns: b.Columns, values: values})
	}
	return r
}

func (s *SQL) executeBody(q *SQLRequest) (*executeBody, error) {
	body := &executeBody{Transaction: q.Transaction, RequestID: q.RequestID}
	if body.RequestID == "" {
		body.RequestID = rand.Text()
	}
	var err error
	if body.Statements, err = statementBodies(q.Statements); err != nil {
		return nil, err
	}
	body.Guards, err = guardBodies(q.Guards)
	return body, err
}

func statementBodies(statements []SQLStatement) ([]statementBody, error) {
	bodies := make([]statementBody, 0, len(statements))
	for i, st := range statements {
		b, err := st.body()
		if err != nil {
			return nil, errorf(KindInvalid, "statement %d: %v", i+1, err)
		}
		bodies = append(bodies, b)
	}
	return bodies, nil
}

func guardBodies(guards []SQLGuard) (bodies []guardBody, err error) {
	for i, g := range guards {
		st, err := g.body()
		if err != nil {
			return nil, errorf(KindInvalid, "guard %d: %v", i+1, err)
		}
		b := guardBody{statementBody: st, Rows: g.Rows, Digest: g.Digest}
		if g.First != nil {
			if b.First, err = appendArgs(nil, g.First); err != nil {
				return nil, errorf(KindInvalid, "first row of guard %d: %v", i+1, err)
			}
		}
		bodies = append(bodies, b)
	}
	return bodies, nil
}

func (st SQLStatement) body() (statementBody, error) {
	b := statementBody{SQL: st.SQL}
	if len(st.Args) == 0 {
		return b, nil
	}
	var err error
	b.Args, err = appendArgs(nil, st.Args)
	return b, err
}
