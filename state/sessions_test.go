package state

import (
	"errors"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

func TestSessionNeedsALivingNode(t *testing.T) {
	r := newRig(t)
	r.node("down", structs.NodeFailed)
	r.node("gone", structs.NodeLeft)
	r.session(structs.Session{ID: "s"})
	before := tables(t, r.s)
	for name, c := range map[string]struct {
		s    structs.Session
		want error
		text string
	}{
		"unknown node":      {structs.Session{ID: "x", Node: "nobody"}, structs.ErrNotFound, "Missing node registration"},
		"failed node":       {structs.Session{ID: "x", Node: "down"}, structs.ErrConflict, "Check 'serfHealth' is in critical state"},
		"left node":         {structs.Session{ID: "x", Node: "gone"}, structs.ErrConflict, "Check 'serfHealth' is in critical state"},
		"no id":             {structs.Session{Node: "n1"}, structs.ErrInvalid, "missing session id"},
		"id in use":         {structs.Session{ID: "s", Node: "n1"}, structs.ErrConflict, `session "s" already exists`},
		"behavior":          {structs.Session{ID: "x", Node: "n1", Behavior: "burn"}, structs.ErrInvalid, `invalid session behavior "burn"`},
		"unknown namespace": {structs.Session{ID: "x", Node: "n1", Namespace: "no"}, structs.ErrNotFound, `namespace "no" does not exist`},
	} {
		err := r.trySession(structs.SessionCreate, c.s)
		if err == nil || !errors.Is(err, c.want) || err.Message != c.text {
			t.Errorf("%s: got %v, want %q", name, err, c.text)
		}
	}
	if err := r.trySession("burn", structs.Session{ID: "s"}); !errors.Is(err, structs.ErrInvalid) {
		t.Errorf("unknown operation: %v", err)
	}
	if string(tables(t, r.s)) != string(before) {
		t.Error("a refused request changed the tables")
	}
	_, s := r.s.SessionGet(nil, ns, "s")
	wantEqual(t, "default behavior", s.Behavior, structs.SessionRelease)
	r.destroy("unknown") // Consul row 12: succeeds
}

func TestDestroyReleasesOrDeletes(t *testing.T) {
	r := newRig(t)
	rel := r.session(structs.Session{ID: "rel"})
	del := r.session(structs.Session{ID: "del", Behavior: structs.SessionDelete})
	r.kv(structs.KVLock, structs.KVPair{Key: "r", Session: rel, Value: []byte("v"), Flags: 7})
	token := r.index
	r.lock("d/x", del)
	r.lock("other", r.session(structs.Session{ID: "other"}))

	r.destroy(rel)
	row := r.get("r")
	wantEqual(t, "holder", row.Session, "")
	wantEqual(t, "value", string(row.Value), "v")
	wantEqual(t, "flags", row.Flags, 7)
	wantEqual(t, "LockIndex", row.LockIndex, 1)
	wantEqual(t, "FencingToken", row.FencingToken, token)
	wantEqual(t, "ModifyIndex", row.ModifyIndex, r.index)

	r.destroy(del)
	wantEqual(t, "the deleted key", r.has("d/x"), false)
	idx, _, _ := r.s.KVList(nil, ns, "d/", "", 0)
	wantEqual(t, "its prefix index", idx, r.index)
	wantEqual(t, "another session's key", r.get("other").Session, "other")
	idx, list := r.s.SessionList(nil, ns)
	wantEqual(t, "sessions left", len(list), 1)
	wantEqual(t, "session table index", idx, r.index)
}

// Consul row 13.
func TestLockDelay(t *testing.T) {
	r := newRig(t)
	start := r.now
	s1 := r.session(structs.Session{ID: "s1", LockDelay: 15 * time.Second})
	s2 := r.session(structs.Session{ID: "s2", LockDelay: time.Hour})
	s3 := r.session(structs.Session{ID: "s3"})

	r.lock("released", s1)
	r.kv(structs.KVUnlock, structs.KVPair{Key: "released", Session: s1})
	wantEqual(t, "lock right after a release", r.lock("released", s3), true)
	r.lock("deleted", s1)
	r.kv(structs.KVDelete, structs.KVPair{Key: "deleted"})
	wantEqual(t, "lock right after a delete", r.lock("deleted", s3), true)

	r.lock("k", s1)
	r.lock("long", s2)
	r.destroy(s1)
	r.destroy(s2)
	wantEqual(t, "lock in the delay", r.lock("k", s3), false)
	wantEqual(t, "lock of another key", r.lock("k2", s3), true)
	r.set("k", "plain")
	wantEqual(t, "plain write in the delay", string(r.get("k").Value), "plain")
	if e := r.txn(structs.TxnKVOp{Verb: structs.KVLock, Pair: structs.KVPair{Key: "k", Session: s3}}).Errors; len(e) != 1 ||
		e[0].What != `failed to lock key "k" due to lock delay` {
		t.Errorf("lock in a transaction: %v", e)
	}

	replica := New()
	restoreFrom(t, replica, r.s)
	r.s = replica
	r.now = start.Add(15*time.Second - 1)
	wantEqual(t, "lock at the delay's last moment, on another server", r.lock("k", s3), false)
	r.now = start.Add(15 * time.Second)
	wantEqual(t, "lock after the delay", r.lock("k", s3), true)
	r.now = start.Add(structs.LockDelayMax - 1)
	wantEqual(t, "lock before the longest delay is over", r.lock("long", s3), false)
	r.now = start.Add(structs.LockDelayMax)
	r.entry(func(tx *Txn) { tx.TombstoneReap(&structs.TombstoneReapRequest{}) })
	_ = r.s.Snapshot().LockDelays(func(d *LockDelay) error {
		t.Errorf("a passed lock-delay was kept: %+v", d)
		return nil
	})
	wantEqual(t, "lock after the longest delay", r.lock("long", s3), true)
}

func TestNodeThatIsNotAliveLosesItsSessions(t *testing.T) {
	alive := structs.Node{ID: "id-n2", Name: "n2", Status: structs.NodeAlive}
	change := func(f func(n *structs.Node)) structs.NodeRequest {
		n := alive
		f(&n)
		return structs.NodeRequest{Op: structs.NodeUpsert, Node: n}
	}
	for name, c := range map[string]struct {
		req      structs.NodeRequest
		sessions bool // left
		row      bool // of n2
	}{
		"failed":           {change(func(n *structs.Node) { n.Status = structs.NodeFailed }), false, true},
		"left":             {change(func(n *structs.Node) { n.Status = structs.NodeLeft }), false, true},
		"deleted by id":    {structs.NodeRequest{Op: structs.NodeDelete, Node: structs.Node{ID: "id-n2"}}, false, false},
		"deleted by name":  {structs.NodeRequest{Op: structs.NodeDelete, Node: structs.Node{Name: "N2"}}, false, false},
		"another id":       {change(func(n *structs.Node) { n.ID = "id-new" }), false, true},
		"another name":     {change(func(n *structs.Node) { n.Name = "n2b" }), false, false},
		"another address":  {change(func(n *structs.Node) { n.Address = "10.0.0.1" }), true, true},
		"unchanged":        {change(func(*structs.Node) {}), true, true},
		"old id deleted":   {structs.NodeRequest{Op: structs.NodeDelete, Node: structs.Node{ID: "id-old", Name: "n2"}}, true, true},
		"no name":          {change(func(n *structs.Node) { n.Name = "" }), true, true},
		"another operator": {structs.NodeRequest{Op: "burn", Node: alive}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.node("n2", structs.NodeAlive)
			if err := r.namespace(structs.NamespaceCreate, "team"); err != nil {
				t.Fatal(err)
			}
			keep := r.session(structs.Session{ID: "keep"})
			r.lock("keep", keep)
			s := r.session(structs.Session{ID: "s", Node: "N2"})
			r.session(structs.Session{ID: "s", Node: "n2", Namespace: "team"})
			r.lock("k", s)

			r.entry(func(tx *Txn) { tx.Node(&c.req) })
			_, here := r.s.SessionsOfNode(nil, ns, "n2")
			_, there := r.s.SessionsOfNode(nil, "team", "n2")
			wantEqual(t, "sessions in default", len(here) == 1, c.sessions)
			wantEqual(t, "sessions in team", len(there) == 1, c.sessions)
			wantEqual(t, "its lock is held", r.get("k").Session == s, c.sessions)
			wantEqual(t, "another node's lock is held", r.get("keep").Session, keep)
			_, n := r.s.NodeGet(nil, "n2")
			wantEqual(t, "row exists", n != nil, c.row)
		})
	}
}

