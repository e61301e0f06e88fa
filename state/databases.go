package state

import (
	"cmp"
	"fmt"
	"os"

	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/structs"
)

func databasesSchema() *memdb.TableSchema { return table(tableDatabases, databaseID) }

func databaseID(r *structs.SQLDatabase) []byte {
	if r.Namespace == "" || r.Name == "" {
		return nil
	}
	return joinKey(string(r.Namespace), r.Name)
}

// databaseFile names a database's file. The index at which it was made, or at which an upload brought it, keeps a
// file apart from an earlier one of a database of the same name, which may still be read.
func databaseFile(r *structs.SQLDatabase) string {
	if r.Upload != nil {
		return fmt.Sprintf("%s.%s.%d%s", r.Namespace, r.Name, r.CreateIndex, uploadExt)
	}
	return fmt.Sprintf("%s.%s.%d.db", r.Namespace, r.Name, cmp.Or(r.FileIndex, r.CreateIndex))
}

// database is the row of a database, never that of an upload.
func (v view) database(ws memdb.WatchSet, ns structs.Namespace, name string) *structs.SQLDatabase {
	if d := v.databaseRow(ws, ns, name); d != nil && d.Upload == nil {
		return d
	}
	return nil
}

func (v view) databaseRow(ws memdb.WatchSet, ns structs.Namespace, name string) *structs.SQLDatabase {
	return first[structs.SQLDatabase](ws, v.tx, tableDatabases, indexID, joinKey(string(ns), name))
}

// SQLDatabase creates, drops or changes a database. Refusals: KindInvalid for a name that cannot be one, KindNotFound
// for a namespace or, when not creating, a database that does not exist, KindConflict for creating one that does. An error
// is a fault of this server's own.
func (t *Txn) SQLDatabase(r *structs.SQLDatabaseRequest) (*structs.SQLDatabaseReply, *structs.Error, error) {
	ns, name := r.Namespace, r.Database.Name
	if !structs.ValidDatabase(name) {
		return nil, structs.Errorf(structs.KindInvalid, "invalid database name %q", name).
			WithHint("1 to 63 of a-z, 0-9, _ and -, beginning with a letter or a digit"), nil
	}
	if refusal := t.needNamespace(ns); refusal != nil {
		return nil, refusal, nil
	}
	old := t.view().database(nil, ns, name)
	reply := &structs.SQLDatabaseReply{}
	reply.Index = t.index
	switch r.Op {
	case structs.SQLDatabaseCreate, structs.SQLDatabaseEnsure:
		if old != nil && r.Op == structs.SQLDatabaseEnsure {
			reply.Database = *old
			break
		}
		if old != nil {
			return nil, structs.Errorf(structs.KindConflict, "database %q already exists", name), nil
		}
		if refusal := t.roomForDatabase(ns); refusal != nil {
			return nil, refusal, nil
		}
		d := r.Database
		d.Namespace, d.UsedBytes = ns, 0
		created := t.createDatabase(d)
		reply.Database = *created
		if d.ChangesBytes > 0 {
			if err := t.setChanges(created); err != nil {
				return nil, nil, err
			}
		}
	case structs.SQLDatabaseDrop:
		if old == nil {
			return nil, noDatabase(name), nil
		}
		t.dropDatabase(old)
		reply.Database = *old
	case structs.SQLDatabaseSetChanges:
		d, refusal := t.databaseToWrite(ns, name)
		if refusal != nil {
			return nil, refusal, nil
		}
		changed := *d
		changed.ChangesBytes = r.Database.ChangesBytes
		replace(t, tableDatabases, d, &changed)
		reply.Database = changed
		if err := t.setChanges(&changed); err != nil {
			return nil, nil, err
		}
	default:
		return nil, structs.Errorf(structs.KindInvalid, "unknown database operation %q", r.Op), nil
	}
	return reply, nil, nil
}

// setChanges has a database keep as much of its changes as its row says. The file holds the setting too, since what an
// entry does must follow from the state at which the file stands.
func (t *Txn) setChanges(d *structs.SQLDatabase) error {
	w, err := t.openDatabase(d)
	if err != nil || w.tx == nil {
		return err
	}
	if err := w.tx.SetChanges(d.ChangesBytes); err != nil {
		return w.fault(err)
	}
	return nil
}

func noDatabase(name string) *structs.Error {
	return structs.Errorf(structs.KindNotFound, "database %q does not exist", name).
		WithHint("create it first, or name another one; debros sql database list shows those that exist")
}

