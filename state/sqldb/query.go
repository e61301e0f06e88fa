package sqldb

import (
	"context"
	"errors"
	"sync"

	"github.com/debros/debros/state/sqldb/sqlite"
	"github.com/debros/debros/structs"
	lib "modernc.org/sqlite/lib"
)

var errClosed = errors.New("the database is closed")

// pool is the connections for reading, opened when they are first needed.
type pool struct {
	db     *DB
	tokens chan struct{} // one for each connection in use by a query
	pins   chan struct{} // one for each Pin
	guests chan struct{} // one for each Pin of a client's

	mu     sync.Mutex // protects the following
	idle   []*reader
	closed bool
}

// reader is a connection for reading. Its time and its chance are the machine's own.
type reader struct {
	*conn
	pool *pool
	ran  bool            // a statement has run on this connection
	ctx  context.Context // of the query that runs; nil while none does
	rest func()          // called now and then while a statement runs; nil = nothing is

	stepping *sqlite.Stmt // the statement that runs
	temp     int64        // what it sorts and collects, as counted in Engine.queryTemp
	overTemp int64        // the bound that it has reached; 0 = none
}

// What queries may sort and collect, in bytes: one alone, and all of a store together, since they share a disk with the
// databases. They are this machine's affair.
const (
	queryTempMax  = structs.SQLTempBytesMax
	queriesAtOnce = 4 // may come to that bound
)

// progress is called between steps; true ends the statement.
func (r *reader) progress() bool {
	if r.rest != nil {
		r.rest()
	}
	if r.ctx != nil && r.ctx.Err() != nil {
		return true
	}
	if r.stepping == nil {
		return false
	}
	now := r.stepping.TempBytes()
	e := r.pool.db.engine
	all := e.queryTemp.Add(now - r.temp)
	r.temp = now
	switch {
	case now > e.queryTempMax:
		r.overTemp = e.queryTempMax
	case all > queriesAtOnce*e.queryTempMax:
		r.overTemp = now
	}
	return r.overTemp > 0
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
	c.Progress(progressSteps, r.progress)
	return r, nil
}

// renew opens the connection anew. FTS5 checks a table against what it remembers of it, without a look whether that has
// been changed by others, so that a check on an old connection finds faults where there are none.
func (r *reader) renew() error {
	db := r.pool.db
	c, err := openConn(db.path, db.engine.readersName, false, db.o)
	if err != nil {
		return db.localFault("open for reading", err)
	}
	c.Progress(progressSteps, r.progress)
	old := r.conn
	r.conn, r.ran = c, false
	return old.close()
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
		if p.intent.checks && r.ran {
			if err := r.renew(); err != nil {
				return err
			}
			continue
		}
		r.ran = true
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
	r.stepping, r.overTemp = p.Stmt, 0
	defer func() {
		r.running, r.stepping = nil, nil
		r.pool.db.engine.queryTemp.Add(-r.temp)
		r.temp = 0
	}()
	var buf structs.SQLRow
	for n := 0; ; n++ {
		more, err := p.Step()
		if err != nil {
			switch {
			case r.intent.refusal != nil:
				return r.intent.refusal
			case r.overTemp > 0:
				return tooMuchTemp(r.overTemp)
			case isCode(err, lib.SQLITE_FULL): // a query writes to temporary files only
				return structs.Errorf(structs.KindQuota, "this server's disk has no room for what the query sorts or collects")
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
