package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/debros/debros/state/sqldb/sqlite"
	"github.com/debros/debros/structs"
	lib "modernc.org/sqlite/lib"
)

// Prepared is what Prepare found out of the file that it made.
type Prepared struct {
	PageBytes int
	SizeBytes int64
}

// Prepare makes, of a SQLite file that a user brought, the file of a database at the path to, which must not be there: the user's
// tables with ours, at index 0. from is changed. What is wrong with the file is a *structs.Error.
//
// A file says more than SQL could: names that belie their text, two tables on one page, indexes that
// disagree with their table, settings. So it is not taken as it is. SQLite copies the rows into a file of its own making, and
// what is in the schema must be what the same CREATE statements give when a user sends them, under all the rules for users.
func Prepare(ctx context.Context, from, to string, o Options) (*Prepared, error) {
	engine, err := NewEngine(EngineOptions{TempDir: filepath.Dir(to)}) // its clock is nobody else's
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	if err := examineForeign(ctx, from); err != nil {
		return nil, err
	}
	if err := vacuumInto(ctx, from, to); err != nil {
		return nil, err
	}
	if err := engine.examineSchema(ctx, to, o); err != nil {
		return nil, err
	}
	return engine.adopt(to, o)
}

// examineForeign is examine for a file of which nothing is known.
func examineForeign(ctx context.Context, path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("examine database: %w", err)
	}
	defer f.Close()
	header := make([]byte, 100)
	n, err := f.ReadAt(header, 0)
	if err != nil && err != io.EOF {
		return fmt.Errorf("examine database: %w", err)
	}
	switch {
	case n == 0:
		return unsound("it is empty")
	case !strings.HasPrefix(string(header[:n]), "SQLite format 3\x00"):
		return unsound("it is no SQLite file, or it is encrypted").WithHint("SQL text is for import")
	case n < len(header):
		return unsound("it is shorter than a header")
	case header[18] == 2 && header[19] == 2:
		// It was in WAL mode. Without its log, which did not come with it, it is what the last checkpoint left.
		if _, err := f.WriteAt([]byte{1, 1}, 18); err != nil {
			return fmt.Errorf("examine database: %w", err)
		}
	}
	if err := examine(path, true); err != nil {
		return err
	}
	c, err := openConn(path, "", false, lenient)
	if err != nil {
		return examined(err)
	}
	defer c.close()
	c.heed(ctx)
	c.trusted = true
	large, err := c.text(fmt.Sprintf("SELECT name FROM dbstat WHERE mx_payload > %d LIMIT 1", valueBytesMax))
	if err != nil {
		return examined(err)
	}
	if large != "" {
		return structs.Errorf(structs.KindTooLarge, "table %s has a row of more than %d bytes, which a database here cannot hold", large, valueBytesMax)
	}
	return nil
}

// heed ends statements with ctx.
func (c *conn) heed(ctx context.Context) {
	c.Progress(progressSteps, func() bool { return ctx.Err() != nil })
}

// vacuumInto copies a database into a new file. Indexes are made anew.
func vacuumInto(ctx context.Context, from, to string) error {
	c, err := openConn(from, "", false, lenient)
	if err != nil {
		return examined(err)
	}
	defer c.close()
	c.heed(ctx)
	c.trusted = true
	c.Limit(lib.SQLITE_LIMIT_ATTACHED, 1) // the new file counts as one
	if err := c.Exec("PRAGMA query_only=0"); err != nil {
		return examined(err)
	}
	if err := c.Exec("VACUUM INTO '" + strings.ReplaceAll(to, "'", "''") + "'"); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return examined(err)
	}
	return nil
}

// object is a row of sqlite_schema.
type object struct {
	kind, name, table, sql string
	rooted                 bool // it has pages
}

func (c *conn) objects() (all []object, err error) {
	_, err = c.ask(`SELECT type, name, tbl_name, coalesce(sql, ''), coalesce(rootpage, 0) > 0 FROM sqlite_schema ORDER BY rowid`, func(s *sqlite.Stmt) bool {
		all = append(all, object{string(s.Bytes(0)), string(s.Bytes(1)), string(s.Bytes(2)), string(s.Bytes(3)), s.Int64(4) != 0})
		return true
	})
	return all, err
}

