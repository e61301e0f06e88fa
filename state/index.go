package state

import (
	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/structs"
)

// TableIndex is the Raft index of the last change to a table: of one namespace's part of it, or with
// Namespace "" of all of it.
type TableIndex struct {
	Table     string
	Namespace structs.Namespace `codec:",omitempty"`
	Index     uint64
}

// indexKVReaped names the rows that hold the highest tombstone ever reaped in a namespace. It is a
// floor under prefix indexes, so that forgetting a tombstone can never hide a deletion from a
// watcher that was away for long: it wakes once for nothing instead.
const indexKVReaped = "kv.reaped"

func indexSchema() *memdb.TableSchema { return table(tableIndex, tableIndexID) }

func tableIndexID(r *TableIndex) []byte { return tableIndexKey(r.Table, r.Namespace) }

func tableIndexKey(table string, ns structs.Namespace) []byte { return joinKey(table, string(ns)) }

// lastEntry is the one row that says how far the store is.
type lastEntry struct {
	Index uint64
	Time  int64 // Unix nanoseconds
}

func lastEntrySchema() *memdb.TableSchema {
	return table(tableLastEntry, func(*lastEntry) []byte { return onlyRow() })
}

// onlyRow is the key of the row in tables of one row.
func onlyRow() []byte { return []byte{1} }

func (v view) lastEntry() lastEntry {
	if e := first[lastEntry](nil, v.tx, tableLastEntry, indexID, onlyRow()); e != nil {
		return *e
	}
	return lastEntry{}
}

func (v view) indexRow(table string, ns structs.Namespace) uint64 {
	if r := first[TableIndex](nil, v.tx, tableIndex, indexID, tableIndexKey(table, ns)); r != nil {
		return r.Index
	}
	return 0
}

// tableIndex is the index of a namespace's part of a table, at least 1. A namespace that does not
// exist has the index of the whole table, which is lower than the index at which it may yet be
// created: so the index a client sees never falls when namespaces come and go.
func (v view) tableIndex(table string, ns structs.Namespace) uint64 {
	if i := v.indexRow(table, ns); i > 0 {
		return i
	}
	return max(v.indexRow(table, ""), 1)
}

// touch notes that this entry changed a namespace's part of a table; Commit writes the index rows,
// once per entry however many commands it has. ns is "" for a table without namespaces.
func (t *Txn) touch(table string, ns structs.Namespace) {
	t.touchRow(table, ns)
	if ns != "" {
		t.touchRow(table, "")
	}
}

func (t *Txn) touchRow(table string, ns structs.Namespace) {
	k := touchedTable{table, ns}
	if t.touched[k] {
		return
	}
	t.touched[k] = true
	t.onUndo(func() { delete(t.touched, k) })
}

// writeIndexes ends an entry: the rows of index.go are the only ones written without an undo record.
func (t *Txn) writeIndexes() {
	for k := range t.touched {
		must(t.tx.Insert(tableIndex, &TableIndex{Table: k.table, Namespace: k.ns, Index: t.index}))
	}
	must(t.tx.Insert(tableLastEntry, &lastEntry{Index: t.index, Time: t.now}))
}
