package state

import (
	"iter"
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/structs"
)

// KVGet returns a pair, nil when the key does not exist. The index is the pair's ModifyIndex; of a
// missing key, that of the namespace's whole table.
func (s *Store) KVGet(ws memdb.WatchSet, ns structs.Namespace, key string) (uint64, *structs.KVPair) {
	v := s.view(ws)
	if row := first[structs.KVPair](ws, v.tx, tableKV, indexID, kvKey(ns, key)); row != nil {
		return row.ModifyIndex, row
	}
	return v.tableIndex(tableKV, ns), nil
}

// KVList returns the pairs under a prefix in key order: those with keys above after ("" = from the
// first), at most limit (0 = all); more says that there are others behind them. The index is that of
// the newest change below the prefix, deletions included; of a page, an upper bound of it.
func (s *Store) KVList(ws memdb.WatchSet, ns structs.Namespace, prefix, after string, limit int) (idx uint64, es []*structs.KVPair, more bool) {
	v := s.view(ws)
	v.watchKV(ws, ns, prefix)
	var newest uint64
	for row := range v.kvRange(ns, prefix, after) {
		if limit > 0 && len(es) == limit {
			more = true
			break
		}
		es = append(es, row)
		newest = max(newest, row.ModifyIndex)
	}
	return v.prefixIndex(ns, prefix, newest, after == "" && !more), es, more
}

// KVKeys is KVList for keys alone. With a separator a key is cut behind the first one after the
// prefix, and keys that become equal are returned once. A page follows the last key of the page before.
func (s *Store) KVKeys(ws memdb.WatchSet, ns structs.Namespace, prefix, separator, after string, limit int) (idx uint64, keys []string, more bool) {
	v := s.view(ws)
	v.watchKV(ws, ns, prefix)
	var newest uint64
	for row := range v.kvRange(ns, prefix, after) {
		newest = max(newest, row.ModifyIndex)
		key := cutKey(row.Key, prefix, separator)
		if key <= after && after != "" || len(keys) > 0 && keys[len(keys)-1] == key {
			continue // the group of the key before, or of the last page's last
		}
		if limit > 0 && len(keys) == limit {
			more = true
			break
		}
		keys = append(keys, key)
	}
	return v.prefixIndex(ns, prefix, newest, after == "" && !more), keys, more
}

// KVCount returns the number of keys under a prefix, with the index that KVList would have.
func (s *Store) KVCount(ws memdb.WatchSet, ns structs.Namespace, prefix string) (idx uint64, n int64) {
	v := s.view(ws)
	v.watchKV(ws, ns, prefix)
	var newest uint64
	for row := range v.kvRange(ns, prefix, "") {
		newest = max(newest, row.ModifyIndex)
		n++
	}
	return v.prefixIndex(ns, prefix, newest, true), n
}

// NextExpiry is the earliest ExpiresAt of any key, in Unix nanoseconds; ok is false when no key has one.
func (s *Store) NextExpiry() (unixNano int64, ok bool) {
	for row := range scan[structs.KVPair](nil, s.view(nil).tx, tableKV, indexExpires, nil) {
		return row.ExpiresAt, true
	}
	return 0, false
}

// cutKey is key up to and with the first separator after prefix.
func cutKey(key, prefix, separator string) string {
	if separator == "" {
		return key
	}
	i := strings.Index(key[len(prefix):], separator)
	if i < 0 {
		return key
	}
	return key[:len(prefix)+i+len(separator)]
}

func (v view) watchKV(ws memdb.WatchSet, ns structs.Namespace, prefix string) {
	if ws == nil {
		return
	}
	it, err := v.tx.Get(tableKV, indexID+"_prefix", kvKey(ns, prefix))
	must(err)
	ws.Add(it.WatchCh())
}

// kvRange yields the rows under prefix with keys above after.
func (v view) kvRange(ns structs.Namespace, prefix, after string) iter.Seq[*structs.KVPair] {
	all := scanFrom(v.tx, tableKV, kvID, kvKey(ns, prefix), kvKey(ns, max(prefix, after)))
	return func(yield func(*structs.KVPair) bool) {
		for row := range all {
			if after != "" && row.Key == after {
				continue
			}
			if !yield(row) {
				return
			}
		}
	}
}

// prefixIndex is the index of the newest change below a prefix, given the newest of its rows. When
// not all rows were seen, or there are none and no tombstone, it is the index of the whole table,
// which is never lower: a watcher may wake for nothing but misses nothing.
func (v view) prefixIndex(ns structs.Namespace, prefix string, newest uint64, complete bool) uint64 {
	if complete && prefix != "" {
		newest = max(newest, v.tombstoneIndex(ns, prefix))
		if newest > 0 {
			return max(newest, v.indexRow(indexKVReaped, ns))
		}
	}
	return v.tableIndex(tableKV, ns)
}

// getKV and listKV make a view a kvReader.
func (v view) getKV(ns structs.Namespace, key string) *structs.KVPair {
	return first[structs.KVPair](nil, v.tx, tableKV, indexID, kvKey(ns, key))
}

func (v view) listKV(ns structs.Namespace, prefix string) []*structs.KVPair {
	return slices.Collect(v.kvRange(ns, prefix, ""))
}