// Consul's client calls it CreateNoChecks.
func TestSessionWithoutChecksOutlivesAFailure(t *testing.T) {
	r := newRig(t)
	r.node("n2", structs.NodeAlive)
	s := r.session(structs.Session{ID: "s", Node: "n2", NodeChecks: []string{}})
	r.lock("k", s)
	r.node("n2", structs.NodeFailed)
	wantEqual(t, "holder while its node is failed", r.get("k").Session, s)
	r.session(structs.Session{ID: "during", Node: "n2", NodeChecks: []string{}})
	r.node("n2", structs.NodeAlive)
	wantEqual(t, "holder when its node is back", r.get("k").Session, s)
	r.node("n2", structs.NodeLeft)
	wantEqual(t, "holder when its node left", r.get("k").Session, "")
	if err := r.trySession(structs.SessionCreate, structs.Session{ID: "x", Node: "n2", NodeChecks: []string{}}); !errors.Is(err, structs.ErrConflict) {
		t.Errorf("session for a node that left: %v", err)
	}
}

func TestUnchangedNodeKeepsModifyIndex(t *testing.T) {
	r := newRig(t)
	_, before := r.s.NodeList(nil)
	r.node("n1", structs.NodeAlive)
	idx, after := r.s.NodeList(nil)
	wantEqual(t, "row", after[0], before[0])
	wantEqual(t, "table index", idx, before[0].ModifyIndex)
	r.node("n1", structs.NodeFailed)
	idx, n := r.s.NodeGet(nil, "N1")
	wantEqual(t, "index after a change", idx, r.index)
	wantEqual(t, "CreateIndex", n.CreateIndex, before[0].CreateIndex)
}

