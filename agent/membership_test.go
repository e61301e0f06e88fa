package agent_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
	"github.com/debros/debros/structs"
)

// status is what n's gossip says of a node; "" = it is not listed.
func status(t *testing.T, n *agenttest.Node, name string) api.MemberStatus {
	t.Helper()
	members, err := n.API.Agent().Members(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		if m.Name == name {
			return m.Status
		}
	}
	return ""
}

// row is a node of the catalog; nil = it is not there.
func row(t *testing.T, n *agenttest.Node, name string) *api.Node {
	t.Helper()
	var node *api.Node
	err := settled(t, func() (err error) {
		node, _, err = n.API.Catalog().Node(t.Context(), name, nil)
		return err
	})
	if err != nil && !errors.Is(err, api.ErrNotFound) {
		t.Fatal(err)
	}
	return node
}

// voters are the names of the servers with a vote.
func voters(t *testing.T, n *agenttest.Node) (names []string) {
	t.Helper()
	conf, err := n.API.Operator().RaftConfiguration(t.Context(), &api.QueryOptions{Consistency: api.Stale})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range conf.Servers {
		if s.Voter {
			names = append(names, s.Node)
		}
	}
	slices.Sort(names)
	return names
}

func TestAStrangerIsIgnoredCountedAndNotListed(t *testing.T) {
	c := agenttest.Cluster(t, 1, 0)
	s1 := c.Servers[0]
	for name, key := range map[string]string{"wrongkey": agenttest.Key(), "nokey": ""} {
		before := metric(t, s1, "debros_gossip_rejected")
		stranger := agenttest.Start(t, agenttest.Spec{Name: name, Key: key, Join: []string{s1.GossipAddr()}})
		eventually(t, name+" to be counted", func() bool { return metric(t, s1, "debros_gossip_rejected") > before })
		if st := status(t, s1, name); st != "" {
			t.Errorf("%s is listed as %s", name, st)
		}
		if st := status(t, stranger, "s1"); st != "" {
			t.Errorf("%s sees the server as %s", name, st)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if err := stranger.Ready(ctx); err == nil {
			t.Errorf("%s says that it is ready", name)
		}
		cancel()
		stranger.Shutdown()
	}
}

func TestARestartedAgentRejoinsWithoutRetryJoin(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 1, 1, func(s *agenttest.Spec) {
		if !s.Server {
			s.Dir = t.TempDir()
		}
	})
	put(t, c.Servers[0], "k", "before")
	id := c.Clients[0].Member.ID
	again := c.Clients[0].Restart(t, func(s *agenttest.Spec) { s.Join = nil })
	if again.Member.ID != id {
		t.Fatalf("the id changed from %s to %s", id, again.Member.ID)
	}
	eventually(t, "the restarted client to read", func() bool {
		p, _, err := again.API.KV().Get(t.Context(), "k", nil)
		return err == nil && p != nil && string(p.Value) == "before"
	})
}

func TestAServerThatComesBackAtAnotherPortIsHealthy(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 3, 0)
	f := c.Follower()
	old := f.Member.Ports[structs.PortServer]
	again := f.Restart(t, func(s *agenttest.Spec) { s.Join = nil })
	c.Servers[slices.Index(c.Servers, f)] = again
	if now := again.Member.Ports[structs.PortServer]; now == old {
		t.Skip("SKIPPED: the kernel gave the same port again")
	}
	put(t, c.Leader(), "k", "v")
	want(t, again, "k", "v")
	eventually(t, "all servers to be healthy", func() bool {
		h, err := c.Leader().API.Operator().AutopilotHealth(t.Context(), nil)
		return err == nil && h.Healthy && len(h.Servers) == 3
	})
	eventually(t, "three voters", func() bool { return len(voters(t, again)) == 3 })
}

