package state

import (
	"testing"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/structs"
)

// newWatchRig has something for every kind of watch to look at.
func newWatchRig(t *testing.T) *rig {
	r := newRig(t)
	if err := r.namespace(structs.NamespaceCreate, "team"); err != nil {
		t.Fatal(err)
	}
	r.session(structs.Session{ID: "s1"})
	r.session(structs.Session{ID: "s2"})
	for _, k := range []string{"a", "p/1", "p/2", "q/1", "ttl"} {
		r.set(k, "v", map[bool]time.Duration{true: time.Second}[k == "ttl"])
	}
	r.lock("held", "s1")
	return r
}

// A watch fires when what it looks at changes, and the index read afterwards is higher than before: the
// endpoint needs both to answer.
func TestWatchesFireOnChange(t *testing.T) {
	reads := map[string]func(s *Store, ws memdb.WatchSet) uint64{
		"key a":       func(s *Store, ws memdb.WatchSet) uint64 { i, _ := s.KVGet(ws, ns, "a"); return i },
		"key held":    func(s *Store, ws memdb.WatchSet) uint64 { i, _ := s.KVGet(ws, ns, "held"); return i },
		"key missing": func(s *Store, ws memdb.WatchSet) uint64 { i, _ := s.KVGet(ws, ns, "missing"); return i },
		"list p/":     func(s *Store, ws memdb.WatchSet) uint64 { i, _, _ := s.KVList(ws, ns, "p/", "", 0); return i },
		"page of p/":  func(s *Store, ws memdb.WatchSet) uint64 { i, _, _ := s.KVList(ws, ns, "p/", "p/1", 1); return i },
		"list all":    func(s *Store, ws memdb.WatchSet) uint64 { i, _, _ := s.KVList(ws, ns, "", "", 0); return i },
		"list none/":  func(s *Store, ws memdb.WatchSet) uint64 { i, _, _ := s.KVList(ws, ns, "none/", "", 0); return i },
		"keys p/":     func(s *Store, ws memdb.WatchSet) uint64 { i, _, _ := s.KVKeys(ws, ns, "p/", "/", "", 0); return i },
		"count p/":    func(s *Store, ws memdb.WatchSet) uint64 { i, _ := s.KVCount(ws, ns, "p/"); return i },
		"session s1":  func(s *Store, ws memdb.WatchSet) uint64 { i, _ := s.SessionGet(ws, ns, "s1"); return i },
		"sessions":    func(s *Store, ws memdb.WatchSet) uint64 { i, _ := s.SessionList(ws, ns); return i },
		"of n1":       func(s *Store, ws memdb.WatchSet) uint64 { i, _ := s.SessionsOfNode(ws, ns, "n1"); return i },
		"nodes":       func(s *Store, ws memdb.WatchSet) uint64 { i, _ := s.NodeList(ws); return i },
		"node n1":     func(s *Store, ws memdb.WatchSet) uint64 { i, _ := s.NodeGet(ws, "n1"); return i },
		"namespaces":  func(s *Store, ws memdb.WatchSet) uint64 { i, _ := s.NamespaceList(ws); return i },
		"ns team":     func(s *Store, ws memdb.WatchSet) uint64 { i, _ := s.NamespaceGet(ws, "team"); return i },
		"autopilot":   func(s *Store, ws memdb.WatchSet) uint64 { i, _ := s.Autopilot(ws); return i },
		"cluster":     func(s *Store, ws memdb.WatchSet) uint64 { i, _ := s.Cluster(ws); return i },
	}
	for _, c := range []struct {
		change string
		do     func(r *rig)
		wakes  []string
	}{
		{"put a", func(r *rig) { r.set("a", "new") }, []string{"key a", "list all"}},
		{"delete a", func(r *rig) { r.kv(structs.KVDelete, structs.KVPair{Key: "a"}) }, []string{"key a", "list all"}},
		{"put missing", func(r *rig) { r.set("missing", "v") }, []string{"key missing", "list all"}},
		{"put p/1", func(r *rig) { r.set("p/1", "new") }, []string{"list p/", "page of p/", "keys p/", "count p/", "list all"}},
		{"put p/3", func(r *rig) { r.set("p/3", "v") }, []string{"list p/", "page of p/", "keys p/", "count p/", "list all"}},
		{"delete p/2", func(r *rig) { r.kv(structs.KVDelete, structs.KVPair{Key: "p/2"}) }, []string{"list p/", "keys p/", "count p/", "list all"}},
		{"delete p", func(r *rig) { r.kv(structs.KVDeleteTree, structs.KVPair{Key: "p"}) }, []string{"list p/", "keys p/", "count p/", "list all"}},
		{"put none/1", func(r *rig) { r.set("none/1", "v") }, []string{"list none/", "list all"}},
		{"expire", func(r *rig) {
			r.now = r.now.Add(time.Minute)
			r.entry(func(tx *Txn) { tx.KVExpire(&structs.KVExpireRequest{Limit: 1}) })
		}, []string{"list all"}},
		{"txn on a", func(r *rig) { r.txn(structs.TxnKVOp{Verb: structs.KVSet, Pair: structs.KVPair{Key: "a"}}) }, []string{"key a", "list all"}},
		{"destroy s1", func(r *rig) { r.destroy("s1") }, []string{"session s1", "sessions", "of n1", "key held", "list all"}},
		{"create s3", func(r *rig) { r.session(structs.Session{ID: "s3"}) }, []string{"sessions", "of n1"}},
		{"n1 fails", func(r *rig) { r.node("n1", structs.NodeFailed) }, []string{"nodes", "node n1", "session s1", "sessions", "of n1", "key held"}},
		{"n2 joins", func(r *rig) { r.node("n2", structs.NodeAlive) }, []string{"nodes"}},
		{"delete team", func(r *rig) { _ = r.namespace(structs.NamespaceDelete, "team") }, []string{"namespaces", "ns team"}},
		{"set autopilot", func(r *rig) {
			r.entry(func(tx *Txn) { tx.Autopilot(&structs.AutopilotRequest{Config: structs.AutopilotConfig{MinQuorum: 3}}) })
		}, []string{"autopilot"}},
		{"name cluster", func(r *rig) {
			r.entry(func(tx *Txn) { tx.Cluster(&structs.ClusterRequest{ID: clusterA}) })
		}, []string{"cluster"}},
	} {
		for _, name := range c.wakes {
			r := newWatchRig(t)
			ws := memdb.NewWatchSet()
			before := reads[name](r.s, ws)
			c.do(r)
			if !fired(ws) {
				t.Errorf("%s: the watch of %s did not fire", c.change, name)
			}
			if after := reads[name](r.s, nil); after <= before {
				t.Errorf("%s: the index of %s went from %d to %d", c.change, name, before, after)
			}
		}
	}
}

