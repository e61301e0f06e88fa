package sqldb

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/debros/debros/state/sqldb/sqlite"
	"github.com/debros/debros/structs"
)

// Pin holds the state of one moment while the writer goes on. It must be released: until then the
// write-ahead log cannot begin again at its start. One goroutine uses it.
type Pin struct {
	r       *reader
	applied uint64
	guest   bool
	once    sync.Once
}

// PinForClient is Pin for who reads at a client's pace: a few of them at a time, so that Pin never waits for a client.
func (db *DB) PinForClient(ctx context.Context) (*Pin, error) {
	if err := take(ctx, db.pool.guests); err != nil {
		return nil, err
	}
	p, err := db.Pin(ctx)
	if err != nil {
		<-db.pool.guests
		return nil, err
	}
	p.guest = true
	return p, nil
}

// Pin begins to hold the state of now. It has a connection of its own, beside those for queries.
func (db *DB) Pin(ctx context.Context) (*Pin, error) {
	if err := take(ctx, db.pool.pins); err != nil {
		return nil, err
	}
	db.pool.mu.Lock()
	closed := db.pool.closed
	db.pool.mu.Unlock()
	if closed {
		<-db.pool.pins
		return nil, errClosed
	}
	r, err := db.openReader()
	if err != nil {
		<-db.pool.pins
		return nil, db.localFault("pin", err)
	}
	p := &Pin{r: r}
	err = r.do("BEGIN")
	if err == nil {
		_, err = r.ask(`SELECT value FROM _debros_meta WHERE key = 'applied'`, func(s *sqlite.Stmt) bool {
			p.applied = uint64(s.Int64(0))
			return false
		})
	}
	if err != nil {
		r.close()
		<-db.pool.pins
		return nil, db.localFault("pin", err)
	}
	return p, nil
}

// AppliedIndex is the index of the last entry in the pinned state.
func (p *Pin) AppliedIndex() uint64 { return p.applied }

// Release ends the pin. Twice is fine.
func (p *Pin) Release() {
	p.once.Do(func() {
		p.r.close()
		<-p.r.pool.pins
		if p.guest {
			<-p.r.pool.guests
		}
	})
}

// WriteTo writes the database as one file that any SQLite opens: its pages one by one, so that replicas made from it
// lay out what comes later in the same way.
func (p *Pin) WriteTo(w io.Writer) (int64, error) {
	var written int64
	var werr error
	_, err := p.r.ask(`SELECT data FROM sqlite_dbpage('main') ORDER BY pgno`, func(s *sqlite.Stmt) bool {
		page := s.Bytes(0)
		if written == 0 {
			page = append([]byte(nil), page...)
			page[18], page[19] = 1, 1 // the file stands alone, without a write-ahead log
		}
		var n int
		n, werr = w.Write(page)
		written += int64(n)
		return werr == nil
	})
	if err == nil {
		err = werr
	}
	if err != nil {
		return written, fmt.Errorf("write database: %w", err)
	}
	return written, nil
}

// Hash sums up the logical content: schema, rows and what the header keeps for users. Page layout is not in it.
func (p *Pin) Hash(ctx context.Context) (sum [32]byte, err error) {
	p.r.ctx = ctx
	defer func() { p.r.ctx = nil }()
	d := structs.NewSQLDigest()
	var tables []string
	add := func(sql string, row func(*sqlite.Stmt)) error {
		p.r.trusted = true
		defer func() { p.r.trusted = false }()
		s, _, err := p.r.Prepare(sql)
		if err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
		st := &prepared{Stmt: s}
		defer s.Finalize()
		st.describe()
		var buf structs.SQLRow
		for {
			more, err := s.Step()
			if err != nil {
				return fmt.Errorf("%s: %w", sql, err)
			}
			if !more {
				return nil
			}
			buf = st.row(buf[:0])
			d.Add(buf)
			if row != nil {
				row(s)
			}
		}
	}
	for _, pragma := range []string{"user_version", "application_id", "encoding"} {
		if err := add("PRAGMA "+pragma, nil); err != nil {
			return sum, err
		}
	}
	// rootpage is layout; the order by rowid is that of creation.
	err = add(`SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid`, func(s *sqlite.Stmt) {
		if string(s.Bytes(0)) == "table" {
			tables = append(tables, string(s.Bytes(1)))
		}
	})
	if err != nil {
		return sum, err
	}
	for _, t := range tables {
		sql, err := p.contentOf(t)
		if err != nil {
			return sum, err
		}
		if sql == "" {
			continue
		}
		d.Add(structs.NewSQLRow(structs.TextValue(t)))
		if err := add(sql, nil); err != nil {
			return sum, err
		}
	}
	return [32]byte(d.Sum()), nil
}

// contentOf is the query for all of a table; "" for a virtual one, whose content is in other tables.
func (p *Pin) contentOf(table string) (string, error) {
	var kind string
	var withoutRowid bool
	_, err := p.r.ask(`SELECT type, wr FROM pragma_table_list(?) WHERE schema = 'main'`, func(s *sqlite.Stmt) bool {
		kind, withoutRowid = string(s.Bytes(0)), s.Int64(1) != 0
		return false
	}, table)
	if err != nil || kind == "virtual" {
		return "", err
	}
	if withoutRowid {
		return "SELECT * FROM " + quote(table), nil
	}
	columns := map[string]bool{}
	_, err = p.r.ask(`SELECT lower(name) FROM pragma_table_xinfo(?)`, func(s *sqlite.Stmt) bool {
		columns[string(s.Bytes(0))] = true
		return true
	}, table)
	if err != nil {
		return "", err
	}
	for _, rowid := range []string{"rowid", "_rowid_", "oid"} {
		if !columns[rowid] {
			return "SELECT " + rowid + ", * FROM " + quote(table) + " NOT INDEXED ORDER BY " + rowid, nil
		}
	}
	return "SELECT * FROM " + quote(table) + " NOT INDEXED", nil
}
