package server

import (
	"errors"
	"testing"

	"github.com/debros/debros/structs"
)

// TestNoServerIsTakenOutThatQuorumNeeds: membership does not know of the death yet.
func TestNoServerIsTakenOutThatQuorumNeeds(t *testing.T) {
	c := newCluster(t, 3, nil)
	leader, leaver := c.leader(), c.follower()
	mustPut(t, leader, "a", "1")
	for _, n := range append([]*node{}, c.nodes...) {
		if n != leader && n != leaver {
			n.stop()
			c.drop(n)
		}
	}
	for name, leave := range map[string]func() error{
		"leave of a follower":   func() error { return leaver.Leave(t.Context(), false) },
		"leave of the leader":   func() error { return leader.Leave(t.Context(), false) },
		"removal of a follower": func() error { return removePeer(t, leader, leaver.id) },
		"removal of the leader": func() error { return removePeer(t, leaver, leader.id) },
	} {
		if err := settled(leave); !errors.Is(err, structs.ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	mustPut(t, leader, "a", "2")
	if n := leader.voters(); n != 3 {
		t.Errorf("%d voters are left", n)
	}
}

func TestADeadServerIsTakenOutByAnOperator(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) { cfg.Autopilot.CleanupDeadServers = false })
	leader, dead := c.leader(), c.follower()
	dead.stop()
	c.drop(dead)
	if err := settled(func() error { return removePeer(t, leader, dead.id) }); err != nil && !errors.Is(err, structs.ErrNotFound) {
		t.Fatal(err)
	}
	eventually(t, "two voters", func() bool { return leader.voters() == 2 })
	mustPut(t, leader, "a", "1")
}

func TestTheLastServerIsNotTakenOut(t *testing.T) {
	c := newCluster(t, 1, nil)
	leader := c.leader()
	err := settled(func() error { return removePeer(t, leader, leader.id) })
	var e *structs.Error
	if !errors.As(err, &e) || e.Kind != structs.KindConflict || e.Hint == "" {
		t.Fatalf("removal of the last server: %v", err)
	}
	if err := leader.Leave(t.Context(), false); !errors.Is(err, structs.ErrConflict) {
		t.Fatalf("leave of the last server: %v", err)
	}
	mustPut(t, leader, "a", "1")
}

func removePeer(t *testing.T, on *node, id structs.NodeID) error {
	return on.RPC(t.Context(), "Operator.RaftRemovePeer", &structs.RaftPeerRequest{ID: id}, new(structs.WriteReply))
}

func TestLeaderLeavesAndTheOthersGoOn(t *testing.T) {
	c := newCluster(t, 3, nil)
	leader := c.leader()
	mustPut(t, leader, "a", "1")
	for range 2 { // the second time as after a leave that failed later on
		if err := settled(func() error { return leader.Leave(t.Context(), false) }); err != nil {
			t.Fatal(err)
		}
	}
	c.roster.status(leader.id, structs.MemberLeft)
	leader.stop()
	c.drop(leader)
	next := c.leader()
	eventually(t, "two voters", func() bool { return next.voters() == 2 })
	mustPut(t, next, "b", "2")
	wantGet(t, next, "a", "1")
}