// A watcher of a key that exists sleeps through everything else, whatever the radix tree does around it.
func TestWatchOfAKeyStaysQuiet(t *testing.T) {
	for what, do := range map[string]func(r *rig){
		"identical put":     func(r *rig) { r.set("a", "v") },
		"refused cas":       func(r *rig) { r.kv(structs.KVCAS, structs.KVPair{Key: "a", ModifyIndex: 1}) },
		"refused lock":      func(r *rig) { r.lock("held", "s2") },
		"put of a longer":   func(r *rig) { r.set("aa", "v"); r.set("a/b", "v") },
		"put of a neighbor": func(r *rig) { r.set("b", "v"); r.set("p/1", "new") },
		"delete of others":  func(r *rig) { r.kv(structs.KVDeleteTree, structs.KVPair{Key: "p"}) },
		"tombstone reap": func(r *rig) {
			r.entry(func(tx *Txn) { tx.TombstoneReap(&structs.TombstoneReapRequest{Index: r.index}) })
		},
		"other namespace": func(r *rig) {
			if _, err := r.tryKV(structs.KVSet, structs.KVPair{Key: "a", Namespace: "team"}); err != nil {
				r.t.Fatal(err)
			}
		},
		"aborted entry": func(r *rig) {
			tx := r.s.Begin(structs.Stamp{Index: 1000, Time: r.now})
			req := &structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: "a", Value: []byte("x")}}
			req.Namespace = ns
			_, _ = tx.KV(req)
			tx.Abort()
		},
	} {
		r := newWatchRig(t)
		ws := memdb.NewWatchSet()
		idx, row := r.s.KVGet(ws, ns, "a")
		do(r)
		after, same := r.s.KVGet(nil, ns, "a")
		if fired(ws) || after != idx || same != row {
			t.Errorf("%s woke the watcher of a (%v) or moved its index (%d to %d)", what, fired(ws), idx, after)
		}
	}
}

// Tenants do not wake each other and do not see each other's indexes.
func TestNamespacesHaveTheirOwnIndexes(t *testing.T) {
	r := newWatchRig(t)
	kv, _ := r.s.KVGet(nil, ns, "missing")
	sessions, _ := r.s.SessionList(nil, ns)
	if _, err := r.tryKV(structs.KVSet, structs.KVPair{Key: "a", Namespace: "team"}); err != nil {
		t.Fatal(err)
	}
	r.session(structs.Session{ID: "t", Namespace: "team"})
	kvAfter, _ := r.s.KVGet(nil, ns, "missing")
	sessionsAfter, _ := r.s.SessionList(nil, ns)
	wantEqual(t, "kv index", kvAfter, kv)
	wantEqual(t, "sessions index", sessionsAfter, sessions)
}
