package state

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

// Consul row 1.
func TestIdenticalPutKeepsModifyIndex(t *testing.T) {
	r := newRig(t)
	pair := structs.KVPair{Key: "a", Value: []byte("v"), Flags: 1}
	r.kv(structs.KVSet, pair)
	before := *r.get("a")
	table, _, _ := r.s.KVList(nil, ns, "", "", 0)

	r.kv(structs.KVSet, pair)
	r.kv(structs.KVCAS, structs.KVPair{Key: "a", Value: []byte("v"), Flags: 1, ModifyIndex: before.ModifyIndex})
	wantEqual(t, "ModifyIndex after identical writes", r.get("a").ModifyIndex, before.ModifyIndex)
	again, _, _ := r.s.KVList(nil, ns, "", "", 0)
	wantEqual(t, "table index after identical writes", again, table)

	pair.Flags = 2
	r.kv(structs.KVSet, pair)
	wantEqual(t, "ModifyIndex after a change of flags", r.get("a").ModifyIndex, r.index)
	wantEqual(t, "CreateIndex", r.get("a").CreateIndex, before.CreateIndex)

	r.kv(structs.KVSet, structs.KVPair{Key: "e"})
	r.kv(structs.KVSet, structs.KVPair{Key: "e", Value: []byte{}})
	wantEqual(t, "ModifyIndex after empty over nil", r.get("e").ModifyIndex, r.index-1)
	if r.get("e").Value != nil {
		t.Error("an empty value is not nil")
	}
}

// Consul row 2, and the rule of fencing tokens.
func TestLockIndexAndFencingToken(t *testing.T) {
	r := newRig(t)
	s1, s2 := r.session(structs.Session{ID: "s1"}), r.session(structs.Session{ID: "s2"})
	step := func(what string, lockIndex, token uint64, holder string) {
		t.Helper()
		row := r.get("k")
		wantEqual(t, what+": LockIndex", row.LockIndex, lockIndex)
		wantEqual(t, what+": FencingToken", row.FencingToken, token)
		wantEqual(t, what+": Session", row.Session, holder)
	}
	reply, err := r.tryKV(structs.KVLock, structs.KVPair{Key: "k", Session: s1, Value: []byte("1")})
	if err != nil || !reply.OK {
		t.Fatalf("lock: %+v, %v", reply, err)
	}
	first := r.index
	wantEqual(t, "token in the reply", reply.FencingToken, first)
	step("lock", 1, first, s1)

	reply, _ = r.tryKV(structs.KVLock, structs.KVPair{Key: "k", Session: s1, Value: []byte("2")})
	wantEqual(t, "token in the reply to the holder", reply.FencingToken, first)
	step("lock by the holder", 1, first, s1)
	wantEqual(t, "its ModifyIndex", r.get("k").ModifyIndex, r.index)
	wantEqual(t, "lock by another", r.lock("k", s2), false)
	wantEqual(t, "unlock by another", r.kv(structs.KVUnlock, structs.KVPair{Key: "k", Session: s2}), false)

	r.set("k", "3")
	step("plain put", 0, first, s1)
	r.lock("k", s1)
	step("lock by the holder after a plain put", 0, first, s1)

	wantEqual(t, "unlock", r.kv(structs.KVUnlock, structs.KVPair{Key: "k", Session: s1, Value: []byte("4")}), true)
	step("unlock", 0, first, "")
	wantEqual(t, "value written by unlock", string(r.get("k").Value), "4")
	r.lock("k", s2)
	second := r.index
	step("lock after unlock", 1, second, s2)

	r.kv(structs.KVDelete, structs.KVPair{Key: "k"})
	r.lock("k", s1)
	step("lock after delete", 1, r.index, s1)
	if r.index <= second {
		t.Error("the fencing token did not grow over delete and re-acquire")
	}
	wantEqual(t, "unlock of a missing key", r.kv(structs.KVUnlock, structs.KVPair{Key: "no", Session: s1}), false)
}

func TestLockIndexCountsAcquisitions(t *testing.T) {
	r := newRig(t)
	s := r.session(structs.Session{ID: "s"})
	for i := range uint64(3) {
		r.lock("k", s)
		wantEqual(t, "LockIndex", r.get("k").LockIndex, i+1)
		r.kv(structs.KVUnlock, structs.KVPair{Key: "k", Session: s})
		wantEqual(t, "LockIndex after release", r.get("k").LockIndex, i+1)
	}
}

