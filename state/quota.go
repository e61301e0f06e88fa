package state

import (
	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/structs"
)

// usage is how much the keys, values and messages of a namespace are. It is a sum of the rows, kept up to date entry by entry, and so
// not part of a snapshot.
type usage struct {
	Namespace structs.Namespace
	Bytes     int64
}

func usageSchema() *memdb.TableSchema {
	return table(tableUsage, func(r *usage) []byte { return []byte(r.Namespace) })
}

func kvBytes(row *structs.KVPair) int64 {
	if row == nil {
		return 0
	}
	return int64(len(row.Key) + len(row.Value))
}

// countKV notes that a row became another one.
func (t *Txn) countKV(before, after *structs.KVPair) {
	row := after
	if row == nil {
		row = before
	}
	t.grow(row.Namespace, kvBytes(after)-kvBytes(before))
}

// grow notes that the tables hold so many bytes more of a namespace.
func (t *Txn) grow(ns structs.Namespace, n int64) {
	if n == 0 {
		return
	}
	if t.grown == nil {
		t.grown = map[structs.Namespace]int64{}
	}
	t.grown[ns] += n
	if t.recording {
		t.onUndo(func() { t.grown[ns] -= n })
	}
}

// writeUsage ends an entry, or a restore.
func writeUsage(tx *memdb.Txn, grown map[structs.Namespace]int64) {
	for ns, n := range grown {
		if n == 0 {
			continue
		}
		row := usage{Namespace: ns, Bytes: n}
		if old := first[usage](nil, tx, tableUsage, indexID, []byte(ns)); old != nil {
			row.Bytes += old.Bytes
		}
		must(tx.Insert(tableUsage, &row))
	}
}

// usedBytes is how much a namespace uses: its keys, values and messages as this entry has left them so far, and its databases and what
// has come of uploads as the entries before it left them. What this entry does to databases does not count, but for the one that the caller knows: when
// it is applied again after a crash, nothing else may be known.
func (t *Txn) usedBytes(ns structs.Namespace) int64 {
	n, known := t.baseUsed[ns]
	if !known {
		if row := first[usage](nil, t.base, tableUsage, indexID, []byte(ns)); row != nil {
			n += row.Bytes
		}
		for d := range scan[structs.SQLDatabase](nil, t.base, tableDatabases, indexID, joinKey(string(ns), "")) {
			n += d.UsedBytes
			if d.Upload != nil {
				n += d.Upload.SizeBytes
			}
		}
		if t.baseUsed == nil {
			t.baseUsed = map[structs.Namespace]int64{}
		}
		t.baseUsed[ns] = n
	}
	return n + t.grown[ns]
}

// bytesMax is the quota of a namespace, 0 = none.
func (t *Txn) bytesMax(ns structs.Namespace) int64 {
	if row := t.view().namespace(nil, ns); row != nil {
		return row.BytesMax
	}
	return 0
}

func overQuota(ns structs.Namespace, max int64) *structs.Error {
	return structs.Errorf(structs.KindQuota, "namespace %q has no room for this: its quota is %d bytes", ns, max).
		WithHint("delete keys, rows or databases, or raise the quota: debros namespace update -bytes-max=N %s", ns)
}

// roomForKV refuses a write of a key that would make its namespace larger than its quota.
func (t *Txn) roomForKV(ns structs.Namespace, old, in *structs.KVPair) *structs.Error {
	grown := kvBytes(in) - kvBytes(old)
	if grown <= 0 {
		return nil
	}
	if max := t.bytesMax(ns); max > 0 && t.usedBytes(ns)+grown > max {
		return overQuota(ns, max)
	}
	return nil
}

// roomForUpload refuses another piece of a file, of that size. What the file is to replace counts until it does.
func (t *Txn) roomForUpload(ns structs.Namespace, size int64) *structs.Error {
	if max := t.bytesMax(ns); max > 0 && t.usedBytes(ns)+size > max {
		return overQuota(ns, max)
	}
	return nil
}

// roomForDatabase refuses one more database than the quota.
func (t *Txn) roomForDatabase(ns structs.Namespace) *structs.Error {
	row := t.view().namespace(nil, ns)
	if row == nil || row.DatabasesMax == 0 {
		return nil
	}
	n := 0
	for d := range scan[structs.SQLDatabase](nil, t.tx, tableDatabases, indexID, joinKey(string(ns), "")) {
		if d.Upload == nil {
			n++
		}
	}
	if n < row.DatabasesMax {
		return nil
	}
	return structs.Errorf(structs.KindQuota, "namespace %q may not have another database: its quota is %d", ns, row.DatabasesMax).
		WithHint("drop one, or raise the quota: debros namespace update -databases-max=N %s", ns)
}

// execute executes a request within the quota of its namespace: what makes that larger than allowed is taken back. One that only deletes
// is never refused.
func (t *Txn) execute(w *sqlWrite, r *structs.SQLRequest) (*structs.SQLReply, *structs.Error, error) {
	ns := w.row.Namespace
	max := t.bytesMax(ns)
	if max == 0 {
		return w.tx.Execute(r)
	}
	mark, err := w.tx.Savepoint()
	if err != nil {
		return nil, nil, err
	}
	before := w.tx.UsedBytes()
	reply, refusal, err := w.tx.Execute(r)
	if err != nil {
		return nil, nil, err
	}
	after, was := w.tx.UsedBytes(), int64(0)
	if d := (view{t.base}).database(nil, ns, w.row.Name); d != nil && d.CreateIndex == w.row.CreateIndex {
		was = d.UsedBytes
	}
	if refusal == nil && w.tx.Grows() && after > before && t.usedBytes(ns)-was+after > max {
		return nil, overQuota(ns, max), w.tx.RollbackTo(mark)
	}
	return reply, refusal, w.tx.Release(mark)
}

// noteUsed writes down, once the entry is committed to a database, how large that made it.
func (t *Txn) noteUsed(w *sqlWrite) error {
	d := t.view().database(nil, w.row.Namespace, w.row.Name)
	if d == nil || databaseFile(d) != w.file.name {
		return nil // dropped by the same entry
	}
	used, err := w.file.db.UsedBytesAt(t.index)
	if err != nil || used == d.UsedBytes {
		return err
	}
	n := *d
	n.UsedBytes = used
	replace(t, tableDatabases, d, &n)
	return nil
}

// HasQuotas reports whether any namespace has a quota.
func (s *Store) HasQuotas() bool {
	for n := range scan[structs.NamespaceInfo](nil, s.view(nil).tx, tableNamespaces, indexID, nil) {
		if n.BytesMax > 0 || n.DatabasesMax > 0 {
			return true
		}
	}
	return false
}
