package state

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

// command is one of the requests that the FSM hands to a Txn.
type command any

// randomEntry draws 1 to 4 commands over few keys, sessions, nodes and namespaces, so that they meet.
// index is the entry's: compare-and-set draws from the recent ones.
func randomEntry(rnd *rand.Rand, index uint64) []command {
	list := make([]command, 1+rnd.IntN(4))
	for i := range list {
		list[i] = randomCommand(rnd, index)
	}
	return list
}

func randomCommand(rnd *rand.Rand, index uint64) command {
	name := pick(rnd, structs.Namespace("default"), "default", "default", "team", "lab")
	opts := structs.WriteOptions{Namespace: name}
	switch n := rnd.IntN(100); {
	case n < 50:
		op := pick(rnd, writeVerbs...)
		return &structs.KVRequest{WriteOptions: opts, Op: op, KV: randomPair(rnd, op, index), TTL: randomTTL(rnd)}
	case n < 68:
		r := &structs.TxnRequest{WriteOptions: opts}
		for range 1 + rnd.IntN(5) {
			op := pick(rnd, slices.Concat(writeVerbs, readVerbs)...)
			r.Ops = append(r.Ops, structs.TxnOp{KV: &structs.TxnKVOp{Verb: op, Pair: randomPair(rnd, op, index), TTL: randomTTL(rnd)}})
		}
		return r
	case n < 85:
		return &structs.SessionRequest{
			WriteOptions: opts, Op: pick(rnd, structs.SessionCreate, structs.SessionCreate, structs.SessionDestroy),
			Session: structs.Session{
				ID: pick(rnd, sessionIDs...), Node: pick(rnd, "n1", "n2", "N3"), Behavior: pick(rnd, structs.SessionRelease, structs.SessionDelete),
				LockDelay:  pick(rnd, 0, time.Second, 15*time.Second, time.Hour),
				NodeChecks: pick(rnd, []string{}, []string{structs.NodeHealthCheck}),
			},
		}
	case n < 90:
		return &structs.NodeRequest{Op: pick(rnd, structs.NodeUpsert, structs.NodeUpsert, structs.NodeUpsert, structs.NodeMeta, structs.NodeDelete),
			Node: structs.Node{
				ID: pick(rnd, structs.NodeID("i1"), "i2", "i3"), Name: pick(rnd, "n1", "n2", "n3"),
				Status: pick(rnd, structs.NodeAlive, structs.NodeAlive, structs.NodeAlive, structs.NodeFailed, structs.NodeLeft),
				Meta:   pick(rnd, nil, nil, map[string]string{}, map[string]string{"rack": "1"}),
			}}
	case n < 93:
		return &structs.NamespaceRequest{Op: pick(rnd, structs.NamespaceCreate, structs.NamespaceUpsert, structs.NamespaceUpsert, structs.NamespaceDelete),
			Namespace: structs.NamespaceInfo{Name: name}}
	case n < 96:
		return &structs.KVExpireRequest{Limit: rnd.IntN(4)}
	case n < 97:
		return &structs.ClusterRequest{ID: pick(rnd, clusterA, clusterB, "")}
	case n < 98:
		return &structs.AutopilotRequest{Config: structs.AutopilotConfig{MinQuorum: uint(rnd.IntN(3)), ModifyIndex: index - 1}, CAS: rnd.IntN(2) == 0}
	default:
		return &structs.TombstoneReapRequest{Index: index - min(index, uint64(rnd.IntN(20)))}
	}
}

var (
	writeVerbs = []structs.KVOp{structs.KVSet, structs.KVSet, structs.KVCAS, structs.KVLock, structs.KVLock, structs.KVUnlock,
		structs.KVDelete, structs.KVDeleteCAS, structs.KVDeleteTree}
	readVerbs = []structs.KVOp{structs.KVGet, structs.KVGetTree, structs.KVGetOrEmpty, structs.KVCheckIndex,
		structs.KVCheckSession, structs.KVCheckNotExists}
	sessionIDs = []string{"s1", "s2", "s3", "s4"}
)

func pick[T any](rnd *rand.Rand, from ...T) T { return from[rnd.IntN(len(from))] }

func randomKey(rnd *rand.Rand) string {
	key := make([]byte, 1+rnd.IntN(4))
	for i := range key {
		key[i] = pick(rnd, byte('a'), 'b', '/', 0xff)
	}
	return string(key)
}

func randomPair(rnd *rand.Rand, op structs.KVOp, index uint64) structs.KVPair {
	p := structs.KVPair{Key: randomKey(rnd), Flags: uint64(rnd.IntN(2)), Session: pick(rnd, sessionIDs...)}
	if rnd.IntN(4) > 0 {
		p.Value = []byte{byte(rnd.IntN(3))}
	}
	if op == structs.KVDeleteTree && rnd.IntN(2) == 0 {
		p.Key += "/"
	}
	if rnd.IntN(3) > 0 {
		p.ModifyIndex = index - min(index, uint64(rnd.IntN(30)))
	}
	return p
}

func randomTTL(rnd *rand.Rand) int64 {
	return int64(pick(rnd, 0, 0, 0, time.Second, time.Minute))
}

