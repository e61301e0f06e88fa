package agent_test

import (
	"testing"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
)

// An edge agent that was killed comes back under its name with its data directory, and its sessions are still its own.
func TestAnEdgeAgentComesBackUnderItsName(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 1, 0, overlayOn)
	edge := agenttest.Start(t, edgeSpec(c.Key, c.Leader()))
	if err := edge.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	id, _, err := edge.API.Session().Create(t.Context(), &api.SessionEntry{LockDelay: api.NoLockDelay}, nil)
	if err != nil {
		t.Fatal(err)
	}
	agenttest.Eventually(t, "its row", func() bool { return nodeOf(t, c, "edge") != nil })
	was := nodeOf(t, c, "edge").ID
	edge.Kill()
	edge = agenttest.Start(t, edge.Spec)
	if err := edge.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	agenttest.Eventually(t, "it is alive under the same name and id", func() bool {
		n := nodeOf(t, c, "edge")
		return n != nil && n.ID == was && n.Status == "alive"
	})
	if s, _, err := edge.API.Session().Info(t.Context(), id, nil); err != nil || s == nil {
		t.Errorf("its session: %+v, %v", s, err)
	}
	put(t, edge, "k", "again")
}

// Edge agents take part in live topics as others do, though no gossip reaches them.
func TestMessagesReachEdgeAgents(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 1, 0, overlayOn)
	server := c.Leader()
	edge := agenttest.Start(t, edgeSpec(c.Key, server))
	if err := edge.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	there, here := listen(t, edge, api.SubscribeOptions{}, "a.*"), listen(t, server, api.SubscribeOptions{}, "a.*")
	say(t, server, "a.b", "to the edge")
	if got := hear(t, there, 1); got[0] != "to the edge" {
		t.Errorf("%v", got)
	}
	say(t, edge, "a.b", "from the edge")
	if got := hear(t, here, 2); got[1] != "from the edge" {
		t.Errorf("%v", got)
	}
}
