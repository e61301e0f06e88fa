package state

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/structs"
)

func TestNewStoreHasTheDefaultNamespaceOnly(t *testing.T) {
	s := New()
	idx, list := s.NamespaceList(nil)
	wantEqual(t, "index", idx, 1)
	if len(list) != 1 || list[0].Name != ns || list[0].CreateIndex != 1 {
		t.Errorf("namespaces: %+v", list)
	}
	wantEqual(t, "store index", s.Index(), 0)
	wantEqual(t, "store time", s.Time(), time.Unix(0, 0).UTC())
}

func TestNoReadAnswersIndexZero(t *testing.T) {
	empty := New()
	if err := empty.Restore(func(*Restorer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Store{New(), empty} {
		for _, n := range []structs.Namespace{ns, "no"} {
			var got [13]uint64
			got[0], _ = s.KVGet(nil, n, "k")
			got[1], _, _ = s.KVList(nil, n, "", "", 0)
			got[2], _, _ = s.KVKeys(nil, n, "k", "/", "", 1)
			got[3], _ = s.KVCount(nil, n, "k")
			got[4] = s.TxnRead(nil, n).Index
			got[5], _ = s.SessionGet(nil, n, "s")
			got[6], _ = s.SessionList(nil, n)
			got[7], _ = s.SessionsOfNode(nil, n, "n")
			got[8], _ = s.NamespaceGet(nil, n)
			got[9], _ = s.NodeList(nil)
			got[10], _ = s.NodeGet(nil, "n")
			got[11], _ = s.Autopilot(nil)
			got[12], _ = s.Cluster(nil)
			for i, idx := range got {
				if idx == 0 {
					t.Errorf("read %d of namespace %q answers index 0", i, n)
				}
			}
		}
	}
}

func TestNamespaceDeleteRemovesEverythingInIt(t *testing.T) {
	r := newRig(t)
	if err := r.namespace(structs.NamespaceCreate, "team"); err != nil {
		t.Fatal(err)
	}
	r.set("a", "default's")
	inTeam := func(op structs.KVOp, key, session string) {
		t.Helper()
		p := structs.KVPair{Namespace: "team", Key: key, Session: session}
		if reply, err := r.tryKV(op, p, time.Hour); err != nil || !reply.OK {
			t.Fatalf("%s %q: %v, %v", op, key, reply, err)
		}
	}
	inTeam(structs.KVSet, "a", "")
	inTeam(structs.KVSet, "b", "")
	inTeam(structs.KVDelete, "b", "")
	r.session(structs.Session{ID: "s", Namespace: "team", LockDelay: time.Minute})
	inTeam(structs.KVLock, "l", "s")
	if err := r.trySession(structs.SessionDestroy, structs.Session{ID: "s", Namespace: "team"}); err != nil {
		t.Fatal(err)
	}
	r.session(structs.Session{ID: "s2", Namespace: "team"})
	inTeam(structs.KVLock, "m", "s2")
	r.entry(func(tx *Txn) { tx.TombstoneReap(&structs.TombstoneReapRequest{Index: r.index}) })
	inTeam(structs.KVDelete, "a", "")
	last, _ := r.s.KVGet(nil, "team", "zzz")

	if err := r.namespace(structs.NamespaceDelete, "team"); err != nil {
		t.Fatal(err)
	}
	if d := string(tables(t, r.s)); strings.Contains(d, "team") {
		t.Errorf("something of the namespace is left:\n%s", d)
	}
	wantEqual(t, "the default namespace's key", string(r.get("a").Value), "default's")
	if _, ok := r.s.NextExpiry(); ok {
		t.Error("an expiry is left")
	}
	gone, _ := r.s.KVGet(nil, "team", "zzz")
	if gone <= last {
		t.Errorf("index fell from %d to %d with the namespace", last, gone)
	}
	r.set("b", "v")
	before, _ := r.s.KVGet(nil, "team", "zzz")
	if err := r.namespace(structs.NamespaceCreate, "team"); err != nil {
		t.Fatal(err)
	}
	again, _ := r.s.KVGet(nil, "team", "zzz")
	if again <= before {
		t.Errorf("index fell from %d to %d with the namespace's return", before, again)
	}
	r.set("c", "v")
	quiet, _ := r.s.KVGet(nil, "team", "zzz")
	wantEqual(t, "index after a write in another namespace", quiet, again)
}

func TestNamespaceRequests(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		op   structs.NamespaceOp
		name structs.Namespace
		want error
	}{
		{structs.NamespaceCreate, "team", nil},
		{structs.NamespaceCreate, "team", structs.ErrConflict},
		{structs.NamespaceUpsert, "team", nil},
		{structs.NamespaceUpsert, "other", nil},
		{structs.NamespaceDelete, "none", structs.ErrNotFound},
		{structs.NamespaceDelete, ns, structs.ErrInvalid},
		{structs.NamespaceCreate, "Team", structs.ErrInvalid},
		{structs.NamespaceCreate, "", structs.ErrInvalid},
		{"burn", "team", structs.ErrInvalid},
	} {
		before := tables(t, r.s)
		err := r.namespace(c.op, c.name)
		if (err == nil) != (c.want == nil) || err != nil && !errors.Is(err, c.want) {
			t.Errorf("%s %q: got %v, want kind of %v", c.op, c.name, err, c.want)
		}
		if err != nil && string(tables(t, r.s)) != string(before) {
			t.Errorf("%s %q was refused and changed the tables", c.op, c.name)
		}
	}
	_, n := r.s.NamespaceGet(nil, "team")
	at := n.ModifyIndex
	upsert := func(desc string) (got structs.NamespaceInfo) {
		r.entry(func(tx *Txn) {
			reply, _ := tx.Namespace(&structs.NamespaceRequest{Op: structs.NamespaceUpsert,
				Namespace: structs.NamespaceInfo{Name: "team", Description: desc}})
			got = reply.Namespace
		})
		return got
	}
	wantEqual(t, "ModifyIndex after an identical upsert", upsert("").ModifyIndex, at)
	wantEqual(t, "ModifyIndex after a change", upsert("ours").ModifyIndex, r.index)
	wantEqual(t, "CreateIndex after a change", upsert("ours").CreateIndex, n.CreateIndex)
}

func TestAutopilotCAS(t *testing.T) {
	r := newRig(t)
	set := func(c structs.AutopilotConfig, cas bool) (reply *structs.AutopilotReply) {
		r.entry(func(tx *Txn) { reply = tx.Autopilot(&structs.AutopilotRequest{Config: c, CAS: cas}) })
		return reply
	}
	if _, c := r.s.Autopilot(nil); c != nil {
		t.Errorf("a new store has %+v", c)
	}
	wantEqual(t, "cas=7 on nothing", set(structs.AutopilotConfig{ModifyIndex: 7}, true).OK, false)
	wantEqual(t, "cas=0 on nothing", set(structs.AutopilotConfig{MinQuorum: 3}, true).OK, true)
	at := r.index
	wantEqual(t, "cas=0 on something", set(structs.AutopilotConfig{}, true).OK, false)
	wantEqual(t, "what a refusal returns", set(structs.AutopilotConfig{}, true).Config.MinQuorum, 3)
	wantEqual(t, "ModifyIndex after the same again", set(structs.AutopilotConfig{MinQuorum: 3}, false).Config.ModifyIndex, at)
	reply := set(structs.AutopilotConfig{MinQuorum: 5, ModifyIndex: at}, true)
	wantEqual(t, "cas", reply.OK, true)
	idx, c := r.s.Autopilot(nil)
	wantEqual(t, "stored", *c, structs.AutopilotConfig{MinQuorum: 5, CreateIndex: at, ModifyIndex: r.index})
	wantEqual(t, "index", idx, r.index)
}

const (
	clusterA structs.ClusterID = "aaaaaaaa-0000-4000-8000-00000000000a"
	clusterB structs.ClusterID = "bbbbbbbb-0000-4000-8000-00000000000b"
)

func TestTheFirstClusterIDStaysForEver(t *testing.T) {
	r := newRig(t)
	name := func(id structs.ClusterID) {
		r.entry(func(tx *Txn) { tx.Cluster(&structs.ClusterRequest{ID: id}) })
	}
	for _, bad := range []structs.ClusterID{"", "a", clusterA + "a", structs.ClusterID(strings.ToUpper(string(clusterA))), "aaaaaaaa-0000-4000-8000-0000000-000a"} {
		name(bad)
		if _, c := r.s.Cluster(nil); c != nil {
			t.Fatalf("the cluster is named %+v", c)
		}
	}
	name(clusterA)
	at := r.index
	for _, id := range []structs.ClusterID{clusterB, clusterA, ""} {
		name(id)
		idx, c := r.s.Cluster(nil)
		wantEqual(t, "the row", *c, structs.ClusterInfo{ID: clusterA, CreateIndex: at})
		wantEqual(t, "index", idx, at)
	}
}

func TestAbortedEntryLeavesNothing(t *testing.T) {
	r := newRig(t)
	before := dump(t, r.s)
	tx := r.s.Begin(structs.Stamp{Index: 99, Time: r.now.Add(time.Hour)})
	req := &structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: "a"}}
	req.Namespace = ns
	if _, err := tx.KV(req); err != nil {
		t.Fatal(err)
	}
	if string(dump(t, r.s)) != string(before) {
		t.Error("an open entry is visible")
	}
	tx.Abort()
	tx.Abort()
	if string(dump(t, r.s)) != string(before) {
		t.Error("an aborted entry left something")
	}
}