// apply applies a command to a store, and answers as the model does.
func apply(tx *Txn, c command) any {
	switch r := c.(type) {
	case *structs.KVRequest:
		reply, err := tx.KV(r)
		if err != nil {
			return fmt.Sprint(false, 0)
		}
		return fmt.Sprint(reply.OK, reply.FencingToken)
	case *structs.TxnRequest:
		var failed []int
		reply, refusal, err := tx.Txn(r)
		if refusal != nil || err != nil {
			panic(fmt.Sprint(refusal, err)) // there is no SQL in it, and no id
		}
		for _, e := range reply.Errors {
			failed = append(failed, e.OpIndex)
		}
		return failed
	case *structs.SessionRequest:
		_, err := tx.Session(r)
		return err == nil
	case *structs.NodeRequest:
		tx.Node(r)
	case *structs.NamespaceRequest:
		_, err := tx.Namespace(r)
		return err == nil
	case *structs.KVExpireRequest:
		return tx.KVExpire(r).Deleted
	case *structs.AutopilotRequest:
		tx.Autopilot(r)
	case *structs.ClusterRequest:
		tx.Cluster(r)
	case *structs.TombstoneReapRequest:
		tx.TombstoneReap(r)
	}
	return nil
}

func applyModel(m *model, c command) any {
	switch r := c.(type) {
	case *structs.KVRequest:
		return fmt.Sprint(m.write(r.Namespace, r.Op, r.KV, r.TTL))
	case *structs.TxnRequest:
		if m.spaces[r.Namespace] == nil {
			return []int{0}
		}
		return m.txn(r.Namespace, r.Ops)
	case *structs.SessionRequest:
		if r.Op == structs.SessionCreate {
			return m.createSession(r.Namespace, r.Session)
		}
		m.destroySession(r.Namespace, r.Session.ID)
		return m.spaces[r.Namespace] != nil
	case *structs.NodeRequest:
		m.node(r)
	case *structs.NamespaceRequest:
		return m.namespace(r.Op, r.Namespace.Name)
	case *structs.KVExpireRequest:
		return m.expire(r.Limit)
	}
	return nil
}

// stepTime mostly moves on by a few seconds, and sometimes back, as with a new leader's clock.
func stepTime(rnd *rand.Rand, now time.Time) time.Time {
	return now.Add(pick(rnd, 0, time.Millisecond, time.Second, 10*time.Second, -5*time.Second))
}

func TestStoreEqualsModel(t *testing.T) {
	rnd := newRand(t)
	for range 6 {
		s, m := New(), newModel()
		now := time.Unix(1_700_000_000, 0)
		seen := map[string]uint64{}
		for index := uint64(2); index < 400; index++ {
			now = stepTime(rnd, now)
			entry := randomEntry(rnd, index)
			tx := s.Begin(structs.Stamp{Index: index, Time: now})
			m.begin(index, now.UnixNano())
			for _, c := range entry {
				if got, want := apply(tx, c), applyModel(m, c); !reflect.DeepEqual(got, want) {
					t.Fatalf("index %d: %+v answered %v, model %v", index, c, got, want)
				}
			}
			tx.Commit()
			if compareRows(t, s, m); t.Failed() {
				t.Fatalf("after index %d: %+v", index, entry)
			}
			for range 3 {
				if compareRange(t, rnd, s, m, seen); t.Failed() {
					t.Fatalf("after index %d: %+v", index, entry)
				}
			}
		}
	}
}

// compareRows compares every row, session and node.
func compareRows(t *testing.T, s *Store, m *model) {
	t.Helper()
	_, spaces := s.NamespaceList(nil)
	wantEqual(t, "namespaces", len(spaces), len(m.spaces))
	earliest := int64(0)
	for name, space := range m.spaces {
		_, rows, _ := s.KVList(nil, name, "", "", 0)
		want := space.sorted("")
		wantEqual(t, "rows", len(rows), len(want))
		for i := range min(len(rows), len(want)) {
			if !reflect.DeepEqual(*rows[i], want[i]) {
				t.Errorf("row %+v, model %+v", *rows[i], want[i])
			}
			if at := want[i].ExpiresAt; at > 0 && (earliest == 0 || at < earliest) {
				earliest = at
			}
		}
		_, sessions := s.SessionList(nil, name)
		wantEqual(t, "sessions", len(sessions), len(space.sessions))
		for _, got := range sessions {
			if !reflect.DeepEqual(*got, space.sessions[got.ID]) {
				t.Errorf("session %+v, model %+v", *got, space.sessions[got.ID])
			}
		}
	}
	next, _ := s.NextExpiry()
	wantEqual(t, "next expiry", next, earliest)
	_, nodes := s.NodeList(nil)
	wantEqual(t, "nodes", len(nodes), len(m.nodes))
	for _, n := range nodes {
		wantEqual(t, "node "+n.Name, n.Status, m.nodes[n.Name].Status)
		wantEqual(t, "node "+n.Name, n.ID, m.nodes[n.Name].ID)
		wantEqual(t, "meta of "+n.Name, n.Meta["rack"], m.nodes[n.Name].Meta["rack"])
	}
}

