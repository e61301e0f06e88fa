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

// Who was there first keeps the name, as between two nodes of the LAN; it is free when the edge agent has failed or left.
func TestANodeOfTheLANDoesNotTakeTheNameOfALivingEdgeAgent(t *testing.T) {
	for _, role := range []structs.Role{structs.RoleClient, structs.RoleServer} {
		c, leader := settledLeader(t)
		e := structs.Node{ID: "e", Name: "same"}
		if err := registerEdge(t, leader, e, false); err != nil {
			t.Fatal(err)
		}
		newcomer := structs.Member{ID: "lan", Name: "SAME", Addr: "127.0.0.1", Role: role, Status: structs.MemberAlive, Datacenter: "dc1"}
		c.roster.set(newcomer) // from here on the leader looks at it too
		for _, status := range []structs.MemberStatus{structs.MemberAlive, structs.MemberFailed, structs.MemberLeft} {
			newcomer.Status = status
			err := leader.reconcileMember(t.Context(), newcomer)
			if alive := status == structs.MemberAlive; alive != errors.Is(err, structs.ErrConflict) {
				t.Errorf("a %s %s that has the name of a living edge agent: %v", status, role, err)
			}
			if _, n := leader.store.NodeGet(nil, "same"); n == nil || n.ID != e.ID {
				t.Fatalf("a %s %s of the LAN took the row of a living edge agent: %+v", status, role, n)
			}
		}
		if leader.configured(newcomer.ID) {
			t.Errorf("a %s with another's name is in the Raft configuration", role)
		}
		if err := registerEdge(t, leader, e, false); err != nil {
			t.Errorf("an edge agent is refused under the name that it has, because of a %s that came later: %v", role, err)
		}
	}
}

func TestTheNameOfAnEdgeAgentThatFailedIsFree(t *testing.T) {
	c, leader := settledLeader(t)
	e := structs.Node{ID: "e", Name: "same"}
	if err := registerEdge(t, leader, e, false); err != nil {
		t.Fatal(err)
	}
	_, row := leader.store.NodeGet(nil, "same")
	failed := *row
	failed.Status = structs.NodeFailed
	if err := settled(func() error {
		_, _, err := leader.apply(t.Context(), structs.CommandNode, &structs.NodeRequest{Op: structs.NodeUpsert, Node: failed})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	newcomer := structs.Member{ID: "lan", Name: "same", Addr: "127.0.0.1", Role: structs.RoleClient, Status: structs.MemberAlive, Datacenter: "dc1"}
	c.roster.set(newcomer)
	if err := settled(func() error { return leader.reconcileMember(t.Context(), newcomer) }); err != nil {
		t.Fatal(err)
	}
	if _, n := leader.store.NodeGet(nil, "same"); n == nil || n.ID != newcomer.ID {
		t.Errorf("the name of an edge agent that failed belongs to %+v", n)
	}
	if err := registerEdge(t, leader, e, false); !errors.Is(err, structs.ErrConflict) {
		t.Errorf("it came back and was given the name of another: %v", err)
	}
}
