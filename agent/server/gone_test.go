package server

import (
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

func TestAnUnseenNodeKeepsItsRowUntilGossipSaysItIsGone(t *testing.T) {
	s := &Server{}
	now := time.Now()
	if s.gone.mayDrop("a", now) || s.gone.mayDrop("a", now.Add(unseenGrace-1)) {
		t.Fatal("a node that was merely not seen lost its row")
	}
	if !s.gone.mayDrop("a", now.Add(unseenGrace)) {
		t.Fatal("the grace never ends")
	}
	s.gone.seen("a")
	if s.gone.mayDrop("a", now.Add(2*unseenGrace)) {
		t.Fatal("the grace did not begin anew after the node was seen")
	}
	s.MemberGone("b")
	if !s.gone.mayDrop("b", now) {
		t.Fatal("a node that gossip saw leave kept its row")
	}
}

func TestANewLeaderDoesNotDropNodesThatGossipHasNotFoundYet(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) { cfg.ReconcileInterval = 50 * time.Millisecond })
	leader := c.leader()
	client := structs.Member{ID: "cl", Name: "cl", Addr: "127.0.0.1", Role: structs.RoleClient, Status: structs.MemberAlive, Datacenter: "dc1"}
	c.roster.set(client)
	c.changed()
	eventually(t, "the client's row", func() bool {
		_, n := leader.store.NodeGet(nil, "cl")
		return n != nil
	})
	if err := c.roster.RemoveFailed(t.Context(), "cl", true); err != nil { // it is only out of sight
		t.Fatal(err)
	}
	rounds := time.Now().Add(300 * time.Millisecond)
	for time.Now().Before(rounds) {
		c.changed()
		if _, n := leader.store.NodeGet(nil, "cl"); n == nil {
			t.Fatal("the row is gone although nothing said that the node left")
		}
		time.Sleep(20 * time.Millisecond)
	}
	for _, n := range c.nodes {
		n.MemberGone("cl")
	}
	c.changed()
	eventually(t, "the row to go", func() bool {
		_, n := leader.store.NodeGet(nil, "cl")
		return n == nil
	})
}

func TestAServerTakenOutIsNotAddedAgainAtOnce(t *testing.T) {
	var g goneBook
	now := time.Now()
	g.remove("a", now)
	if !g.justRemoved("a", now.Add(removedPause-1)) || g.justRemoved("a", now.Add(removedPause)) {
		t.Fatal("the pause is not kept")
	}
}

func TestAServerThatLeftAndCameBackIsAddedAtOnce(t *testing.T) {
	c := newCluster(t, 3, nil)
	back := c.follower()
	if err := settled(func() error { return back.Leave(t.Context(), false) }); err != nil {
		t.Fatal(err)
	}
	back.stop()
	c.drop(back)
	c.roster.status(back.id, structs.MemberLeft)
	for _, n := range c.nodes { // as gossip tells all of them
		n.MemberGone(back.id)
	}
	c.changed()
	eventually(t, "two voters", func() bool { return c.leader().voters() == 2 })
	for _, n := range c.nodes {
		if n.gone.justRemoved(back.id, time.Now()) {
			t.Fatalf("%s would not add the server again, although it was seen to leave", n.id)
		}
	}
	c.nodes = append(c.nodes, c.start(back.id, "", 0))
	c.changed()
	eventually(t, "three voters", func() bool { return c.leader().voters() == 3 })
}

func TestAServerThatDeniesItsDepartureIsAddedSoon(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) { cfg.ReconcileInterval = time.Hour })
	back := c.follower()
	if err := settled(func() error { return back.Leave(t.Context(), false) }); err != nil {
		t.Fatal(err)
	}
	back.stop()
	c.drop(back)
	c.roster.status(back.id, structs.MemberLeft)
	for _, n := range c.nodes {
		n.MemberGone(back.id)
	}
	c.changed()
	row := func() bool {
		_, n := c.leader().store.NodeGet(nil, "n-"+string(back.id))
		return n != nil
	}
	eventually(t, "the row to go", func() bool { return !row() })
	c.nodes = append(c.nodes, c.start(back.id, "", 0))
	c.roster.status(back.id, structs.MemberLeaving)
	c.changed()
	eventually(t, "the row of a living node", row)
	c.roster.status(back.id, structs.MemberAlive) // and nobody is told
	eventually(t, "three voters", func() bool { return c.leader().voters() == 3 })
}