func TestACopyOfADataDirectoryStops(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 1, 1, func(s *agenttest.Spec) {
		if !s.Server {
			s.Dir = t.TempDir()
		}
	})
	dir := t.TempDir()
	key, err := os.ReadFile(filepath.Join(c.Clients[0].Spec.Dir, "node.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "node.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	s := c.Join("copy")
	s.Dir = dir
	clone := agenttest.Start(t, s)
	select {
	case <-clone.Done():
	case <-time.After(agenttest.Patience):
		t.Fatal("the copy runs beside the original")
	}
	if err := clone.Err(); !errors.Is(err, structs.ErrConflict) {
		t.Fatalf("the copy stopped with %v", err)
	}
	want := c.Clients[0]
	if _, _, err := want.API.KV().Get(t.Context(), "k", nil); err != nil || status(t, c.Servers[0], "c1") != api.MemberAlive {
		t.Fatalf("the original suffers: %v, %s", err, status(t, c.Servers[0], "c1"))
	}
}

func TestLeaveShrinksTheCluster(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 3, 1, quickLeave)
	leader, client := c.Leader(), c.Clients[0]
	put(t, leader, "k", "v")
	if err := settled(t, func() error { return leader.API.Agent().Leave(t.Context(), false) }); err != nil {
		t.Fatal(err)
	}
	waitStopped(t, leader)
	c.Drop(leader)
	eventually(t, "two voters", func() bool { return len(voters(t, c.Leader())) == 2 })
	if err := client.API.Agent().Leave(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	waitStopped(t, client)
	next := c.Leader()
	want(t, next, "k", "v")
	for _, gone := range []*agenttest.Node{leader, client} {
		name := gone.Spec.Name
		eventually(t, name+" to be shown as left", func() bool { return status(t, next, name) == api.MemberLeft })
		eventually(t, name+" to be gone from the catalog", func() bool { return row(t, next, name) == nil })
	}
}

// TestAServerThatLeftSaysSoAtOnceAndAnswersForAWhile: whoever asked it to leave need not wait for those
// who have not heard of it.
func TestAServerThatLeftSaysSoAtOnceAndAnswersForAWhile(t *testing.T) {
	t.Parallel()
	const drain = 6 * time.Second
	c := agenttest.Cluster(t, 3, 0, func(s *agenttest.Spec) {
		s.HCL = "performance { leave_drain_time = \"" + drain.String() + "\" }"
	})
	n := c.Follower()
	if err := settled(t, func() error { return n.API.Agent().Leave(t.Context(), false) }); err != nil {
		t.Fatal(err)
	}
	left := time.Now()
	c.Drop(n)
	waitStopped(t, n)
	if after := time.Since(left); after < drain/2 {
		t.Errorf("the server stopped %s after it had said that it left", after)
	}
}

func TestAServerThatLeftAndComesBackVotesAgain(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 3, 0, quickLeave)
	leader, f := c.Leader(), c.Follower()
	if err := settled(t, func() error { return f.API.Agent().Leave(t.Context(), false) }); err != nil {
		t.Fatal(err)
	}
	waitStopped(t, f)
	eventually(t, "two voters", func() bool { return len(voters(t, leader)) == 2 })
	put(t, leader, "k", "v")
	again := f.Restart(t, func(s *agenttest.Spec) { s.Join = []string{leader.GossipAddr()} })
	eventually(t, "three voters", func() bool { return len(voters(t, leader)) == 3 })
	want(t, again, "k", "v")
}

func TestLeaveThatLosesQuorumIsRefusedUnlessForced(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 3, 0, func(s *agenttest.Spec) {
		s.HCL = `
			autopilot { cleanup_dead_servers = false }
			performance {
				leave_drain_time = "50ms"
				rpc_hold_timeout = "1s" # the removal of the second of three can never be committed
			}`
	})
	dead := c.Follower()
	dead.Kill()
	c.Drop(dead)
	n := c.Leader() // gossip does not know of the death yet
	err := n.API.Agent().Leave(t.Context(), false)
	if !errors.Is(err, api.ErrConflict) || !strings.Contains(err.Error(), "quorum") {
		t.Fatalf("leave that loses quorum: %v", err)
	}
	put(t, n, "k", "still here")
	if err := n.API.Agent().Leave(t.Context(), true); err != nil {
		t.Fatalf("forced leave: %v", err)
	}
	waitStopped(t, n)
}

func TestTheLastServerDoesNotLeaveUnlessForced(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 1, 0, quickLeave)
	n := c.Servers[0]
	if err := n.API.Agent().Leave(t.Context(), false); !errors.Is(err, api.ErrConflict) {
		t.Fatalf("the last server left: %v", err)
	}
	if err := n.API.Agent().Leave(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	waitStopped(t, n)
}