// Consul row 15.
func TestRestoreBringsEverythingBackAndWakes(t *testing.T) {
	r := newRig(t)
	s := r.session(structs.Session{ID: "s", LockDelay: time.Second})
	r.lock("k", s)
	r.set("ttl", "v", time.Minute)
	r.set("gone", "v")
	r.kv(structs.KVDelete, structs.KVPair{Key: "gone"})
	r.destroy(r.session(structs.Session{ID: "s2"}))
	r.entry(func(tx *Txn) { tx.Autopilot(&structs.AutopilotRequest{Config: structs.AutopilotConfig{MinQuorum: 3}}) })
	r.entry(func(tx *Txn) { tx.Cluster(&structs.ClusterRequest{ID: clusterA}) })
	want := dump(t, r.s)

	to := newRig(t)
	to.set("stays", "until the restore succeeds")
	ws := memdb.NewWatchSet()
	to.s.KVGet(ws, ns, "k")
	abandon, before := to.s.AbandonCh(), dump(t, to.s)
	wrong := errors.New("truncated")
	err := to.s.Restore(func(rs *Restorer) error {
		if err := rs.KV(&structs.KVPair{Namespace: ns, Key: "half"}); err != nil {
			t.Error(err)
		}
		return wrong
	})
	if !errors.Is(err, wrong) || string(dump(t, to.s)) != string(before) || fired(ws) {
		t.Errorf("a failed restore: %v, changed %v, woke %v", err, string(dump(t, to.s)) != string(before), fired(ws))
	}
	restoreFrom(t, to.s, r.s)
	if got := dump(t, to.s); string(got) != string(want) {
		t.Errorf("restored:\n%s\nwant:\n%s", got, want)
	}
	if !fired(ws) || to.s.AbandonCh() == abandon {
		t.Error("the restore did not wake a watcher")
	}
	to.index = r.index
	wantEqual(t, "the restored lock refuses another", to.lock("k", to.session(structs.Session{ID: "s3"})), false)
	ws = memdb.NewWatchSet()
	to.s.KVGet(ws, ns, "k")
	to.destroy("s")
	wantEqual(t, "watches of the restored tables fire", fired(ws), true)
}