// Consul row 3 (first half).
func TestIndexOfMissingKeyFollowsTable(t *testing.T) {
	r := newRig(t)
	idx, _ := r.s.KVGet(nil, ns, "missing")
	wantEqual(t, "index in an empty table", idx, 1)
	r.set("other", "v")
	idx, _ = r.s.KVGet(nil, ns, "missing")
	wantEqual(t, "index after another key", idx, r.index)
	r.set("third", "v")
	idx, _ = r.s.KVGet(nil, ns, "other")
	wantEqual(t, "index of a key that exists", idx, r.index-1)
	r.kv(structs.KVDelete, structs.KVPair{Key: "other"})
	idx, _ = r.s.KVGet(nil, ns, "missing")
	wantEqual(t, "index after a delete", idx, r.index)
}

// Consul row 5.
func TestDeleteRaisesPrefixIndex(t *testing.T) {
	for _, op := range []structs.KVOp{structs.KVDelete, structs.KVDeleteTree} {
		r := newRig(t)
		r.set("d/a", "1")
		r.set("d/b", "1")
		r.set("e/c", "1")
		quiet, _, _ := r.s.KVList(nil, ns, "e/", "", 0)
		r.kv(op, structs.KVPair{Key: "d/b"})
		deleted := r.index
		r.set("e/d", "1")
		for prefix, want := range map[string]uint64{"d/": deleted, "d/b": deleted, "e/c": quiet, "": r.index} {
			list, _, _ := r.s.KVList(nil, ns, prefix, "", 0)
			keys, _, _ := r.s.KVKeys(nil, ns, prefix, "", "", 0)
			count, _ := r.s.KVCount(nil, ns, prefix)
			wantEqual(t, string(op)+": list index of "+prefix, list, want)
			wantEqual(t, string(op)+": keys index of "+prefix, keys, want)
			wantEqual(t, string(op)+": count index of "+prefix, count, want)
		}
		nothing := r.index
		r.kv(op, structs.KVPair{Key: "d/b"})
		idx, _, _ := r.s.KVList(nil, ns, "", "", 0)
		wantEqual(t, string(op)+" of nothing: table index", idx, nothing)
	}
}

func TestReapedTombstonesNeverLowerAnIndex(t *testing.T) {
	r := newRig(t)
	r.set("d/a", "1")
	r.set("d/b", "1")
	r.kv(structs.KVDelete, structs.KVPair{Key: "d/b"})
	deleted := r.index
	r.set("x", "1")
	r.kv(structs.KVDelete, structs.KVPair{Key: "x"})
	if oldest, ok := r.s.OldestTombstone(); !ok || oldest != deleted {
		t.Errorf("oldest tombstone is %d, %v; want %d", oldest, ok, deleted)
	}
	r.entry(func(tx *Txn) { tx.TombstoneReap(&structs.TombstoneReapRequest{Index: deleted}) })
	idx, _, _ := r.s.KVList(nil, ns, "d/", "", 0)
	wantEqual(t, "prefix index after the reap", idx, deleted)
	oldest, _ := r.s.OldestTombstone()
	wantEqual(t, "oldest tombstone after the reap", oldest, r.index-1)
	r.entry(func(tx *Txn) { tx.TombstoneReap(&structs.TombstoneReapRequest{Index: r.index}) })
	if _, ok := r.s.OldestTombstone(); ok {
		t.Error("a tombstone is left")
	}
}

// Consul row 6.
func TestCompareAndSet(t *testing.T) {
	r := newRig(t)
	cas := func(op structs.KVOp, key string, index uint64) bool {
		t.Helper()
		return r.kv(op, structs.KVPair{Key: key, Value: []byte("c"), ModifyIndex: index})
	}
	wantEqual(t, "cas=1 on a missing key", cas(structs.KVCAS, "k", 1), false)
	wantEqual(t, "cas=0 on a missing key", cas(structs.KVCAS, "k", 0), true)
	at := r.index
	wantEqual(t, "cas=0 on an existing key", cas(structs.KVCAS, "k", 0), false)
	wantEqual(t, "stale cas", cas(structs.KVCAS, "k", at-1), false)
	wantEqual(t, "the row after refusals", r.get("k").ModifyIndex, at)
	wantEqual(t, "delete-cas=0 on an existing key", cas(structs.KVDeleteCAS, "k", 0), false)
	wantEqual(t, "stale delete-cas", cas(structs.KVDeleteCAS, "k", at-1), false)
	wantEqual(t, "delete-cas", cas(structs.KVDeleteCAS, "k", at), true)
	wantEqual(t, "the key after delete-cas", r.has("k"), false)
	wantEqual(t, "delete-cas of a missing key", cas(structs.KVDeleteCAS, "k", 12345), true)
}