func (t *Txn) createDatabase(d structs.SQLDatabase) *structs.SQLDatabase {
	d.CreateIndex, d.ModifyIndex = t.index, t.index
	replace(t, tableDatabases, nil, &d)
	t.touch(tableDatabases, d.Namespace)
	return &d
}

// dropDatabase takes the row away at once and the file when the entry is committed and nobody reads it any more.
func (t *Txn) dropDatabase(d *structs.SQLDatabase) {
	replace(t, tableDatabases, d, nil)
	t.touch(tableDatabases, d.Namespace)
	t.dropped = append(t.dropped, d)
	t.onUndo(func() { t.dropped = t.dropped[:len(t.dropped)-1] })
}

// databaseToWrite is the row of a database that this entry writes, now marked as changed by it. The default one
// comes with its first write.
func (t *Txn) databaseToWrite(ns structs.Namespace, name string) (*structs.SQLDatabase, *structs.Error) {
	name = databaseName(name)
	if refusal := t.needNamespace(ns); refusal != nil {
		return nil, refusal
	}
	old := t.view().database(nil, ns, name)
	switch {
	case old == nil && name != structs.DefaultDatabase:
		return nil, noDatabase(name)
	case old == nil:
		if refusal := t.roomForDatabase(ns); refusal != nil {
			return nil, refusal
		}
		return t.createDatabase(structs.SQLDatabase{Namespace: ns, Name: name}), nil
	case old.ModifyIndex == t.index:
		return old, nil
	}
	d := *old
	d.ModifyIndex = t.index
	replace(t, tableDatabases, old, &d)
	t.touch(tableDatabases, ns)
	return &d, nil
}

// databaseName is the database that a request means.
func databaseName(name string) string { return cmp.Or(name, structs.DefaultDatabase) }

// KeepsChanges reports whether there is a database whose changes are kept.
func (s *Store) KeepsChanges() bool {
	for d := range scan[structs.SQLDatabase](nil, s.view(nil).tx, tableDatabases, indexID, nil) {
		if d.ChangesBytes > 0 {
			return true
		}
	}
	return false
}

// HasDatabases reports whether there is any database.
func (s *Store) HasDatabases() bool {
	for range scan[structs.SQLDatabase](nil, s.view(nil).tx, tableDatabases, indexID, nil) {
		return true
	}
	return false
}

// HasUploads reports whether there is an upload, or a database whose file one brought.
func (s *Store) HasUploads() bool {
	for d := range scan[structs.SQLDatabase](nil, s.view(nil).tx, tableDatabases, indexID, nil) {
		if d.Upload != nil || d.FileIndex > 0 {
			return true
		}
	}
	return false
}

// SQLDatabaseGet returns a database's row, nil when it does not exist (the default one: while nothing was
// written to it); the index is its ModifyIndex, or the table's when it is missing.
func (s *Store) SQLDatabaseGet(ws memdb.WatchSet, ns structs.Namespace, name string) (uint64, *structs.SQLDatabase) {
	v := s.view(ws)
	if d := v.database(ws, ns, name); d != nil {
		return d.ModifyIndex, d
	}
	return v.tableIndex(tableDatabases, ns), nil
}

// SQLDatabaseList returns the databases of a namespace in the order of their names, those after after, limit at
// most (0 = all); more says whether others follow.
func (s *Store) SQLDatabaseList(ws memdb.WatchSet, ns structs.Namespace, after string, limit int) (index uint64, list []*structs.SQLDatabase, more bool) {
	v := s.view(ws)
	for d := range scan[structs.SQLDatabase](ws, v.tx, tableDatabases, indexID, joinKey(string(ns), "")) {
		if d.Name <= after || d.Upload != nil {
			continue
		}
		if limit > 0 && len(list) == limit {
			more = true
			break
		}
		list = append(list, d)
	}
	return v.tableIndex(tableDatabases, ns), list, more
}

// SQLSize is how many databases there are, and how many bytes they and uploads have on this server's disk.
func (s *Store) SQLSize() (databases int, bytes int64) {
	e := s.current.Load()
	for d := range scan[structs.SQLDatabase](nil, e.db.Txn(false), tableDatabases, indexID, nil) {
		if d.Upload == nil {
			databases++
		}
		if e.files == nil {
			continue
		}
		for _, suffix := range []string{"", "-wal"} {
			if st, err := os.Stat(e.files.pathOf(d) + suffix); err == nil { // one that is gone has no size
				bytes += st.Size()
			}
		}
	}
	return databases, bytes
}
