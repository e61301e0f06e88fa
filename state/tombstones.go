package state

import (
	"encoding/binary"

	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/structs"
)

// Tombstone remembers that a key, or everything below it, was deleted at a Raft index: without it the
// index of a prefix would fall when its newest key goes, and watchers would sleep through it.
type Tombstone struct {
	Namespace structs.Namespace
	Key       string // or the prefix of a deleted tree
	Index     uint64
}

func tombstonesSchema() *memdb.TableSchema {
	t := table(tableTombstones, tombstoneID)
	secondary(t, indexRaft, false, func(r *Tombstone) []byte { return numberKey(r.Index) })
	return t
}

func tombstoneID(r *Tombstone) []byte {
	if r.Namespace == "" {
		return nil
	}
	return kvKey(r.Namespace, r.Key)
}

// numberKey sorts as the number does.
func numberKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// bury writes or renews the tombstone of a key or tree.
func (t *Txn) bury(ns structs.Namespace, key string) {
	old := first[Tombstone](nil, t.tx, tableTombstones, indexID, kvKey(ns, key))
	replace(t, tableTombstones, old, &Tombstone{Namespace: ns, Key: key, Index: t.index})
}

// tombstoneIndex is the newest deletion below a prefix, 0 when none is remembered.
func (v view) tombstoneIndex(ns structs.Namespace, prefix string) uint64 {
	var newest uint64
	for r := range scan[Tombstone](nil, v.tx, tableTombstones, indexID, kvKey(ns, prefix)) {
		newest = max(newest, r.Index)
	}
	return newest
}

// TombstoneReap forgets the tombstones up to an index, and the lock-delays that have passed.
func (t *Txn) TombstoneReap(r *structs.TombstoneReapRequest) {
	reaped := map[structs.Namespace]uint64{}
	for row := range scan[Tombstone](nil, t.tx, tableTombstones, indexRaft, nil) {
		if row.Index > r.Index {
			break
		}
		reaped[row.Namespace] = row.Index // ascending, so the last is the highest
		replace(t, tableTombstones, row, nil)
	}
	for ns, index := range reaped {
		old := first[TableIndex](nil, t.tx, tableIndex, indexID, tableIndexKey(indexKVReaped, ns))
		if old == nil || old.Index < index {
			replace(t, tableIndex, old, &TableIndex{Table: indexKVReaped, Namespace: ns, Index: index})
		}
	}
	t.dropPassedLockDelays()
}

// OldestTombstone is the lowest Raft index that a tombstone has; ok is false when there is none. The
// leader remembers when indexes were reached and asks for a reap when this one is old enough.
func (s *Store) OldestTombstone() (index uint64, ok bool) {
	for r := range scan[Tombstone](nil, s.view(nil).tx, tableTombstones, indexRaft, nil) {
		return r.Index, true
	}
	return 0, false
}