func TestRefusedWritesChangeNothing(t *testing.T) {
	r := newRig(t)
	s := r.session(structs.Session{ID: "s"})
	r.lock("held", s)
	before := tables(t, r.s)
	for name, c := range map[string]struct {
		op   structs.KVOp
		pair structs.KVPair
		ttl  time.Duration
		want error
		text string
	}{
		"unknown namespace": {structs.KVSet, structs.KVPair{Key: "a", Namespace: "no"}, 0, structs.ErrNotFound, `namespace "no" does not exist`},
		"no key":            {structs.KVSet, structs.KVPair{}, 0, structs.ErrInvalid, "missing key name"},
		"lock, no session":  {structs.KVLock, structs.KVPair{Key: "a"}, 0, structs.ErrInvalid, "missing session"},
		"unlock, none":      {structs.KVUnlock, structs.KVPair{Key: "held"}, 0, structs.ErrInvalid, "missing session"},
		"unknown session":   {structs.KVLock, structs.KVPair{Key: "a", Session: "x"}, 0, structs.ErrConflict, `invalid session "x"`},
		"unknown verb":      {"burn", structs.KVPair{Key: "a"}, 0, structs.ErrInvalid, `unknown KV verb "burn"`},
		"a reading verb":    {structs.KVGet, structs.KVPair{Key: "held"}, 0, structs.ErrInvalid, `unknown KV verb "get"`},
		"negative ttl":      {structs.KVSet, structs.KVPair{Key: "a"}, -1, structs.ErrInvalid, `the ttl of key "a" is negative`},
	} {
		_, err := r.tryKV(c.op, c.pair, c.ttl)
		if err == nil || !errors.Is(err, c.want) || err.Message != c.text {
			t.Errorf("%s: got %v, want %q", name, err, c.text)
		}
	}
	if string(tables(t, r.s)) != string(before) {
		t.Error("a refused write changed the tables")
	}
}

func TestKeysExpireByEntryTime(t *testing.T) {
	r := newRig(t)
	expire := func(limit int) (n int) {
		r.entry(func(tx *Txn) { n = tx.KVExpire(&structs.KVExpireRequest{Limit: limit}).Deleted })
		return n
	}
	if _, ok := r.s.NextExpiry(); ok {
		t.Error("an empty store has an expiry")
	}
	start := r.now
	r.set("p/c", "v", 3*time.Second)
	r.set("p/a", "v", time.Second)
	r.set("p/b", "v", 2*time.Second)
	r.set("p/keep", "v")
	next, ok := r.s.NextExpiry()
	wantEqual(t, "has an expiry", ok, true)
	wantEqual(t, "next expiry", next, start.Add(time.Second).UnixNano())
	r.now = start.Add(time.Second - 1)
	wantEqual(t, "deleted a nanosecond early", expire(10), 0)
	wantEqual(t, "readable until then", r.has("p/a"), true)
	r.now = start.Add(2 * time.Second)
	wantEqual(t, "deleted under limit 0", expire(0), 0)
	wantEqual(t, "deleted under limit 1", expire(1), 1)
	wantEqual(t, "the earliest went first", r.has("p/a") || !r.has("p/b"), false)
	wantEqual(t, "deleted at the very time", expire(10), 1)
	idx, _, _ := r.s.KVList(nil, ns, "p/", "", 0)
	wantEqual(t, "prefix index after expiry", idx, r.index)

	r.set("p/c", "v")
	wantEqual(t, "a set without ttl clears it", r.get("p/c").ExpiresAt, 0)
	wantEqual(t, "and is a change", r.get("p/c").ModifyIndex, r.index)
	if _, ok := r.s.NextExpiry(); ok {
		t.Error("an expiry is left")
	}
	r.set("p/c", "v", math.MaxInt64)
	wantEqual(t, "a ttl beyond time", r.get("p/c").ExpiresAt, math.MaxInt64)
}

