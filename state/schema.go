package state

import (
	"bytes"
	"fmt"
	"iter"

	"github.com/hashicorp/go-memdb"
)

// Table names. They are also the names in TableIndex rows, and so part of the snapshot format.
const (
	tableKV           = "kv"
	tableTombstones   = "tombstones"
	tableSessions     = "sessions"
	tableLockDelays   = "lockdelays"
	tableNodes        = "nodes"
	tableNamespaces   = "namespaces"
	tableIndex        = "index"
	tableLastEntry    = "lastentry"
	tableAutopilot    = "autopilot"
	tableCluster      = "cluster"
	tableDatabases    = "databases"
	tableUsage        = "usage"
	tableStreams      = "streams"
	tableMessages     = "messages"
	tablePublications = "publications"
	tableConsumers    = "consumers"
	tableTxnReplies   = "txnreplies"
)

// Index names; go-memdb insists on "id" for the primary one.
const (
	indexID      = "id"
	indexSession = "session" // kv: by the session that holds the key
	indexExpires = "expires" // kv: by ExpiresAt
	indexRaft    = "raft"    // tombstones: by Raft index
	indexUntil   = "until"   // lockdelays: by end
	indexNode    = "node"    // sessions: by node name
	indexNodeID  = "nodeid"  // nodes: by node id
	indexSeq     = "seq"     // publications: by number of the message; txnreplies: by Seq
)

// schema lists the tables; each file of this package declares its own.
func schema() *memdb.DBSchema {
	tables := map[string]*memdb.TableSchema{}
	for _, t := range []*memdb.TableSchema{
		kvSchema(), tombstonesSchema(), sessionsSchema(), lockDelaysSchema(), nodesSchema(),
		namespacesSchema(), indexSchema(), lastEntrySchema(), autopilotSchema(), clusterSchema(), databasesSchema(), usageSchema(),
		streamsSchema(), messagesSchema(), publicationsSchema(), consumersSchema(), txnRepliesSchema(),
	} {
		tables[t.Name] = t
	}
	return &memdb.DBSchema{Tables: tables}
}

// keyIndex is an index whose keys are made by a function of the row. Lookups pass the finished key,
// so every table has its key layout in one place and go-memdb needs no reflection. A nil key leaves
// the row out of the index (and is an error in a primary index).
type keyIndex[T any] func(row *T) []byte

// FromObject implements memdb.SingleIndexer.
func (k keyIndex[T]) FromObject(raw any) (bool, []byte, error) {
	row, ok := raw.(*T)
	if !ok {
		return false, nil, fmt.Errorf("row is a %T", raw)
	}
	key := k(row)
	return key != nil, key, nil
}

// FromArgs implements memdb.Indexer.
func (k keyIndex[T]) FromArgs(args ...any) ([]byte, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("want 1 key, got %d", len(args))
	}
	key, ok := args[0].([]byte)
	if !ok {
		return nil, fmt.Errorf("key is a %T", args[0])
	}
	return key, nil
}

// PrefixFromArgs implements memdb.PrefixIndexer.
func (k keyIndex[T]) PrefixFromArgs(args ...any) ([]byte, error) { return k.FromArgs(args...) }

// table declares a table with its primary key.
func table[T any](name string, id keyIndex[T]) *memdb.TableSchema {
	return &memdb.TableSchema{Name: name, Indexes: map[string]*memdb.IndexSchema{
		indexID: {Name: indexID, Unique: true, Indexer: id},
	}}
}

// secondary adds an index to a table. Non-unique keys must not be prefixes of one another: fixed
// size, or ended by a NUL.
func secondary[T any](t *memdb.TableSchema, name string, unique bool, key keyIndex[T]) {
	t.Indexes[name] = &memdb.IndexSchema{Name: name, AllowMissing: true, Unique: unique, Indexer: key}
}

// joinKey is the parts with a NUL between them. No part but the last may hold a NUL: the others are
// namespaces, table and node names.
func joinKey(parts ...string) []byte {
	n := len(parts)
	for _, p := range parts {
		n += len(p)
	}
	key := make([]byte, 0, n)
	for i, p := range parts {
		if i > 0 {
			key = append(key, 0)
		}
		key = append(key, p...)
	}
	return key
}

// must turns an error of go-memdb into a panic: with a fixed schema and typed rows it only fails
// when this package is wrong, and a replica that went on would differ from the others.
func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("state: %v", err))
	}
}

// first returns the row with exactly this key in a unique index, nil if there is none, and adds its
// watch to ws.
func first[T any](ws memdb.WatchSet, tx *memdb.Txn, table, index string, key []byte) *T {
	ch, raw, err := tx.FirstWatch(table, index, key)
	must(err)
	ws.Add(ch)
	row, _ := raw.(*T)
	return row
}

// scan yields the rows whose key in the index begins with prefix, in key order. It reads the
// transaction as it is at this call; later writes to it do not show.
func scan[T any](ws memdb.WatchSet, tx *memdb.Txn, table, index string, prefix []byte) iter.Seq[*T] {
	it, err := tx.Get(table, index+"_prefix", prefix)
	must(err)
	ws.Add(it.WatchCh())
	return rows[T](it)
}

// scanFrom yields the rows whose primary key begins with prefix and is at or after from.
func scanFrom[T any](tx *memdb.Txn, table string, id keyIndex[T], prefix, from []byte) iter.Seq[*T] {
	it, err := tx.LowerBound(table, indexID, from)
	must(err)
	return func(yield func(*T) bool) {
		for row := range rows[T](it) {
			if !bytes.HasPrefix(id(row), prefix) || !yield(row) {
				return
			}
		}
	}
}

func rows[T any](it memdb.ResultIterator) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for raw := it.Next(); raw != nil; raw = it.Next() {
			if !yield(raw.(*T)) {
				return
			}
		}
	}
}
