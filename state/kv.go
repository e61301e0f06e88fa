package state

import (
	"bytes"
	"fmt"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/structs"
)

func kvSchema() *memdb.TableSchema {
	t := table(tableKV, kvID)
	secondary(t, indexSession, false, func(r *structs.KVPair) []byte {
		if r.Session == "" {
			return nil
		}
		return kvSessionKey(r.Namespace, r.Session)
	})
	secondary(t, indexExpires, false, func(r *structs.KVPair) []byte {
		if r.ExpiresAt <= 0 {
			return nil
		}
		return numberKey(uint64(r.ExpiresAt))
	})
	return t
}

func kvID(r *structs.KVPair) []byte {
	if r.Namespace == "" {
		return nil
	}
	return kvKey(r.Namespace, r.Key)
}

// kvKey is also how tombstones and lock-delays are keyed. Keys may hold any byte: they come last.
func kvKey(ns structs.Namespace, key string) []byte { return joinKey(string(ns), key) }

func kvSessionKey(ns structs.Namespace, session string) []byte {
	return joinKey(string(ns), session, "")
}

// KV writes one key or deletes a tree. A condition that does not hold (CAS, lock, lock-delay) is a
// reply with OK false. Errors: KindNotFound for an unknown namespace, KindConflict for a session that
// does not exist, KindInvalid for a request that can never succeed.
func (t *Txn) KV(r *structs.KVRequest) (*structs.KVReply, *structs.Error) {
	if err := t.needNamespace(r.Namespace); err != nil {
		return nil, err
	}
	if r.KV.Key == "" && r.Op != structs.KVDeleteTree {
		return nil, structs.Errorf(structs.KindInvalid, "missing key name")
	}
	row, refusal, err := t.writeKV(r.Namespace, r.Op, &r.KV, r.TTL)
	if err != nil {
		return nil, err
	}
	reply := &structs.KVReply{OK: refusal == ""}
	reply.Index = t.index
	if r.Op == structs.KVLock && reply.OK {
		reply.FencingToken = row.FencingToken
	}
	return reply, nil
}

// writeKV does one writing verb. row is the row afterwards (nil for deletes); refusal says, in
// Consul's words, which condition did not hold; either it or err means that nothing was written.
func (t *Txn) writeKV(ns structs.Namespace, op structs.KVOp, in *structs.KVPair, ttl int64) (row *structs.KVPair, refusal string, err *structs.Error) {
	if ttl < 0 {
		return nil, "", structs.Errorf(structs.KindInvalid, "the ttl of key %q is negative", in.Key)
	}
	switch op {
	case structs.KVDeleteTree:
		t.deleteTree(ns, in.Key)
		return nil, "", nil
	case structs.KVLock, structs.KVUnlock:
		if in.Session == "" {
			return nil, "", structs.Errorf(structs.KindInvalid, "missing session")
		}
	}
	old := t.getKV(ns, in.Key)
	switch op {
	case structs.KVSet, structs.KVCAS, structs.KVLock, structs.KVUnlock:
		if refusal := t.roomForKV(ns, old, in); refusal != nil {
			return nil, "", refusal
		}
	}
	switch op {
	case structs.KVSet:
		return t.setKV(ns, old, in, ttl), "", nil
	case structs.KVCAS:
		if !casHolds(old, in.ModifyIndex) {
			return nil, fmt.Sprintf("failed to set key %q, index is stale", in.Key), nil
		}
		return t.setKV(ns, old, in, ttl), "", nil
	case structs.KVLock:
		return t.lockKV(ns, old, in, ttl)
	case structs.KVUnlock:
		if old == nil || old.Session != in.Session {
			return nil, fmt.Sprintf("failed to unlock key %q, lock isn't held, or is held by another session", in.Key), nil
		}
		n := t.newKV(ns, in, ttl)
		n.LockIndex, n.FencingToken = old.LockIndex, old.FencingToken
		return t.storeKV(old, n), "", nil
	case structs.KVDelete, structs.KVDeleteCAS:
		if old == nil {
			return nil, "", nil // gone is what was asked for, whatever the index
		}
		if op == structs.KVDeleteCAS && old.ModifyIndex != in.ModifyIndex {
			return nil, fmt.Sprintf("failed to delete key %q, index is stale", in.Key), nil
		}
		t.deleteKV(old)
		return nil, "", nil
	}
	return nil, "", structs.Errorf(structs.KindInvalid, "unknown KV verb %q", op)
}

// casHolds: index 0 means that the key must not exist.
func casHolds(old *structs.KVPair, index uint64) bool {
	if old == nil {
		return index == 0
	}
	return index != 0 && old.ModifyIndex == index
}

