package agent_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/agent/server"
	"github.com/debros/debros/api"
	"github.com/debros/debros/structs"
)

// edgeCluster is three servers that hold a silent edge agent for failed soon, though not as soon as it says again that it lives,
// on a busy machine neither.
func edgeCluster(t *testing.T) *agenttest.C {
	t.Helper()
	return agenttest.Cluster(t, 3, 0, overlayOn, func(s *agenttest.Spec) {
		s.Adjust = func(c *server.Config) { c.EdgeFailAfter = 12 * time.Second }
	})
}

// nodeOf is a node's row as the leader has it, nil for none.
func nodeOf(t *testing.T, c *agenttest.C, name string) *api.Node {
	t.Helper()
	nodes, _, err := c.Leader().API.Catalog().Nodes(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if n.Node == name {
			return n
		}
	}
	return nil
}

// An edge agent is a node like others: its sessions live while it does, over a change of leader, and end with it.
func TestSessionsOfAnEdgeAgentLiveAsLongAsIt(t *testing.T) {
	c := edgeCluster(t)
	edge := agenttest.Start(t, edgeSpec(c.Key, c.Leader()))
	if err := edge.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	id, _, err := edge.API.Session().Create(t.Context(), &api.SessionEntry{LockDelay: api.NoLockDelay}, nil)
	if err != nil {
		t.Fatal(err)
	}
	kv := edge.API.KV()
	if ok, _, err := kv.Acquire(t.Context(), &api.KVPair{Key: "lock", Session: id}, nil); err != nil || !ok {
		t.Fatalf("acquire: %v, %v", ok, err)
	}
	agenttest.Eventually(t, "its row to say how it is reached", func() bool { // it says it again every 5 s
		n := nodeOf(t, c, "edge")
		return n != nil && n.Role == "edge" && n.Status == "alive" && n.Meta["debros-via"] != ""
	})
	holds := func() bool {
		p, _, err := c.Leader().API.KV().Get(t.Context(), "lock", nil)
		return err == nil && p != nil && p.Session == id
	}
	// A second one dies with the leader. When the next leader finds it silent, it has looked at the first one as well.
	other := edgeSpec(c.Key, c.Follower())
	other.Name = "witness"
	witness := agenttest.Start(t, other)
	agenttest.Eventually(t, "the witness's row", func() bool { return nodeOf(t, c, "witness") != nil })
	witness.Kill()
	old := c.Leader()
	old.Kill()
	c.Drop(old)
	agenttest.Eventually(t, "the witness to count as failed", func() bool {
		if nodeOf(t, c, "edge").Status != "alive" {
			t.Fatal("an edge agent that lives counts as failed")
		}
		return nodeOf(t, c, "witness").Status == "failed"
	})
	if !holds() {
		t.Fatal("its session ended while it lived")
	}
	edge.Kill()
	agenttest.Eventually(t, "a dead edge agent to count as failed", func() bool { return nodeOf(t, c, "edge").Status == "failed" })
	if holds() {
		t.Error("a dead edge agent holds its lock")
	}
}

func TestADeadEdgeAgentIsForceLeft(t *testing.T) {
	c := edgeCluster(t)
	edge, other := agenttest.Start(t, edgeSpec(c.Key, c.Leader())), edgeSpec(c.Key, c.Leader())
	other.Name = "edge2"
	second := agenttest.Start(t, other)
	for _, n := range []*agenttest.Node{edge, second} {
		if err := n.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		agenttest.Eventually(t, "its row", func() bool { return nodeOf(t, c, n.Spec.Name) != nil })
	}
	server := c.Follower().API.Agent()
	if err := server.ForceLeave(t.Context(), "edge", false); !errors.Is(err, api.ErrConflict) {
		t.Errorf("an edge agent that lives was forced out: %v", err)
	}
	if err := server.ForceLeave(t.Context(), "nobody", false); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("a node that is not: %v", err)
	}
	if err := second.API.Agent().ForceLeave(t.Context(), c.Leader().Spec.Name, false); !errors.Is(err, api.ErrUnsupported) {
		t.Errorf("a server, by an edge agent: %v", err)
	}
	edge.Kill()
	agenttest.Eventually(t, "a dead edge agent to count as failed", func() bool { return nodeOf(t, c, "edge").Status == "failed" })
	if err := second.API.Agent().ForceLeave(t.Context(), "edge", false); err != nil { // by another edge agent
		t.Fatal(err)
	}
	if n := nodeOf(t, c, "edge"); n != nil {
		t.Errorf("it was forced out, and has the row %+v", n)
	}
}

