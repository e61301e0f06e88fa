package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/debros/debros/state/sqldb"
	"github.com/debros/debros/structs"
)

// sqlWrite is a database that the entry being applied has written.
type sqlWrite struct {
	row  *structs.SQLDatabase
	file *sqlFile
	tx   *sqldb.Tx   // nil when the file has this entry already: it was applied before the process crashed
	mark *sqldb.Mark // while a transaction of several operations runs: what tx was before it
}

// SQL runs a request's statements on its database. The refusal is the same on every replica. An error is a
// fault of this server's own, its disk perhaps: nobody can say what the others have, so the caller must stop.
func (t *Txn) SQL(r *structs.SQLRequest) (*structs.SQLReply, *structs.Error, error) {
	d, refusal := t.databaseToWrite(r.Namespace, r.Database)
	if refusal != nil {
		return nil, refusal, nil
	}
	w, err := t.openDatabase(d)
	if err != nil {
		return nil, nil, err
	}
	if w.tx == nil {
		reply := &structs.SQLReply{} // who asked is gone
		reply.Index = t.index
		return reply, nil, nil
	}
	reply, refusal, err := t.execute(w, r)
	if err != nil {
		return nil, nil, w.fault(err)
	}
	if refusal != nil {
		return nil, refusal, nil
	}
	reply.Index = t.index
	return reply, nil, nil
}

// openDatabase begins this entry's transaction on a database, once.
func (t *Txn) openDatabase(d *structs.SQLDatabase) (*sqlWrite, error) {
	name := databaseFile(d)
	if w := t.sql[name]; w != nil {
		return w, nil
	}
	f, err := t.files.acquire(d)
	if err != nil {
		return nil, err
	}
	w := &sqlWrite{row: d, file: f}
	if f.db.AppliedIndex() < t.index {
		if err := t.files.pinForSnapshots(name); err != nil {
			t.files.release(f)
			return nil, err
		}
		w.tx, err = f.db.Begin(structs.Stamp{Index: t.index, Time: time.Unix(0, t.now), Seed: t.seed})
		if err != nil {
			t.files.release(f)
			return nil, fmt.Errorf("database %s of namespace %s: %w", d.Name, d.Namespace, err)
		}
	}
	if t.sql == nil {
		t.sql = map[string]*sqlWrite{}
	}
	t.sql[name] = w
	t.sqlOrder = append(t.sqlOrder, w)
	return w, nil
}

// commitSQL commits what the entry wrote to databases, in the order in which it met them.
func (t *Txn) commitSQL() error {
	for len(t.sqlOrder) > 0 {
		w := t.sqlOrder[0]
		if w.tx != nil {
			if err := w.tx.Commit(); err != nil {
				return fmt.Errorf("commit entry %d to %s: %w", t.index, w.file.name, err)
			}
		}
		if err := t.noteUsed(w); err != nil {
			return w.fault(err)
		}
		t.files.release(w.file)
		t.sqlOrder = t.sqlOrder[1:]
	}
	t.sql = nil
	return nil
}

// abortSQL takes back what is not committed.
func (t *Txn) abortSQL() {
	for _, w := range t.sqlOrder {
		if w.tx != nil {
			_ = w.tx.Rollback() // it fails only where the commit has failed, and then this server stops
		}
		t.files.release(w.file)
	}
	t.sql, t.sqlOrder = nil, nil
}

// SQLSink is who gets a query's result.
type SQLSink struct {
	// Begin is told the index of the last entry which the rows are sure to show, and the columns' names and declared types.
	Begin func(index uint64, names, types []string) error
	// Row gets each row, whose bytes are valid until it returns.
	Row func(structs.SQLRow) error
}

// SQLQuery reads a database by one statement. What the user did wrong is a *structs.Error; an error of the sink ends
// the statement and comes back; so does ctx.
func (s *Store) SQLQuery(ctx context.Context, ns structs.Namespace, database string, stmt structs.SQLStatement, to SQLSink) error {
	return s.reading(ns, database, func(db *sqldb.DB, index uint64) error {
		return db.Query(ctx, stmt, func(names, types []string) error { return to.Begin(index, names, types) }, to.Row)
	})
}

// SQLBackup writes a database, as it is now, as one file that any SQLite opens or as SQL text, while entries go on being
// applied.
func (s *Store) SQLBackup(ctx context.Context, r *structs.SQLBackupRequest, w io.Writer) error {
	return s.reading(r.Namespace, r.Database, func(db *sqldb.DB, _ uint64) error {
		if r.Vacuum && !r.Text {
			return db.WriteCompact(ctx, s.dbs.path, w)
		}
		pin, err := db.PinForClient(ctx)
		if err != nil {
			return err
		}
		defer pin.Release()
		if r.Text {
			return pin.Dump(ctx, r.Tables, w)
		}
		_, err = pin.WriteTo(w)
		return err
	})
}

// reading calls f with an open database and the index of the last entry that it is sure to show.
func (s *Store) reading(ns structs.Namespace, database string, f func(db *sqldb.DB, index uint64) error) error {
	for {
		files, file, index, err := s.toRead(ns, database)
		if errors.Is(err, errReplaced) {
			continue // by a restore; there are other files now
		}
		if err != nil {
			return err
		}
		defer files.release(file)
		return f(file.db, index)
	}
}

func (s *Store) toRead(ns structs.Namespace, database string) (*sqlFiles, *sqlFile, uint64, error) {
	if database == "" {
		database = structs.DefaultDatabase
	}
	e := s.current.Load()
	v := view{e.db.Txn(false)}
	d := v.database(nil, ns, database)
	if d == nil {
		if v.namespace(nil, ns) == nil {
			return nil, nil, 0, structs.Errorf(structs.KindNotFound, "namespace %q does not exist", ns)
		}
		if database != structs.DefaultDatabase {
			return nil, nil, 0, noDatabase(database)
		}
		d = emptyDatabase()
	}
	f, err := e.files.acquire(d)
	return e.files, f, max(v.lastEntry().Index, 1), err
}

// emptyDatabase answers for the default database of a namespace to which nothing was ever written. No entry can
// write it: its namespace has no name that one could have.
func emptyDatabase() *structs.SQLDatabase {
	return &structs.SQLDatabase{Namespace: "-", Name: structs.DefaultDatabase}
}

// SQLDatabaseInfo measures this server's own copy of a database.
func (s *Store) SQLDatabaseInfo(ctx context.Context, d *structs.SQLDatabase) (*structs.SQLDatabaseInfo, error) {
	info := &structs.SQLDatabaseInfo{SQLDatabase: *d}
	files := s.current.Load().files
	f, err := files.acquire(d)
	if err != nil {
		return nil, err
	}
	defer files.release(f)
	info.AppliedIndex = f.db.AppliedIndex()
	if info.SizeBytes, err = f.db.SizeBytes(); err != nil {
		return nil, err
	}
	info.SchemaVersion, err = f.db.SchemaVersion(ctx)
	return info, err
}
