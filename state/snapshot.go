package state

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/state/sqldb"
	"github.com/debros/debros/structs"
)

// Snapshot is an immutable sight of the whole store, which costs nothing to take and does not hold up
// writers. Rows come in key order and must not be changed. Each iteration stops at, and returns, the
// first error of its function.
type Snapshot struct {
	v   view
	sql *sqlSnapshot
}

// Snapshot takes one; Release must end it. It belongs to the goroutine that applies entries, so that none is applied meanwhile.
func (s *Store) Snapshot() *Snapshot {
	e := s.current.Load()
	v := view{e.db.Txn(false)}
	return &Snapshot{v: v, sql: e.files.snapshot(v, true)}
}

// Sight is Snapshot for who sums up the databases: none of them is replaced by what an earlier snapshot keeps of it.
func (s *Store) Sight() *Snapshot {
	e := s.current.Load()
	v := view{e.db.Txn(false)}
	return &Snapshot{v: v, sql: e.files.snapshot(v, false)}
}

// Note says, before the snapshot can be used, under which id it will be known: see Store.CanResume.
func (s *Snapshot) Note(id string) error {
	if s.sql == nil {
		return nil
	}
	return note(s.sql.files.dir, id)
}

// Release lets go of the databases. It may be called twice.
func (s *Snapshot) Release() { s.sql.release() }

// Index is Store.Index at the time of the snapshot.
func (s *Snapshot) Index() uint64 { return s.v.lastEntry().Index }

// Time is Store.Time at the time of the snapshot.
func (s *Snapshot) Time() time.Time { return time.Unix(0, s.v.lastEntry().Time).UTC() }

// Namespaces calls fn for every namespace, the default one included.
func (s *Snapshot) Namespaces(fn func(*structs.NamespaceInfo) error) error {
	return each(s.v, tableNamespaces, fn)
}

// Nodes calls fn for every node.
func (s *Snapshot) Nodes(fn func(*structs.Node) error) error { return each(s.v, tableNodes, fn) }

// Sessions calls fn for every session of every namespace.
func (s *Snapshot) Sessions(fn func(*structs.Session) error) error {
	return each(s.v, tableSessions, fn)
}

// KVs calls fn for every pair of every namespace.
func (s *Snapshot) KVs(fn func(*structs.KVPair) error) error { return each(s.v, tableKV, fn) }

// Tombstones calls fn for every deletion that is still remembered.
func (s *Snapshot) Tombstones(fn func(*Tombstone) error) error { return each(s.v, tableTombstones, fn) }

// LockDelays calls fn for every lock-delay, perhaps some that have passed.
func (s *Snapshot) LockDelays(fn func(*LockDelay) error) error { return each(s.v, tableLockDelays, fn) }

// TableIndexes calls fn for the index of every table and of every namespace's part.
func (s *Snapshot) TableIndexes(fn func(*TableIndex) error) error { return each(s.v, tableIndex, fn) }

// Databases calls fn for the row of every database.
func (s *Snapshot) Databases(fn func(*structs.SQLDatabase) error) error {
	return each(s.v, tableDatabases, fn)
}

// Streams calls fn for every stream of every namespace.
func (s *Snapshot) Streams(fn func(*structs.Stream) error) error { return each(s.v, tableStreams, fn) }

// Messages calls fn for every message that is kept.
func (s *Snapshot) Messages(fn func(*structs.StreamMessage) error) error {
	return each(s.v, tableMessages, fn)
}

// Publications calls fn for every id of a message that is remembered.
func (s *Snapshot) Publications(fn func(*structs.StreamPublication) error) error {
	return each(s.v, tablePublications, fn)
}

// Consumers calls fn for every consumer of a stream.
func (s *Snapshot) Consumers(fn func(*structs.StreamConsumer) error) error {
	return each(s.v, tableConsumers, fn)
}

// TxnReplies calls fn for every reply to a transaction with a RequestID that is kept.
func (s *Snapshot) TxnReplies(fn func(*structs.StoredTxn) error) error {
	return each(s.v, tableTxnReplies, fn)
}

// WriteDatabase writes a database of the snapshot, one without a Copy, as one SQLite file, once. It returns the index of the
// last entry that is in it.
func (s *Snapshot) WriteDatabase(d *structs.SQLDatabase, w io.Writer) (applied uint64, err error) {
	return s.sql.writeTo(d, w)
}

// Fingerprint sums up what a database of the snapshot holds, however its pages are laid out, once. rest is called now and
// then meanwhile and may sleep. An error for which sqldb.Damaged holds says that this server's file is not what it was;
// ErrAhead and ErrReplaced, that the state of the snapshot cannot be had.
func (s *Snapshot) Fingerprint(ctx context.Context, d *structs.SQLDatabase, rest func()) ([32]byte, error) {
	return s.sql.fingerprint(ctx, d, s.Index(), rest)
}

// Autopilot is the autopilot configuration, nil when none was ever set.
func (s *Snapshot) Autopilot() *structs.AutopilotConfig { return s.v.autopilot(nil) }