// What a node says of itself survives the upserts from membership, which carry no meta.
func TestNodeMetaIsReplacedAloneAndKeptByUpserts(t *testing.T) {
	r := newRig(t)
	meta := func(id structs.NodeID, meta map[string]string) *structs.Node {
		r.entry(func(tx *Txn) {
			tx.Node(&structs.NodeRequest{Op: structs.NodeMeta, Node: structs.Node{ID: id, Name: "n1", Status: structs.NodeFailed, Meta: meta}})
		})
		_, n := r.s.NodeGet(nil, "n1")
		return n
	}
	s := r.session(structs.Session{ID: "s"})
	n := meta("id-n1", map[string]string{"rack": "1"})
	wantEqual(t, "meta", n.Meta["rack"], "1")
	wantEqual(t, "status", n.Status, structs.NodeAlive)
	wantEqual(t, "ModifyIndex", n.ModifyIndex, r.index)
	wantEqual(t, "meta by another id", meta("id-other", nil).Meta["rack"], "1")
	r.node("n1", structs.NodeAlive)
	wantEqual(t, "meta and ModifyIndex after an upsert without meta", meta("id-other", nil), n)
	wantEqual(t, "size of the meta removed", len(meta("id-n1", nil).Meta), 0)
	if _, row := r.s.SessionGet(nil, ns, s); row == nil {
		t.Error("meta took the node's session")
	}
	r.entry(func(tx *Txn) {
		tx.Node(&structs.NodeRequest{Op: structs.NodeMeta, Node: structs.Node{ID: "id-x", Name: "nobody"}})
	})
	if _, row := r.s.NodeGet(nil, "nobody"); row != nil {
		t.Error("meta made a node")
	}
}

func TestSessionsAllSpansNamespaces(t *testing.T) {
	r := newRig(t)
	if err := r.namespace(structs.NamespaceCreate, "team"); err != nil {
		t.Fatal(err)
	}
	r.session(structs.Session{ID: "a"})
	r.session(structs.Session{ID: "a", Namespace: "team"})
	wantEqual(t, "sessions", len(r.s.SessionsAll()), 2)
	if _, err := r.tryKV(structs.KVLock, structs.KVPair{Key: "k", Session: "a", Namespace: "team"}); err != nil {
		t.Errorf("lock in the other namespace: %v", err)
	}
	r.session(structs.Session{ID: "mine"})
	if _, err := r.tryKV(structs.KVLock, structs.KVPair{Key: "k", Session: "mine", Namespace: "team"}); err == nil {
		t.Error("a session locks a key of another namespace")
	}
}