// compareRange compares the reads of one random prefix, whole and in pages. Its index may not be
// below the last change there, nor fall; seen holds the last one of each prefix.
func compareRange(t *testing.T, rnd *rand.Rand, s *Store, m *model, seen map[string]uint64) {
	t.Helper()
	name := pick(rnd, structs.Namespace("default"), "default", "team")
	prefix, sep, limit := pick(rnd, "", randomKey(rnd), randomKey(rnd)), pick(rnd, "", "/", "a/"), 1+rnd.IntN(4)
	space := m.spaces[name]
	if space == nil {
		space = newModelSpace()
	}
	want := space.sorted(prefix)
	var keys, cut []string
	for _, row := range want {
		keys = append(keys, row.Key)
		if key := cutKey(row.Key, prefix, sep); len(cut) == 0 || cut[len(cut)-1] != key {
			cut = append(cut, key)
		}
	}
	idx, n := s.KVCount(nil, name, prefix)
	wantEqual(t, "count", n, int64(len(want)))
	at := string(name) + "\x00" + prefix
	if idx < space.prefixChanged(prefix) || idx < seen[at] || idx > m.index {
		t.Errorf("index of %q is %d; it changed at %d, was %d, the store is at %d", prefix, idx, space.prefixChanged(prefix), seen[at], m.index)
	}
	seen[at] = idx
	var listed, grouped []string
	for after, more := "", true; more; {
		var page []*structs.KVPair
		if _, page, more = s.KVList(nil, name, prefix, after, limit); more {
			after = page[len(page)-1].Key
		}
		for _, row := range page {
			listed = append(listed, row.Key)
		}
	}
	for after, more := "", true; more; {
		var page []string
		if _, page, more = s.KVKeys(nil, name, prefix, sep, after, limit); more {
			after = page[len(page)-1]
		}
		grouped = append(grouped, page...)
	}
	if !slices.Equal(listed, keys) || !slices.Equal(grouped, cut) {
		t.Errorf("prefix %q by %q in pages of %d: %q and %q, model %q and %q", prefix, sep, limit, listed, grouped, keys, cut)
	}
}

// Three replicas apply the same entries; two of them are replaced by their snapshot now and then.
func TestReplicasStayEqualOverSnapshots(t *testing.T) {
	rnd := newRand(t)
	for range 2 {
		replicas := []*Store{New(), New(), New()}
		now := time.Unix(1_700_000_000, 0)
		for index := uint64(2); index < 400; index++ {
			now = stepTime(rnd, now)
			entry := randomEntry(rnd, index)
			var answers []string
			for _, s := range replicas {
				tx := s.Begin(structs.Stamp{Index: index, Time: now})
				var answer string
				for _, c := range entry {
					answer += fmt.Sprint(apply(tx, c), ";")
				}
				tx.Commit()
				answers = append(answers, answer)
			}
			for i, s := range replicas {
				if answers[i] != answers[0] {
					t.Fatalf("index %d: replica %d answered %s, the first %s", index, i, answers[i], answers[0])
				}
				if i == 0 || rnd.IntN(20) > 0 {
					continue
				}
				fresh := New()
				restoreFrom(t, fresh, s)
				replicas[i] = fresh
			}
			if index%10 == 0 {
				compareDumps(t, index, replicas)
			}
		}
	}
}

func compareDumps(t *testing.T, index uint64, replicas []*Store) {
	t.Helper()
	want := string(dump(t, replicas[0]))
	for i, s := range replicas[1:] {
		if got := string(dump(t, s)); got != want {
			t.Fatalf("index %d: replica %d holds\n%s\nthe first\n%s", index, i+1, got, want)
		}
	}
}

// A failing transaction of random operations leaves the dump as it was.
func TestRandomFailedTxnLeavesTheDump(t *testing.T) {
	rnd := newRand(t)
	s := New()
	for index := uint64(2); index < 500; index++ {
		tx := s.Begin(structs.Stamp{Index: index, Time: time.Unix(int64(index), 0)})
		for _, c := range randomEntry(rnd, index) {
			apply(tx, c)
		}
		tx.Commit()
		before := tables(t, s)
		r := &structs.TxnRequest{WriteOptions: structs.WriteOptions{Namespace: ns}}
		for range 1 + rnd.IntN(6) {
			op := pick(rnd, writeVerbs...)
			r.Ops = append(r.Ops, structs.TxnOp{KV: &structs.TxnKVOp{Verb: op, Pair: randomPair(rnd, op, index)}})
		}
		r.Ops = append(r.Ops, structs.TxnOp{KV: &structs.TxnKVOp{Verb: structs.KVGet, Pair: structs.KVPair{Key: "never"}}})
		tx = s.Begin(structs.Stamp{Index: index, Time: time.Unix(int64(index), 0)})
		mustTxn(t, tx, r)
		tx.Commit()
		if after := tables(t, s); string(after) != string(before) {
			t.Fatalf("index %d: %+v left\n%s\nof\n%s", index, r, after, before)
		}
	}
}
