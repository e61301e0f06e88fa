package sqldb

import (
	"context"
	"errors"
	"sync"

	"github.com/debros/debros/structs"
	lib "modernc.org/sqlite/lib"
)

var errClosed = errors.New("the database is closed")

// pool is the connections for reading, opened when they are first needed.
type pool struct {
	db     *DB
	tokens chan struct{} // one for each connection in use by a query
	pins   chan struct{} // one for each Pin

	mu     sync.Mutex // protects the following
	idle   []*reader
	closed bool
}

// reader is a connection for reading. Its time and its chance are the machine's own.
type reader struct {
	*conn
	pool *pool
	ctx  context.Context // of the query that runs; nil while none does
}

// take takes a token, unless the caller has given up.
func take(ctx context.Context, tokens chan struct{}) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case tokens <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pool) get(ctx context.Context) (*reader, error) {
	if err := take(ctx, p.tokens); err != nil {
		return nil, err
	}
	p.mu.Lock()
	closed := p.closed
	var r *reader
	if n := len(p.idle); n > 0 && !closed {
		r, p.idle = p.idle[n-1], p.idle[:n-1]
	}
	p.mu.Unlock()
	if closed {
		<-p.tokens
		return nil, errClosed
	}
	if r == nil {
		var err error
		if r, err = p.db.openReader(); err != nil {
			<-p.tokens
			return nil, p.db.localFault("open for reading", err)
		}
	}
	r.ctx = ctx
	return r, nil
}

func (p *pool) put(r *reader) {
	r.ctx = nil
	p.mu.Lock()
	p.idle = append(p.idle, r)
	p.mu.Unlock()
	<-p.tokens
}

// close waits for the queries that run and the pins, and closes all connections.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	for range cap(p.tokens) {
		p.tokens <- struct{}{}
	}
	for range cap(p.pins) {
		p.pins <- struct{}{}
	}
	for _, r := range p.idle {
		r.close()
	}
	p.idle = nil
	for range cap(p.tokens) {
		<-p.tokens
	}
	for range cap(p.pins) {
		<-p.pins
	}
}

func (db *DB) openReader() (*reader, error) {
	c, err := openConn(db.path, db.engine.readersName, false, db.o)
	if err != nil {
		return nil, err
	}
	r := &reader{conn: c, pool: &db.pool}
	c.Progress(progressSteps, func() bool { return r.ctx != nil && r.ctx.Err() != nil })
	return r, nil
}

// Query runs a statement that only reads, with the state of now. Of several in one text the last one's rows are given.
// columns is called once, before the first row; row's argument is reused by its next call. An error of theirs
// ends the query and is returned. A *structs.Error is the sender's fault; ctx ends it within a moment.
func (db *DB) Query(ctx context.Context, st structs.SQLStatement, columns func(names, types []string) error, row func(structs.SQLRow) error) error {
	r, err := db.pool.get(ctx)
	if err != nil {
		return err
	}
	defer db.pool.put(r)
	err = r.query(&st, columns, row)
	if isCode(err, lib.SQLITE_INTERRUPT) && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (r *reader) query(st *structs.SQLStatement, columns func(names, types []string) error, row func(structs.SQLRow) error) error {
	bound := 0
	for sql := st.SQL; ; {
		p, refusal, err := r.prepare(sql)
		if refusal != nil {
			return refusal
		}
		if err != nil {
			return err
		}
		if p.Stmt == nil {
			return columns(nil, nil)
		}
		if !p.readOnly {
			return structs.ErrQueryWrites.WithHint("send the statement as a write")
		}
		rest := sql[len(sql)-p.tail:]
		last := blank(rest)
		used, refusal, err := p.bind(st, bound)
		if refusal != nil {
			return refusal
		}
		if err != nil {
			return err
		}
		bound += used
		err = r.rows(p, last, columns, row)
		p.done()
		r.cache.trim(sql)
		if err != nil || last {
			return err
		}
		sql = rest
	}
}

// rows steps through p; only the last statement's rows are given.
func (r *reader) rows(p *prepared, give bool, columns func(names, types []string) error, row func(structs.SQLRow) error) error {
	r.running, r.intent = &p.intent, intent{}
	defer func() { r.running = nil }()
	var buf structs.SQLRow
	for n := 0; ; n++ {
		more, err := p.Step()
		if err != nil {
			if r.intent.refusal != nil {
				return r.intent.refusal
			}
			if refusal := refusalOf(err); refusal != nil {
				return refusal
			}
			return err
		}
		if n == 0 {
			if again := p.Reprepared(); again != p.reprepared {
				p.reprepared = again
				p.describe()
			}
			if give {
				if err := columns(p.columns, p.types); err != nil {
					return err
				}
			}
		}
		if !more {
			return nil
		}
		if give {
			buf = p.row(buf[:0])
			if err := row(buf); err != nil {
				return err
			}
		}
	}
}
