package sqldb

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/debros/debros/state/sqldb/sqlite"
)

// ownPrefix begins the names of the tables that are not the user's.
const ownPrefix = "_debros_"

// schema is what a new database begins with. It is part of the replicated state: append only, with formatVersion.
const schema = `
CREATE TABLE _debros_meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE _debros_replies (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, ms INTEGER NOT NULL, bytes INTEGER NOT NULL, reply BLOB NOT NULL);
INSERT INTO _debros_meta VALUES ('format', 1), ('applied', 0);`

const formatVersion = 1

// pinsMax bounds the states held at one time: a snapshot, backups, two comparisons, one of which waits.
const pinsMax = 8

// guestsMax of them are held for as long as a client takes to read a backup. The rest is for who applies entries: it must not
// wait for a client.
const guestsMax = 4

// DB is an open database. One goroutine at a time writes, by Begin; any may read.
type DB struct {
	engine *Engine
	path   string
	o      Options

	applied atomic.Uint64 // index of the last committed entry
	used    atomic.Int64  // bytes of its pages after that; -1 = never noted
	w       *writer       // owned by the goroutine that writes
	pool    pool
	log     walMover

	closeOnce sync.Once
	closeErr  error
}

// Open opens the database at path, or makes it. Every error is a local fault.
func (e *Engine) Open(path string, o Options) (*DB, error) {
	if o.ReadersMax <= 0 {
		o.ReadersMax = 4
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	db := &DB{engine: e, path: path, o: o}
	db.pool = pool{db: db, tokens: make(chan struct{}, o.ReadersMax), pins: make(chan struct{}, pinsMax), guests: make(chan struct{}, guestsMax)}
	if db.w, err = db.openWriter(); err != nil {
		return nil, db.localFault("open", err)
	}
	if err := db.prepareFile(); err != nil {
		db.w.close()
		return nil, db.localFault("open", err)
	}
	return db, nil
}

// prepareFile makes our tables in a new file, or reads them.
func (db *DB) prepareFile() error {
	w := db.w
	w.trusted = true
	defer func() { w.trusted = false }()
	tables, err := w.Int64(`SELECT count(*) FROM sqlite_schema WHERE name IN ('_debros_meta', '_debros_replies')`)
	if err != nil {
		return err
	}
	if tables == 0 {
		if err := w.Exec("BEGIN IMMEDIATE;" + schema + "COMMIT"); err != nil {
			return err
		}
	}
	format, err := w.Int64(`SELECT value FROM _debros_meta WHERE key = 'format'`)
	if err != nil {
		return err
	}
	if format != formatVersion {
		return fmt.Errorf("its format is %d, this build knows %d", format, formatVersion)
	}
	applied, err := w.Int64(`SELECT value FROM _debros_meta WHERE key = 'applied'`)
	if err != nil {
		return err
	}
	db.applied.Store(uint64(applied))
	page, err := w.Int64("PRAGMA page_size")
	if err != nil {
		return err
	}
	db.log.pageBytes = int(page)
	if err := w.loadCapture(); err != nil {
		return err
	}
	if err := db.readUsed(); err != nil {
		return err
	}
	return w.load()
}

// AppliedIndex is the index of the last entry that wrote to the database.
func (db *DB) AppliedIndex() uint64 { return db.applied.Load() }

// SizeBytes is the size of the file and its write-ahead log.
func (db *DB) SizeBytes() (int64, error) {
	var size int64
	for _, suffix := range []string{"", "-wal"} {
		switch st, err := os.Stat(db.path + suffix); {
		case err == nil:
			size += st.Size()
		case !os.IsNotExist(err):
			return 0, fmt.Errorf("size of database: %w", err)
		}
	}
	return size, nil
}

// SchemaVersion is SQLite's count of changes of the schema.
func (db *DB) SchemaVersion(ctx context.Context) (version int64, err error) {
	r, err := db.pool.get(ctx)
	if err != nil {
		return 0, err
	}
	defer db.pool.put(r)
	_, err = r.ask("PRAGMA schema_version", func(s *sqlite.Stmt) bool {
		version = s.Int64(0)
		return false
	})
	return version, err
}

// Close waits for readers and closes the database, after which the file stands alone. Twice is fine.
func (db *DB) Close() error {
	db.closeOnce.Do(func() {
		db.pool.close()
		db.log.wait()
		// Emptying the log spares the next Open from reading it; if it cannot be done now, Open will.
		var err error
		if !db.w.Closed() { // after a fault there may be no writer any more
			err = db.w.Checkpoint()
		}
		if cerr := db.w.close(); cerr != nil {
			err = cerr
		}
		if err != nil {
			db.closeErr = db.localFault("close", err)
		}
	})
	return db.closeErr
}

// writer is the connection that writes, with what its callbacks note.
type writer struct {
	*conn
	draws   draws
	capture *capture // nil: changes are not kept

	limit    int64        // steps that the running statement may make; <0 = not counted
	steps    int64        // that it made, in multiples of progressSteps
	over     bool         // it made more
	perStep  int64        // bytes that count as a step; 0 = they do not count
	before   int64        // size of the database when the running statement began
	grown    int64        // the most that the running statement was seen to have added to it
	stepping *sqlite.Stmt // the statement that is counted
	tempMax  int64        // what it may sort and collect
	temp     int64        // the most that was seen of it
	overTemp bool         // it did more
	maxRowid bool         // it wrote the highest rowid
	inserted bool         // it inserted into a table with rowids
	wrote    bool         // it wrote to a table with rowids
	halfDone bool         // it failed and SQLite may not have taken back what it had written

	withoutRowID bool // there are tables without rowids besides ours

	virtual     bool  // there are virtual tables
	changed     bool  // the transaction has changed the schema, or taken such a change back
	changesBase int64 // total changes before the request

	frames int // in the write-ahead log, after the last commit
}

const maxInt64 = 1<<63 - 1

func (db *DB) openWriter() (*writer, error) {
	c, err := openConn(db.path, db.engine.writersName, true, db.o)
	if err != nil {
		return nil, err
	}
	w := &writer{conn: c, limit: -1, draws: draws{name: db.o.Name}}
	c.Progress(progressSteps, func() bool {
		if w.limit < 0 {
			return false
		}
		w.steps += progressSteps
		w.lookAtSize()
		w.over = w.steps+w.charged() > w.limit
		w.temp = max(w.temp, w.stepping.TempBytes())
		w.overTemp = !w.over && w.temp > w.tempMax
		return w.over || w.overTemp
	})
	c.OnUpdate(func(op int32, rowid int64) {
		w.wrote = true
		if op != sqlite.OpDelete {
			w.maxRowid = w.maxRowid || rowid == maxInt64
			w.inserted = w.inserted || op == sqlite.OpInsert
		}
	})
	c.OnCommit(func(frames int) { w.frames = frames })
	err = w.draws.define(c)
	if err == nil {
		err = c.Func("total_changes", 0, func(call sqlite.Call) { call.Int64(w.TotalChanges() - w.changesBase) })
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// load has SQLite read the schema now, so that this work is in no statement's budget, and connect the virtual tables: the
// statements they compile then would else count as what the user's statement intends, on a new connection only.
func (w *writer) load() (err error) {
	w.trusted = true
	defer func() { w.trusted = false }()
	if w.changed {
		// What SQLite keeps of the schema in memory depends on how it came about: estimates outlive the statistics that they
		// came from. SAVEPOINT has FTS5 write what it holds, before its table is connected anew.
		if err := w.Exec("SAVEPOINT load; RELEASE load; PRAGMA writable_schema=RESET"); err != nil {
			return err
		}
	}
	var tables []string
	s, _, err := w.Prepare(`SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL%'`)
	if err != nil {
		return err
	}
	for {
		more, err := s.Step()
		if err != nil {
			s.Finalize()
			return err
		}
		if !more {
			break
		}
		tables = append(tables, string(s.Bytes(0)))
	}
	s.Finalize()
	w.virtual = len(tables) > 0
	others, err := w.Int64(`SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND wr AND name <> '_debros_meta'`)
	if err != nil {
		return err
	}
	w.withoutRowID = others > 0
	if w.capture != nil {
		defer func() {
			if err == nil { // behind the virtual tables, which tell which tables are theirs
				err = w.capture.loadTables(w)
			}
		}()
	}
	for _, name := range tables {
		s, _, err := w.Prepare(`SELECT 1 FROM main."` + strings.ReplaceAll(name, `"`, `""`) + `"`)
		if s != nil {
			// FTS5 learns the number of its settings when it looks into its index, and writes it down at 'rebuild' and
			// 'delete-all' without a look.
			_, err = s.Step()
			s.Finalize()
		}
		if err != nil && refusalOf(err) == nil { // one that cannot be connected is refused where it is used
			return err
		}
	}
	return nil
}