func TestAnEdgeAgentThatLeavesIsForgottenAndNamesAreNotTakenOver(t *testing.T) {
	c := edgeCluster(t)
	edge := agenttest.Start(t, edgeSpec(c.Key, c.Leader()))
	if err := edge.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	agenttest.Eventually(t, "its row", func() bool { return nodeOf(t, c, "edge") != nil })
	for _, name := range []string{"edge", c.Leader().Spec.Name} { // of another edge agent, and of a node of the LAN
		spec := edgeSpec(c.Key, c.Leader())
		spec.Name = name
		second := agenttest.Start(t, spec)
		select {
		case <-second.Done():
			if err := second.Err(); !errors.Is(err, structs.ErrConflict) {
				t.Errorf("an agent with the name of %s stopped with %v", name, err)
			}
		case <-time.After(agenttest.Patience):
			t.Errorf("a second agent of the name %s goes on", name)
		}
	}
	agenttest.Eventually(t, "three servers, and the edge agent with its way", func() bool {
		wan, err := c.Follower().API.Agent().MembersWAN(t.Context(), nil)
		if err != nil || len(wan) != 4 {
			return false
		}
		for _, m := range wan {
			if m.Name == "edge.dc1" {
				return m.Role == "edge" && m.Tags["via"] == "direct" && m.Tags["transport"] != ""
			}
		}
		return false
	})
	if err := edge.Leave(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if n := nodeOf(t, c, "edge"); n != nil {
		t.Errorf("it left, and has the row %+v", n)
	}
}

// An edge agent may be told any member: it finds the servers of its datacenter by itself.
func TestAnEdgeAgentFindsItsServersByAMemberThatIsNone(t *testing.T) {
	c := agenttest.Cluster(t, 1, 0, overlayOn)
	first := agenttest.Start(t, edgeSpec(c.Key, c.Leader()))
	if err := first.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	spec := edgeSpec(c.Key, first)
	spec.Name = "edge2"
	second := agenttest.Start(t, spec)
	if err := second.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, second, "k", "by way of another edge agent")

	// Neither has gossip, and both know the nodes by their names.
	agenttest.Eventually(t, "the edge agents to list each other and the server", func() bool {
		members, err := first.API.Agent().Members(t.Context(), nil)
		roles := map[string]string{}
		for _, m := range members {
			roles[m.Name] = m.Role
		}
		return err == nil && maps.Equal(roles, map[string]string{"edge": "edge", "edge2": "edge", c.Leader().Spec.Name: "server"})
	})
	for _, n := range []*agenttest.Node{first, c.Leader()} {
		agenttest.Eventually(t, n.Spec.Name+" to know the names of its peers", func() bool {
			peers, err := n.API.Network().Peers(t.Context())
			for _, p := range peers {
				if p.Node == "" {
					return false
				}
			}
			return err == nil && len(peers) == 2
		})
	}
	members, err := c.Leader().API.Agent().MembersWAN(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		if m.Addr != "127.0.0.1" {
			t.Errorf("%s has the address %q", m.Name, m.Addr)
		}
	}
}

// An edge agent that lives keeps its name when a node comes to the LAN with it, and gives it up when it is gone.
func TestANodeOfTheLANWithTheNameOfAnEdgeAgentWaitsForIt(t *testing.T) {
	c := edgeCluster(t)
	edge := agenttest.Start(t, edgeSpec(c.Key, c.Leader()))
	if err := edge.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	agenttest.Eventually(t, "its row", func() bool { return nodeOf(t, c, "edge") != nil })
	own := nodeOf(t, c, "edge").ID
	lan := agenttest.Start(t, agenttest.Spec{Name: "edge", Key: c.Key, Join: []string{c.Leader().GossipAddr()}})
	agenttest.Eventually(t, "the leader to see the newcomer", func() bool {
		members, err := c.Leader().API.Agent().Members(t.Context(), nil)
		return err == nil && slices.ContainsFunc(members, func(m *api.Member) bool { return m.Name == "edge" })
	})
	for end := time.Now().Add(7 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) { // it registers every 5 s
		if n := nodeOf(t, c, "edge"); n == nil || n.ID != own {
			t.Fatalf("the row of a living edge agent is now %+v", n)
		}
		select {
		case <-edge.Done():
			t.Fatalf("the edge agent stopped for a node that came later: %v", edge.Err())
		default:
		}
	}
	// A session of the newcomer would end with the edge agent, and outlive its own end.
	session := func(n *agenttest.Node) error {
		_, _, err := n.API.Session().Create(t.Context(), &api.SessionEntry{LockDelay: api.NoLockDelay}, nil)
		return err
	}
	if err := session(lan); !errors.Is(err, api.ErrConflict) {
		t.Errorf("a session of a node that is kept out: %v", err)
	}
	if err := session(edge); err != nil {
		t.Errorf("a session of who has the name: %v", err)
	}
	if err := edge.Leave(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	agenttest.Eventually(t, "the newcomer to have the name", func() bool {
		n := nodeOf(t, c, "edge")
		return n != nil && n.ID != own && n.Role == "client"
	})
	if err := session(lan); err != nil {
		t.Errorf("a session of the newcomer: %v", err)
	}
	if log := lan.Log(t); !strings.Contains(log, "this node's name is taken") {
		t.Errorf("the newcomer does not say why it was kept out:\n%s", log)
	}
}