func TestADeadNodeIsForceLeftAndPruned(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 1, 2)
	s1 := c.Servers[0]
	if err := s1.API.Agent().ForceLeave(t.Context(), "c1", true); !errors.Is(err, api.ErrConflict) {
		t.Fatalf("a living node was forced out: %v", err)
	}
	fail := func(n *agenttest.Node) {
		n.Kill()
		eventually(t, n.Spec.Name+" to be seen as failed", func() bool { return status(t, s1, n.Spec.Name) == api.MemberFailed })
	}
	fail(c.Clients[0])
	if err := s1.API.Agent().ForceLeave(t.Context(), "c1", true); err != nil {
		t.Fatal(err)
	}
	eventually(t, "c1 to be forgotten", func() bool { return status(t, s1, "c1") == "" && row(t, s1, "c1") == nil })
	fail(c.Clients[1])
	if err := s1.API.Agent().ForceLeave(t.Context(), "c2", false); err != nil {
		t.Fatal(err)
	}
	eventually(t, "c2 to have left", func() bool { return status(t, s1, "c2") == api.MemberLeft && row(t, s1, "c2") == nil })
}

func TestADeadNodeIsReaped(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 1, 1, func(s *agenttest.Spec) { s.HCL += "\nreconnect_timeout = \"3s\"" })
	s1 := c.Servers[0]
	c.Clients[0].Kill()
	eventually(t, "c1 to be reaped", func() bool { return status(t, s1, "c1") == "" && row(t, s1, "c1") == nil })
}

func TestSessionsEndWhenTheirNodeFails(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 1, 1)
	s1, client := c.Servers[0], c.Clients[0]
	id := session(t, client, &api.SessionEntry{Name: "holder"})
	if ok, _, err := client.API.KV().Acquire(t.Context(), &api.KVPair{Key: "lock", Session: id}, nil); err != nil || !ok {
		t.Fatalf("acquire: %v, %v", ok, err)
	}
	client.Kill()
	eventually(t, "the session to end", func() bool {
		e, _, err := s1.API.Session().Info(t.Context(), id, nil)
		return err == nil && e == nil
	})
	p, _, err := s1.API.KV().Get(t.Context(), "lock", nil)
	if err != nil || p == nil || p.Session != "" {
		t.Fatalf("the lock is still held: %+v, %v", p, err)
	}
	if n := row(t, s1, "c1"); n == nil || n.Status != string(structs.NodeFailed) {
		t.Fatalf("the catalog says %+v", n)
	}
}

func TestMetaAndMaintenanceAreInTheCatalog(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 1, 1, func(s *agenttest.Spec) {
		if !s.Server {
			s.HCL += "\nnode_meta = { rack = \"r7\" }"
		}
	})
	s1, client := c.Servers[0], c.Clients[0]
	meta := func(key string) string {
		if n := row(t, s1, "c1"); n != nil {
			return n.Meta[key]
		}
		return ""
	}
	eventually(t, "node meta", func() bool { return meta("rack") == "r7" })
	if err := client.API.Agent().Maintenance(t.Context(), true, "new disk"); err != nil {
		t.Fatal(err)
	}
	if got := meta(structs.MetaMaintenance); got != "new disk" {
		t.Errorf("maintenance: %q", got)
	}
	if err := client.API.Agent().Maintenance(t.Context(), false, ""); err != nil {
		t.Fatal(err)
	}
	if got := meta(structs.MetaMaintenance); got != "" || meta("rack") != "r7" {
		t.Errorf("after maintenance: %q, rack %q", got, meta("rack"))
	}
}

// quickLeave spares tests the time that a leaving server goes on answering.
func quickLeave(s *agenttest.Spec) { s.HCL += "\nperformance { leave_drain_time = \"50ms\" }" }

func waitStopped(t *testing.T, n *agenttest.Node) {
	t.Helper()
	select {
	case <-n.Done():
		if n.Err() != nil {
			t.Fatalf("%s stopped with %v", n.Spec.Name, n.Err())
		}
	case <-time.After(agenttest.Patience):
		t.Fatalf("%s does not stop", n.Spec.Name)
	}
}