// setKV writes without touching who holds the key. LockIndex falls to 0, as in Consul; the fencing
// token stays, since the holder stays.
func (t *Txn) setKV(ns structs.Namespace, old, in *structs.KVPair, ttl int64) *structs.KVPair {
	n := t.newKV(ns, in, ttl)
	if old != nil {
		n.Session, n.FencingToken = old.Session, old.FencingToken
	}
	return t.storeKV(old, n)
}

func (t *Txn) lockKV(ns structs.Namespace, old, in *structs.KVPair, ttl int64) (*structs.KVPair, string, *structs.Error) {
	if t.view().session(nil, ns, in.Session) == nil {
		return nil, "", structs.Errorf(structs.KindConflict, "invalid session %q", in.Session).
			WithHint("it was destroyed or has expired: create a new one")
	}
	n := t.newKV(ns, in, ttl)
	n.Session = in.Session
	switch {
	case old != nil && old.Session == in.Session: // its own lock: the same acquisition
		n.LockIndex, n.FencingToken = old.LockIndex, old.FencingToken
		return t.storeKV(old, n), "", nil
	case old != nil && old.Session != "":
		return nil, fmt.Sprintf("failed to lock key %q, lock is already held", in.Key), nil
	case t.lockDelayed(ns, in.Key):
		return nil, fmt.Sprintf("failed to lock key %q due to lock delay", in.Key), nil
	}
	n.LockIndex, n.FencingToken = 1, t.index
	if old != nil {
		n.LockIndex = old.LockIndex + 1
	}
	return t.storeKV(old, n), "", nil
}

// newKV is a row of what the caller may choose.
func (t *Txn) newKV(ns structs.Namespace, in *structs.KVPair, ttl int64) *structs.KVPair {
	n := &structs.KVPair{Namespace: ns, Key: in.Key, Flags: in.Flags}
	if len(in.Value) > 0 {
		n.Value = in.Value
	}
	if ttl > 0 {
		n.ExpiresAt = t.until(time.Duration(ttl))
	}
	return n
}

// storeKV writes n over old and returns the row there is then: old itself when n says nothing new, so
// that an identical write keeps ModifyIndex and wakes nobody.
func (t *Txn) storeKV(old, n *structs.KVPair) *structs.KVPair {
	n.CreateIndex = t.index
	if old != nil {
		n.CreateIndex = old.CreateIndex
		if sameKV(old, n) {
			return old
		}
	}
	n.ModifyIndex = t.index
	t.putKV(old, n)
	t.touch(tableKV, n.Namespace)
	return n
}

// sameKV compares everything but the indexes of creation and change.
func sameKV(a, b *structs.KVPair) bool {
	return a.LockIndex == b.LockIndex && a.Flags == b.Flags && a.Session == b.Session &&
		a.FencingToken == b.FencingToken && a.ExpiresAt == b.ExpiresAt && bytes.Equal(a.Value, b.Value)
}

func (t *Txn) deleteKV(row *structs.KVPair) {
	t.putKV(row, nil)
	t.bury(row.Namespace, row.Key)
	t.touch(tableKV, row.Namespace)
}

// deleteTree leaves one tombstone, at the prefix, in place of all below it: any longer prefix is empty
// afterwards, and without a tombstone an empty prefix has the index of the whole table. An older
// tombstone left down there would answer for it with an index from before this deletion.
func (t *Txn) deleteTree(ns structs.Namespace, prefix string) {
	found := false
	for row := range scan[structs.KVPair](nil, t.tx, tableKV, indexID, kvKey(ns, prefix)) {
		t.putKV(row, nil)
		found = true
	}
	if found {
		deleteBelow[Tombstone](t, tableTombstones, kvKey(ns, prefix))
		t.bury(ns, prefix)
		t.touch(tableKV, ns)
	}
}

// KVExpire deletes at most r.Limit rows whose time has come by this entry's time, the earliest first.
func (t *Txn) KVExpire(r *structs.KVExpireRequest) *structs.KVExpireReply {
	reply := &structs.KVExpireReply{}
	for row := range scan[structs.KVPair](nil, t.tx, tableKV, indexExpires, nil) {
		if reply.Deleted >= r.Limit || row.ExpiresAt > t.now {
			break
		}
		t.deleteKV(row)
		reply.Deleted++
	}
	return reply
}

// getKV is the row as this entry has left it so far.
func (t *Txn) getKV(ns structs.Namespace, key string) *structs.KVPair {
	id := kvKey(ns, key)
	if row, ok := t.kv[string(id)]; ok {
		return row
	}
	return first[structs.KVPair](nil, t.base, tableKV, indexID, id)
}

// putKV is replace for key-value rows: it keeps t.kv true.
func (t *Txn) putKV(before, after *structs.KVPair) {
	row := after
	if row == nil {
		row = before
	}
	id := string(kvID(row))
	t.kv[id] = after
	if t.recording {
		t.onUndo(func() { t.kv[id] = before })
	}
	t.countKV(before, after)
	replace(t, tableKV, before, after)
}