// Cluster is what the cluster knows of itself, nil when it has no id yet.
func (s *Snapshot) Cluster() *structs.ClusterInfo { return s.v.cluster(nil) }

func each[T any](v view, table string, fn func(*T) error) error {
	for row := range scan[T](nil, v.tx, table, indexID, nil) {
		if err := fn(row); err != nil {
			return err
		}
	}
	return nil
}

// Restorer fills a store that is being restored, in any order of rows. It keeps the rows it is given.
// Rows keep their indexes. A row without its key is an error.
type Restorer struct {
	tx    *memdb.Txn
	files *sqlFiles                   // nil in a store without databases
	used  map[structs.Namespace]int64 // bytes of keys, values and messages
	keep  bool                        // files that are not older than their rows stay
}

// Entry sets what Store.Index and Store.Time will be.
func (r *Restorer) Entry(index uint64, t time.Time) error {
	return restoreRow(r, tableLastEntry, &lastEntry{Index: index, Time: unixNano(t)})
}

// Namespace adds a namespace. The default one comes by itself when it is not added.
func (r *Restorer) Namespace(row *structs.NamespaceInfo) error {
	return restoreRow(r, tableNamespaces, row)
}

// Node adds a node.
func (r *Restorer) Node(row *structs.Node) error {
	return restoreRow(r, tableNodes, row)
}

// Session adds a session.
func (r *Restorer) Session(row *structs.Session) error {
	return restoreRow(r, tableSessions, row)
}

// KV adds a pair, with its lock and expiry.
func (r *Restorer) KV(row *structs.KVPair) error {
	if row != nil && len(row.Value) == 0 {
		row.Value = nil
	}
	if row != nil {
		r.grow(row.Namespace, kvBytes(row))
	}
	return restoreRow(r, tableKV, row)
}

func (r *Restorer) grow(ns structs.Namespace, n int64) {
	if r.used == nil {
		r.used = map[structs.Namespace]int64{}
	}
	r.used[ns] += n
}

// Stream adds a stream; its messages and consumers come by themselves.
func (r *Restorer) Stream(row *structs.Stream) error { return restoreRow(r, tableStreams, row) }

// Message adds a message.
func (r *Restorer) Message(row *structs.StreamMessage) error {
	if row != nil {
		r.grow(row.Namespace, row.Bytes())
	}
	return restoreRow(r, tableMessages, row)
}

// TxnReply adds the reply to a transaction.
func (r *Restorer) TxnReply(row *structs.StoredTxn) error { return restoreRow(r, tableTxnReplies, row) }

// Publication adds the id of a message.
func (r *Restorer) Publication(row *structs.StreamPublication) error {
	return restoreRow(r, tablePublications, row)
}

// Consumer adds a consumer.
func (r *Restorer) Consumer(row *structs.StreamConsumer) error {
	return restoreRow(r, tableConsumers, row)
}

// Tombstone adds a deletion.
func (r *Restorer) Tombstone(row *Tombstone) error {
	return restoreRow(r, tableTombstones, row)
}

// LockDelay adds a lock-delay.
func (r *Restorer) LockDelay(row *LockDelay) error {
	return restoreRow(r, tableLockDelays, row)
}

// TableIndex adds the index of a table or of a namespace's part.
func (r *Restorer) TableIndex(row *TableIndex) error {
	return restoreRow(r, tableIndex, row)
}

// Database adds a database with its file, which is checked as a whole: a *structs.Error says what is wrong with it.
// copy, nil for none, says that the snapshot of that id keeps the same file on this server's disk.
func (r *Restorer) Database(row *structs.SQLDatabase, file io.Reader, copy *DatabaseCopy, snapshot string) error {
	if r.files == nil {
		return errNoSQL
	}
	if err := restoreRow(r, tableDatabases, row); err != nil {
		return err
	}
	applied, kept := uint64(0), false
	if r.keep {
		applied, kept = r.files.notOlder(row)
	}
	path := filepath.Join(r.files.dir, databaseFile(row))
	if row.Upload != nil {
		if kept {
			return nil
		}
		return restoreUpload(path, row, file)
	}
	if !kept {
		if err := sqldb.Install(path, file); err != nil {
			return err
		}
	}
	if copy != nil && (!kept || applied == copy.Applied) { // a file that is ahead is in another state
		r.files.hasCopy(row, *copy, snapshot)
	}
	return nil
}

// Autopilot sets the autopilot configuration.
func (r *Restorer) Autopilot(row *structs.AutopilotConfig) error {
	return restoreRow(r, tableAutopilot, row)
}

// Cluster sets what the cluster knows of itself.
func (r *Restorer) Cluster(row *structs.ClusterInfo) error {
	return restoreRow(r, tableCluster, row)
}

func restoreRow[T any](r *Restorer, table string, row *T) error {
	if row == nil {
		return fmt.Errorf("restore a row of table %s: there is none", table)
	}
	if err := r.tx.Insert(table, row); err != nil {
		return fmt.Errorf("restore a row of table %s: %w", table, err)
	}
	return nil
}
