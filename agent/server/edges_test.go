package server

import (
	"errors"
	"testing"

	"github.com/debros/debros/structs"
)

// settledLeader is a cluster of one, and its only server.
func settledLeader(t *testing.T) (*cluster, *node) {
	t.Helper()
	c := newCluster(t, 1, nil)
	return c, c.leader()
}

func registerEdge(t *testing.T, n *node, row structs.Node, leaves bool) error {
	t.Helper()
	return settled(func() error {
		_, err := n.RegisterEdge(t.Context(), row, leaves)
		return err
	})
}

func TestAnAgentThatMovedFromTheLANKeepsItsRowAlive(t *testing.T) {
	for _, status := range []structs.MemberStatus{structs.MemberFailed, structs.MemberLeft} {
		c, leader := settledLeader(t)
		was := structs.Member{ID: "m", Name: "m", Addr: "127.0.0.1", Role: structs.RoleClient, Status: status, Datacenter: "dc1"}
		c.roster.set(was) // gossip remembers it for days
		if err := registerEdge(t, leader, structs.Node{ID: "m", Name: "m"}, false); err != nil {
			t.Fatal(err)
		}
		if err := leader.reconcileMember(t.Context(), was); err != nil {
			t.Fatal(err)
		}
		_, n := leader.store.NodeGet(nil, "m")
		if n == nil || n.Role != structs.RoleEdge || n.Status != structs.NodeAlive {
			t.Errorf("gossip, to which it has %s, made the row of an edge agent that lives %+v", status, n)
		}
	}
}

func TestEdgeAgentsThatAreGoneAreNotRemembered(t *testing.T) {
	_, leader := settledLeader(t)
	e := structs.Node{ID: "e", Name: "e"}
	if err := registerEdge(t, leader, e, false); err != nil {
		t.Fatal(err)
	}
	if err := registerEdge(t, leader, e, true); err != nil {
		t.Fatal(err)
	}
	leader.edges.mu.Lock()
	left := len(leader.edges.heard)
	leader.edges.mu.Unlock()
	if left != 0 {
		t.Errorf("%d edge agents are remembered after the only one left", left)
	}
}

func TestAnEdgeAgentTakesNeitherTheNameNorTheIDOfAnother(t *testing.T) {
	c, leader := settledLeader(t)
	c.roster.set(structs.Member{ID: "dead", Name: "dead", Addr: "127.0.0.1", Role: structs.RoleClient, Status: structs.MemberFailed, Datacenter: "dc1"})
	c.roster.set(structs.Member{ID: "new", Name: "new", Addr: "127.0.0.1", Role: structs.RoleClient, Status: structs.MemberAlive, Datacenter: "dc1"})
	for _, name := range []string{"dead", "new", "NEW", leader.cfg.NodeName} { // with a row or not yet
		if err := registerEdge(t, leader, structs.Node{ID: "thief", Name: name}, false); !errors.Is(err, structs.ErrConflict) {
			t.Errorf("the name %s was given to an edge agent: %v", name, err)
		}
	}
	if err := registerEdge(t, leader, structs.Node{ID: "e1", Name: "e1"}, false); err != nil {
		t.Fatal(err)
	}
	if err := registerEdge(t, leader, structs.Node{ID: "e1", Name: "e2"}, false); err != nil { // it was renamed
		t.Fatal(err)
	}
	if _, n := leader.store.NodeGet(nil, "e1"); n != nil {
		t.Errorf("an edge agent that was renamed keeps the row %+v", n)
	}
}
