package server

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/rpc"
	"github.com/debros/debros/structs"
)

// join starts one more server.
func (c *cluster) join(id structs.NodeID, dir string, expect int) *node {
	c.t.Helper()
	n := c.start(id, dir, expect)
	c.nodes = append(c.nodes, n)
	c.changed()
	return n
}

// see shows the members of other to c, as one gossip pool would.
func (c *cluster) see(other *cluster) {
	for _, m := range other.roster.Members() {
		c.roster.set(m)
	}
	c.changed()
}

// clusterOf starts servers with names of their own.
func clusterOf(t *testing.T, ids ...structs.NodeID) *cluster {
	t.Helper()
	c := newCluster(t, 0, nil)
	for _, id := range ids {
		c.nodes = append(c.nodes, c.start(id, "", len(ids)))
	}
	c.changed()
	c.id()
	return c
}

// id waits until the leader's cluster has one.
func (c *cluster) id() structs.ClusterID {
	c.t.Helper()
	leader := c.leader()
	eventually(c.t, "a cluster id", func() bool { _, row := leader.store.Cluster(nil); return row != nil })
	return leader.ClusterID()
}

func (n *node) row(name string) *structs.Node {
	_, row := n.store.NodeGet(nil, name)
	return row
}

func TestEveryServerKnowsItsClusterAndRemembersIt(t *testing.T) {
	dirs := []string{t.TempDir(), t.TempDir()}
	c := newCluster(t, 0, nil)
	for i, dir := range dirs {
		c.nodes = append(c.nodes, c.start(structs.NodeID("id"+num(i)), dir, 2))
	}
	c.changed()
	id := c.id()
	if !id.Valid() {
		t.Fatalf("the cluster's id is %q", id)
	}
	for i, dir := range dirs {
		path := filepath.Join(dir, clusterFile)
		eventually(t, path, func() bool { data, _ := os.ReadFile(path); return string(data) == string(id)+"\n" })
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("%v, %v", info.Mode(), err)
		}
		if got := c.nodes[i].Stats()["cluster_id"]; got != string(id) {
			t.Errorf("it shows %q, want %q", got, id)
		}
	}
	for _, n := range c.nodes {
		n.stop()
	}
	c.nodes = nil
	alone := c.join("id0", dirs[0], 2) // without a quorum nothing of the log is applied
	if _, row := alone.store.Cluster(nil); row != nil || alone.ClusterID() != id {
		t.Fatalf("state %v, it says %q; want %q", row, alone.ClusterID(), id)
	}
	answer, err := alone.answerClaim(&clusterClaim{Cluster: structs.ClusterID(rpc.NewUUID()), By: "x"})
	if err != nil || answer.Cluster != id {
		t.Fatalf("another cluster's claim: %+v, %v", answer, err)
	}
}

func TestTwoClustersInOnePoolStayTwo(t *testing.T) {
	a, b := clusterOf(t, "a1"), clusterOf(t, "b1", "b2", "b3")
	for _, side := range [][2]*cluster{{a, b}, {b, a}} {
		side[0].see(side[1])
	}
	for _, side := range [][2]*cluster{{a, b}, {b, a}} {
		own, other := side[0], side[1]
		leader := own.leader()
		for _, n := range other.nodes {
			eventually(t, "the refusal of "+string(n.id), func() bool { return leader.strangers.has(n.id) })
			if leader.configured(n.id) || leader.row("n-"+string(n.id)) != nil {
				t.Errorf("%s is a server of the other cluster, in its raft configuration or nodes table", n.id)
			}
		}
		mustPut(t, leader, "k", string(leader.id))
		wantGet(t, leader, "k", string(leader.id))
		conf, err := leader.Raft().Configuration(t.Context())
		if err != nil || len(conf.Servers) != len(own.nodes) || len(conf.Refused) != len(other.nodes) ||
			conf.ClusterID != own.id() || conf.Refused[0].ClusterID != other.id() {
			t.Errorf("%+v, %v", conf, err)
		}
	}
	if a.id() == b.id() {
		t.Fatal("both clusters have one id")
	}
	mine := a.leader()
	for _, m := range b.roster.Members() { // they are separated again
		if strings.HasPrefix(string(m.ID), "b") {
			_ = a.roster.RemoveFailed(t.Context(), m.Name, true)
		}
	}
	a.changed()
	eventually(t, "the refusals to go", func() bool { return len(mine.strangers.list()) == 0 })
}

