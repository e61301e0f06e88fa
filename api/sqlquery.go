package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"time"
)

// rowBytesMax bounds one row of a reply. SQLite's own largest row, in base64, is longer; a client that
// asks for such rows has other troubles.
const rowBytesMax = 1 << 30

// ErrNoRow is the error of QueryRow when the statement gave no row. It is an ErrNotFound too.
var ErrNoRow = &Error{Kind: KindNotFound, Message: "the query gave no row"}

// ErrQueryWrites is the error of Query for a statement that would write. Nothing was done; Execute may do it.
var ErrQueryWrites = &Error{Kind: KindDenied, Message: "a query cannot write"}

// SQLRows is the result of a query on its way: rows are read from the agent as the caller asks for
// them, so memory does not grow with their number. Close it, or range over All.
type SQLRows struct {
	lineReader
	reply   *http.Response
	columns []string
	types   []string
	row     SQLRow
	done    bool
	err     error
	start   time.Time
	summary SQLSummary
}

// SQLSummary is known when all rows have been read.
type SQLSummary struct {
	Rows    int64
	Elapsed time.Duration // on the answering server
	Meta    QueryMeta
}

// Query reads with one statement. A statement that writes is refused with ErrQueryWrites, whatever
// it looks like, and has done nothing then. Every query sees one state of the database, from its first row to the last.
//
// It ends with ctx; no timeout of the client's ends it.
func (s *SQL) Query(ctx context.Context, st SQLStatement, o *QueryOptions) (*SQLRows, error) {
	body, err := st.body()
	if err != nil {
		return nil, errorf(KindInvalid, "%v", err)
	}
	r := s.c.newRequest(http.MethodPost, "/v1/sql/query")
	if err := r.json(body); err != nil {
		return nil, err
	}
	set(r.params, "db", s.database)
	r.query(o)
	r.streaming = true
	start := time.Now()
	reply, err := s.c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	rows := &SQLRows{lineReader: lineReader{c: s.c, ctx: ctx, in: bufio.NewReaderSize(reply.Body, 64<<10)}, reply: reply, start: start}
	if err := rows.begin(); err != nil {
		rows.Close()
		return nil, err
	}
	return rows, nil
}

// QueryRow reads one row into the variables that dest points to, as SQLRow.Scan does. No row is
// ErrNoRow; those behind the first are left unread.
func (s *SQL) QueryRow(ctx context.Context, st SQLStatement, o *QueryOptions, dest ...any) error {
	rows, err := s.Query(ctx, st, o)
	if err != nil {
		return err
	}
	for row, err := range rows.All() {
		if err != nil {
			return err
		}
		return row.Scan(dest...)
	}
	return ErrNoRow
}

// Columns are the names of the result's columns.
func (r *SQLRows) Columns() []string { return r.columns }

// Types are the declared types of the result's columns, lower case, "" for an expression.
func (r *SQLRows) Types() []string { return r.types }

// All yields the rows, once, and closes r. A row is valid until the next one; what Scan and Values gave
// stays. An error is the last thing it yields, with a nil row: the rows before it are not all there are.
func (r *SQLRows) All() iter.Seq2[*SQLRow, error] {
	return func(yield func(*SQLRow, error) bool) {
		defer r.Close()
		for {
			row, err := r.Next()
			if err == io.EOF || !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// Next is the next row, for those who cannot range over All: the error is io.EOF behind the last one, and
// any other says that there would be more. The row is valid until the next call. Close is left to the caller.
func (r *SQLRows) Next() (*SQLRow, error) {
	if r.next() {
		return &r.row, nil
	}
	if r.err != nil {
		return nil, r.err
	}
	return nil, io.EOF
}

// Summary is what the agent says at the end; false until all rows have been read.
func (r *SQLRows) Summary() (SQLSummary, bool) { return r.summary, r.done && r.err == nil }

// Close gives up the rows that were not read, at the server too. It may be called again.
func (r *SQLRows) Close() error {
	r.done = true
	return r.reply.Body.Close()
}

// begin reads the line before the rows.
func (r *SQLRows) begin() error {
	line, err := r.line()
	if err != nil {
		return err
	}
	var head struct {
		Columns *[]string  `json:"columns"`
		Types   []string   `json:"types"`
		Error   *errorBody `json:"error"`
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return r.broken(err)
	}
	if head.Error != nil {
		return head.Error.err()
	}
	if head.Columns == nil {
		return r.broken(errors.New("the columns are missing"))
	}
	r.columns, r.types = *head.Columns, head.Types
	r.row = SQLRow{columns: r.columns, values: make([]any, 0, len(r.columns))}
	return nil
}

// next reads the next row into r.row.
func (r *SQLRows) next() bool {
	if r.done {
		return false
	}
	line, err := r.line()
	switch {
	case err != nil:
		r.err = err
	case line[0] == '[':
		if r.row.values, r.err = parseRow(line, r.row.values[:0]); r.err == nil && len(r.row.values) != len(r.columns) {
			r.err = errRowJSON
		}
		if r.err == nil {
			return true
		}
		r.err = r.broken(r.err)
	default:
		r.err = r.end(line)
	}
	r.done = true
	return false
}

// end reads the line behind the rows.
func (r *SQLRows) end(line []byte) error {
	var tail struct {
		Rows      *int64     `json:"rows"`
		ElapsedMS float64    `json:"elapsed_ms"`
		Index     uint64     `json:"index"`
		Error     *errorBody `json:"error"`
	}
	if err := json.Unmarshal(line, &tail); err != nil {
		return r.broken(err)
	}
	if tail.Error != nil {
		return tail.Error.err()
	}
	if tail.Rows == nil {
		return r.broken(errors.New("the number of rows is missing"))
	}
	_, _ = io.Copy(io.Discard, r.in) // so that the connection can be used again
	meta := queryMeta(r.reply.Header, time.Since(r.start))
	if tail.Index > 0 {
		meta.Index = tail.Index
	}
	r.summary = SQLSummary{Rows: *tail.Rows, Elapsed: time.Duration(tail.ElapsedMS * float64(time.Millisecond)), Meta: *meta}
	return nil
}