func TestRestoreRefusesRowsWithoutAKey(t *testing.T) {
	for name, load := range map[string]func(*Restorer) error{
		"kv":        func(r *Restorer) error { return r.KV(&structs.KVPair{Key: "a"}) },
		"no row":    func(r *Restorer) error { return r.KV(nil) },
		"tombstone": func(r *Restorer) error { return r.Tombstone(&Tombstone{Key: "a"}) },
		"lockdelay": func(r *Restorer) error { return r.LockDelay(&LockDelay{Key: "a"}) },
		"session":   func(r *Restorer) error { return r.Session(&structs.Session{Namespace: ns}) },
		"node":      func(r *Restorer) error { return r.Node(&structs.Node{ID: "x"}) },
		"namespace": func(r *Restorer) error { return r.Namespace(&structs.NamespaceInfo{}) },
	} {
		if err := New().Restore(load); err == nil {
			t.Errorf("%s: restored", name)
		}
	}
}

func TestSnapshotDoesNotSeeLaterEntries(t *testing.T) {
	r := newRig(t)
	r.set("a", "1")
	sn := r.s.Snapshot()
	at := r.index
	r.now = r.now.Add(time.Hour)
	r.set("a", "2")
	r.set("b", "2")
	n := 0
	err := sn.KVs(func(p *structs.KVPair) error {
		n++
		wantEqual(t, "value", string(p.Value), "1")
		return nil
	})
	wantEqual(t, "rows", n, 1)
	wantEqual(t, "error", err, nil)
	wantEqual(t, "index", sn.Index(), at)
	if !sn.Time().Before(r.s.Time()) {
		t.Error("the snapshot's time moved")
	}
	stop := errors.New("stop")
	if err := r.s.Snapshot().KVs(func(*structs.KVPair) error { return stop }); err != stop {
		t.Errorf("an iteration returned %v, not its function's error", err)
	}
}

func TestNamespaceWrittenAndDeletedInOneEntry(t *testing.T) {
	r := newRig(t)
	if err := r.namespace(structs.NamespaceCreate, "team"); err != nil {
		t.Fatal(err)
	}
	r.entry(func(tx *Txn) {
		opts := structs.WriteOptions{Namespace: "team"}
		if _, err := tx.KV(&structs.KVRequest{WriteOptions: opts, Op: structs.KVSet, KV: structs.KVPair{Key: "a"}}); err != nil {
			t.Error(err)
		}
		if _, err := tx.Namespace(&structs.NamespaceRequest{Op: structs.NamespaceDelete, Namespace: structs.NamespaceInfo{Name: "team"}}); err != nil {
			t.Error(err)
		}
	})
	if d := string(tables(t, r.s)); strings.Contains(d, "team") {
		t.Errorf("something of the namespace is left:\n%s", d)
	}
}