// The row was written when nobody could tell clusters apart.
func TestARefusedServerHasNoRow(t *testing.T) {
	a, b := clusterOf(t, "a1"), clusterOf(t, "b1")
	m, _ := b.leader().member("b1")
	leader := a.leader()
	if _, _, err := leader.apply(t.Context(), structs.CommandNode, &structs.NodeRequest{Op: structs.NodeUpsert, Node: nodeOf(m)}); err != nil {
		t.Fatal(err)
	}
	a.see(b)
	eventually(t, "the row to go", func() bool { return leader.row(m.Name) == nil })
	a.roster.status("b1", structs.MemberFailed)
	m, _ = leader.member("b1")
	if err := leader.reconcileMember(t.Context(), m); err != nil || leader.row(m.Name) != nil {
		t.Fatalf("a stranger that failed has a row; %v", err)
	}
}

func TestAFreshServerJoinsTheClusterThatAsksFirst(t *testing.T) {
	a, b := clusterOf(t, "a1"), clusterOf(t, "b1")
	dir := t.TempDir()
	fresh := a.join("f", dir, 0)
	b.see(a)
	eventually(t, "one cluster to take it", func() bool { return a.leader().voters() == 2 || b.leader().voters() == 2 })
	owner, other := a, b
	if b.leader().voters() == 2 {
		owner, other = b, a
	}
	other.changed()
	eventually(t, "the other to refuse it", func() bool { return other.leader().strangers.has("f") })
	if other.leader().voters() != 1 || fresh.ClusterID() != owner.id() {
		t.Fatalf("voters of the other cluster: %d; it belongs to %q, want %q", other.leader().voters(), fresh.ClusterID(), owner.id())
	}
}

func TestAServerGivesItselfOnce(t *testing.T) {
	var book claimBook
	dir := t.TempDir()
	if err := book.openCluster(dir); err != nil {
		t.Fatal(err)
	}
	one, two, now := structs.ClusterID(rpc.NewUUID()), structs.ClusterID(rpc.NewUUID()), time.Now()
	if ok, _, err := book.grant("x", now); !ok {
		t.Fatal(err)
	}
	if a, err := book.adopt(one, false, now.Add(claimLease-1)); err != nil || a.Cluster != "" || !a.NotYet {
		t.Fatalf("while it is promised to who bootstraps: %+v, %v", a, err)
	}
	for _, id := range []structs.ClusterID{one, two} {
		if a, err := book.adopt(id, false, now.Add(claimLease)); err != nil || a.Cluster != one {
			t.Fatalf("claimed for %s: %+v, %v", id, a, err)
		}
	}
	book = claimBook{} // the server restarts
	if err := book.openCluster(dir); err != nil || book.belongsTo() != one {
		t.Fatalf("it remembers %q, %v", book.belongsTo(), err)
	}
	if ok, _, err := book.grant("x", now.Add(2*claimLease)); ok || err == nil {
		t.Fatal("it promised itself to who bootstraps, though it belongs to a cluster")
	}
}

func TestADamagedClusterFileStopsTheStart(t *testing.T) {
	for _, content := range []string{"", "x", strings.Repeat("a", 1000)} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, clusterFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		var book claimBook
		if err := book.openCluster(dir); err == nil || !strings.Contains(err.Error(), clusterFile) {
			t.Errorf("%.10q: %v", content, err)
		}
	}
}

// Its log is gone, perhaps by an operator's hand; its cluster may well live.
func TestAServerThatRemembersAClusterIsNotBootstrapped(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, clusterFile), []byte(rpc.NewUUID()), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, 0, nil)
	one, two := c.join("id0", dir, 2), c.join("id1", "", 2)
	for _, n := range []*node{one, two} {
		eventually(t, string(n.id)+" to see both", func() bool { s, why := n.candidates(); return why == "" && len(s) == 2 })
	}
	for _, n := range []*node{one, two} {
		if why := n.tryBootstrap(t.Context()); why == "" || n.hasConfiguration() {
			t.Fatalf("%s bootstrapped with a server of another cluster", n.id)
		}
	}
	if why := one.tryBootstrap(t.Context()); !strings.Contains(why, "remove "+clusterFile) {
		t.Errorf("it says %q", why)
	}
	two.claims.mu.Lock()
	defer two.claims.mu.Unlock()
	if two.claims.by != "" {
		t.Error("a server was promised in vain, which keeps it from joining")
	}
}

// idless are servers of builds before clusters had ids, in their leader's eyes.
func idless(t *testing.T, ids ...structs.NodeID) *cluster {
	t.Helper()
	c := newCluster(t, 0, nil)
	c.fsm = structs.FSMVersionCluster - 1
	for _, id := range ids {
		c.nodes = append(c.nodes, c.start(id, "", len(ids)))
	}
	c.changed()
	leader := c.leader()
	eventually(t, "the first round", func() bool { return leader.row("n-"+string(ids[len(ids)-1])) != nil })
	return c
}