// examineSchema makes every object of a file's schema in an empty database, as a user would, and compares.
func (e *Engine) examineSchema(ctx context.Context, path string, o Options) error {
	c, err := openConn(path, "", false, lenient)
	if err != nil {
		return examined(err)
	}
	has, err := c.objects()
	c.close()
	if err != nil {
		return examined(err)
	}
	// examineChanges has seen that it is ours, and adopt drops it.
	has = slices.DeleteFunc(has, func(o object) bool { return o.table == "_debros_changes" })
	dir, err := os.MkdirTemp(filepath.Dir(path), "schema-")
	if err != nil {
		return fmt.Errorf("examine schema: %w", err)
	}
	defer os.RemoveAll(dir)
	db, err := e.Open(filepath.Join(dir, "db"), o)
	if err != nil {
		return err
	}
	defer db.Close()
	made, err := db.remake(ctx, has)
	if err != nil {
		return err
	}
	for _, h := range has {
		m, ok := made[h.kind+" "+h.name]
		switch {
		case isOfSQLite(h):
			if h.kind != "table" || h.table != h.name || h.sql != ofSQLite[h.name] || !h.rooted {
				return unsound("table %s is not SQLite's own", h.name)
			}
		case !ok || m.table != h.table || m.rooted != h.rooted:
			return unsound("its schema has %s %s, which its own CREATE statement does not make", h.kind, h.name)
		case m.sql != h.sql && !m.shadow:
			return unsound("its schema has %s %s with the text of another one", h.kind, h.name)
		}
	}
	return nil
}

// ofSQLite are the tables that SQLite makes itself, when it needs them.
var ofSQLite = map[string]string{
	"sqlite_sequence": "CREATE TABLE sqlite_sequence(name,seq)",
	"sqlite_stat1":    "CREATE TABLE sqlite_stat1(tbl,idx,stat)",
	"sqlite_stat4":    "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)",
}

func isOfSQLite(o object) bool {
	return strings.HasPrefix(o.name, "sqlite_") && !strings.HasPrefix(o.name, "sqlite_autoindex_")
}

// remadeObject is an object as its CREATE statement made it.
type remadeObject struct {
	object
	shadow bool // a table that a virtual one has made for itself: its text is of that SQLite's version
}

// remake makes objects. Virtual tables come first, since others are made by them.
func (db *DB) remake(ctx context.Context, objects []object) (map[string]remadeObject, error) {
	made := map[string]remadeObject{}
	look := func(shadow bool) error {
		all, err := db.w.objects()
		for _, o := range all {
			if _, known := made[o.kind+" "+o.name]; !known {
				made[o.kind+" "+o.name] = remadeObject{o, shadow && !strings.HasPrefix(strings.ToUpper(o.sql), "CREATE VIRTUAL")}
			}
		}
		return err
	}
	if err := look(false); err != nil { // our own tables
		return nil, err
	}
	for pass, wants := range []func(o object) bool{
		func(o object) bool { return strings.HasPrefix(strings.ToUpper(o.sql), "CREATE VIRTUAL ") },
		func(o object) bool { return o.kind == "table" },
		func(o object) bool { return o.kind != "table" },
	} {
		tx, err := db.Begin(structs.Stamp{Index: uint64(pass + 1), Time: time.Unix(0, 0)})
		if err != nil {
			return nil, err
		}
		defer tx.Rollback()
		for _, o := range objects {
			_, known := made[o.kind+" "+o.name]
			if !wants(o) || known || o.sql == "" || isOfSQLite(o) {
				continue
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err := remakeOne(tx, o); err != nil {
				return nil, err
			}
		}
		if err := tx.Commit(); err != nil {
			return nil, err
		}
		if err := look(pass == 0); err != nil {
			return nil, err
		}
	}
	return made, nil
}

func remakeOne(tx *Tx, o object) error {
	reply, refusal, err := tx.Execute(&structs.SQLRequest{Statements: []structs.SQLStatement{{SQL: o.sql}}})
	if err != nil {
		return err
	}
	if refusal == nil && len(reply.Results) == 1 {
		refusal = reply.Results[0].Err
	}
	if refusal == nil {
		return nil
	}
	e := *refusal
	e.Kind, e.Message = structs.KindInvalid, fmt.Sprintf("the file has %s %s, which could not be made here: %s", o.kind, o.name, refusal.Message)
	if strings.Contains(e.Message, "no such column") {
		e.Hint = "if it writes strings in double quotes, restore it into a database that allows them (double_quoted_strings)"
	}
	return &e
}

// adopt gives a file our tables, as a new database has them.
func (e *Engine) adopt(path string, o Options) (*Prepared, error) {
	db, err := e.Open(path, o)
	if err != nil {
		return nil, err
	}
	err = db.w.keepChanges(0, 0) // those in the file are of another history
	if err == nil {
		err = db.w.do(`DELETE FROM _debros_replies`)
	}
	if err == nil {
		err = db.w.do(`DELETE FROM _debros_meta WHERE key NOT IN ('format', 'applied')`)
	}
	if err == nil {
		err = db.w.do(`UPDATE _debros_meta SET value = 0 WHERE key = 'applied'`)
	}
	p := &Prepared{}
	if err == nil {
		_, err = db.w.ask("PRAGMA page_size", func(s *sqlite.Stmt) bool { p.PageBytes = int(s.Int64(0)); return false })
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return nil, fmt.Errorf("adopt database: %w", err)
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("adopt database: %w", err)
	}
	if log, err := os.Stat(path + "-wal"); err == nil && log.Size() > 0 {
		return nil, fmt.Errorf("adopt database: %s is not empty", log.Name())
	}
	p.SizeBytes = st.Size()
	return p, nil
}
