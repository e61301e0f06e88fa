package agent_test

import (
	"errors"
	"testing"
	"time"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
)

// TestWithoutALeaderEverybodyWaitsForTheHoldTimeOnce: also through a client agent, which asks the servers one
// after another.
func TestWithoutALeaderEverybodyWaitsForTheHoldTimeOnce(t *testing.T) {
	t.Parallel()
	const hold = 12 * time.Second // long, so that a slow machine does not look like a second wait
	c := agenttest.Cluster(t, 2, 1, func(s *agenttest.Spec) {
		s.HCL = "performance { rpc_hold_timeout = \"" + hold.String() + "\" }"
	})
	dead := c.Follower()
	put(t, c.Clients[0], "k", "v")
	dead.Kill()
	c.Drop(dead)
	server := c.Servers[0]
	eventually(t, "the leader to step down", func() bool {
		leader, err := server.API.Status().Leader(t.Context(), &api.QueryOptions{Consistency: api.Stale})
		return err != nil || leader == ""
	})
	type result struct {
		name string
		took time.Duration
		err  error
	}
	results := make(chan result)
	for name, do := range map[string]func(n *agenttest.Node) error{
		"read": func(n *agenttest.Node) error {
			_, _, err := n.API.KV().Get(t.Context(), "k", nil)
			return err
		},
		"write": func(n *agenttest.Node) error {
			_, err := n.API.KV().Put(t.Context(), &api.KVPair{Key: "k"}, nil)
			return err
		},
	} {
		for _, n := range []*agenttest.Node{server, c.Clients[0]} {
			go func() {
				began := time.Now()
				err := do(n)
				results <- result{name + " through " + n.Spec.Name, time.Since(began), err}
			}()
		}
	}
	for range 4 {
		r := <-results
		if !errors.Is(r.err, api.ErrNoLeader) {
			t.Errorf("%s: %v", r.name, r.err)
		}
		if r.took < hold/2 || r.took >= hold*19/10 {
			t.Errorf("%s took %s; the hold time is %s", r.name, r.took, hold)
		}
	}
}