// upgrade makes membership say that a node knows a version.
func (c *cluster) upgrade(n *node, fsm int) {
	m, _ := n.member(n.id)
	m.FSM = fsm
	c.roster.set(m)
}

func TestTheIDWaitsForServersThatDoNotKnowIt(t *testing.T) {
	c := idless(t, "id0", "id1")
	leader := c.leader()
	for range 3 {
		if err := leader.ensureCluster(t.Context()); err != nil || leader.ClusterID() != "" {
			t.Fatal(err, "the command was proposed to servers that would stop at it")
		}
	}
	late := c.join("id2", "", 0) // joins as in the old days
	eventually(t, "the third server to vote", func() bool { return leader.voters() == 3 })
	for _, n := range c.nodes {
		c.upgrade(n, structs.FSMVersion)
	}
	c.changed()
	id := c.id()
	eventually(t, "the id on the late server", func() bool { return late.ClusterID() == id })
}

func TestAServerWithALogAndNoIDBelongsToWhomItsConfigurationNames(t *testing.T) {
	a, b := clusterOf(t, "a1"), idless(t, "b1", "b2")
	a.see(b)
	leader := a.leader()
	for _, n := range b.nodes {
		a.upgrade(n, structs.FSMVersion) // so that they are asked
		leader.MembershipChanged()
		eventually(t, "the refusal", func() bool {
			for _, r := range leader.strangers.list() {
				if r.ID == n.id && strings.Contains(r.Reason, "without an id") {
					return true
				}
			}
			return false
		})
	}
	if leader.voters() != 1 {
		t.Fatal("a server of a cluster without an id was taken")
	}
	id := structs.ClusterID(rpc.NewUUID())
	answer, err := b.follower().answerClaim(&clusterClaim{Cluster: id, By: b.leader().id})
	if err != nil || answer.Cluster != id {
		t.Fatalf("its own leader's claim: %+v, %v", answer, err)
	}
}

func TestAServerOlderThanTheStateIsRefused(t *testing.T) {
	c := clusterOf(t, "a1")
	leader := c.leader()
	c.fsm = structs.FSMVersionCluster - 1
	old := c.start("old", "", 0)
	c.nodes = append(c.nodes, old)
	leader.MembershipChanged()
	eventually(t, "the refusal", func() bool { return leader.strangers.has("old") })
	c.upgrade(old, structs.FSMVersion)
	leader.MembershipChanged()
	eventually(t, "it to join", func() bool { return leader.voters() == 2 })
	if leader.strangers.has("old") {
		t.Error("it is shown as refused still")
	}
}

func TestRestoringAnotherClustersSnapshotKeepsTheID(t *testing.T) {
	a, b := clusterOf(t, "a1", "a2"), clusterOf(t, "b1")
	mustPut(t, b.leader(), "from", "b")
	var archive, none bytes.Buffer
	if err := b.leader().Stream(t.Context(), "Snapshot.Save", &structs.SnapshotRequest{}, nil, &archive); err != nil {
		t.Fatal(err)
	}
	id := a.id()
	if err := a.leader().Stream(t.Context(), "Snapshot.Restore", &structs.SnapshotRequest{}, &archive, &none); err != nil {
		t.Fatal(err)
	}
	for _, n := range a.nodes {
		wantGet(t, n, "from", "b")
		if _, row := n.store.Cluster(nil); row == nil || row.ID != id || id == b.id() {
			t.Errorf("%s belongs to %+v, want %s", n.id, row, id)
		}
	}
}

func TestRecoverKeepsTheClusterID(t *testing.T) {
	dir := t.TempDir()
	c := newCluster(t, 0, nil)
	n := c.join("id0", dir, 1)
	id := c.id()
	cfg := n.cfg
	n.stop()
	c.drop(n)
	if err := os.Remove(filepath.Join(dir, clusterFile)); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := Recover(Config{NodeID: cfg.NodeID, Address: cfg.Address, DataDir: dir, SegmentSizeBytes: cfg.SegmentSizeBytes},
		[]RecoverPeer{{ID: cfg.NodeID, Address: cfg.Address, Voter: true}}); err != nil {
		t.Fatal(err)
	}
	c.join("id0", dir, 1)
	if got := c.id(); got != id {
		t.Fatalf("the cluster is now %s, it was %s", got, id)
	}
}