func TestTimeNeverGoesBackwards(t *testing.T) {
	r := newRig(t)
	late := r.now.Add(time.Hour)
	r.now = late
	r.set("a", "v")
	r.now = late.Add(-time.Minute)
	r.set("b", "v", time.Second)
	wantEqual(t, "store time", r.s.Time(), late.UTC())
	wantEqual(t, "expiry", r.get("b").ExpiresAt, late.Add(time.Second).UnixNano())
	r.now = time.Time{}
	r.set("c", "v")
	wantEqual(t, "store time after a zero stamp", r.s.Time(), late.UTC())
	wantEqual(t, "store index", r.s.Index(), r.index)
}

func TestListsAreOrderedAndPaged(t *testing.T) {
	r := newRig(t)
	all := []string{"a", "a!", "a/", "a/1", "a/1/x", "a/2", "a0", "b/1", "b/2/3", "c", "\x00k", "\xff", "a\xff\xff"}
	for _, k := range all {
		r.set(k, k)
	}
	slices.Sort(all)
	for _, c := range []struct {
		prefix, sep string
		want        []string
	}{
		{"", "", all},
		{"a/", "", []string{"a/", "a/1", "a/1/x", "a/2"}},
		{"", "/", []string{"\x00k", "a", "a!", "a/", "a0", "a\xff\xff", "b/", "c", "\xff"}},
		{"a/", "/", []string{"a/", "a/1", "a/1/", "a/2"}},
		{"b", "/", []string{"b/"}},
		{"b/", "2/", []string{"b/1", "b/2/"}},
		{"zz", "/", nil},
	} {
		_, keys, _ := r.s.KVKeys(nil, ns, c.prefix, c.sep, "", 0)
		if !slices.Equal(keys, c.want) {
			t.Errorf("keys of %q by %q: got %q, want %q", c.prefix, c.sep, keys, c.want)
		}
		for limit := 1; limit <= 4; limit++ {
			var paged []string
			for after, more := "", true; more; {
				var page []string
				_, page, more = r.s.KVKeys(nil, ns, c.prefix, c.sep, after, limit)
				if len(page) > limit || more && len(page) < limit {
					t.Fatalf("a page of %d keys, limit %d, more %v", len(page), limit, more)
				}
				if paged = append(paged, page...); more {
					after = page[len(page)-1]
				}
			}
			if !slices.Equal(paged, c.want) {
				t.Errorf("pages of %d of %q by %q: got %q, want %q", limit, c.prefix, c.sep, paged, c.want)
			}
		}
	}
	if _, n := r.s.KVCount(nil, ns, "a"); n != 8 {
		t.Errorf("count under a: %d", n)
	}
	_, es, more := r.s.KVList(nil, ns, "a/", "zzz", 5)
	if len(es) != 0 || more {
		t.Error("a page after the end of the prefix is not empty")
	}
	_, es, more = r.s.KVList(nil, ns, "b", "a", 1) // a token of another list does not leak its keys
	if len(es) != 1 || es[0].Key != "b/1" || !more {
		t.Errorf("a page after a key before the prefix: %v, %v", es, more)
	}
}

// A page's index must not let a watcher miss a change on another page.
func TestPagesHaveTheTableIndex(t *testing.T) {
	r := newRig(t)
	r.set("p/a", "1")
	r.set("p/b", "1")
	r.set("q", "1")
	for _, c := range []struct {
		after string
		limit int
		want  uint64
	}{{"", 0, r.index - 1}, {"", 2, r.index - 1}, {"", 1, r.index}, {"p/a", 1, r.index}} {
		idx, _, _ := r.s.KVList(nil, ns, "p/", c.after, c.limit)
		wantEqual(t, "list index", idx, c.want)
		idx, _, _ = r.s.KVKeys(nil, ns, "p/", "", c.after, c.limit)
		wantEqual(t, "keys index", idx, c.want)
	}
}

// Found by TestStoreEqualsModel: an older tombstone inside a deleted tree answered for its prefix.
func TestDeletedTreeHidesOlderTombstones(t *testing.T) {
	r := newRig(t)
	r.set("a/b/1", "v")
	r.kv(structs.KVDelete, structs.KVPair{Key: "a/b/1"})
	r.set("a/b/2", "v")
	before, _, _ := r.s.KVList(nil, ns, "a/b/", "", 0)
	r.kv(structs.KVDeleteTree, structs.KVPair{Key: "a/"})
	after, _, _ := r.s.KVList(nil, ns, "a/b/", "", 0)
	wantEqual(t, "index before", before, r.index-1)
	wantEqual(t, "index after", after, r.index)
}
