package agent_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
)

func TestADeadServerIsRemovedByAnOperator(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 4, 1, func(s *agenttest.Spec) { s.HCL = "autopilot { cleanup_dead_servers = false }" })
	client := c.Clients[0].API.Operator()
	remove := map[string]func(n *agenttest.Node) error{
		"id": func(n *agenttest.Node) error { return client.RaftRemovePeer(t.Context(), string(n.Member.ID), nil) },
		"address": func(n *agenttest.Node) error {
			conf, err := client.RaftConfiguration(t.Context(), nil)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(conf.Servers, func(s *api.RaftServer) bool { return s.ID == string(n.Member.ID) })
			if i < 0 {
				return api.ErrNotFound
			}
			return client.RaftRemovePeerByAddress(t.Context(), conf.Servers[i].Address, nil)
		},
	}
	for by, call := range remove {
		dead := c.Follower()
		dead.Kill()
		c.Drop(dead)
		leader, left := c.Leader(), len(c.Servers)
		if n := len(voters(t, leader)); n != left+1 {
			t.Fatalf("%d voters before the removal by %s", n, by)
		}
		if err := settled(t, func() error { return call(dead) }); err != nil && !errors.Is(err, api.ErrNotFound) { // an attempt without an answer was one
			t.Fatalf("remove by %s: %v", by, err)
		}
		eventually(t, "the server to be gone", func() bool { return len(voters(t, c.Leader())) == left })
		put(t, c.Clients[0], "by", by)
	}
}

func TestAutopilotKeepsAsManyServersAsItIsTold(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 3, 0, func(s *agenttest.Spec) {
		s.HCL = "autopilot { min_quorum = 3 }"
	})
	dead := c.Follower()
	dead.Kill()
	c.Drop(dead)
	leader := c.Leader()
	eventually(t, "the dead server to be seen as failed", func() bool { return status(t, leader, dead.Spec.Name) == api.MemberFailed })
	eventually(t, "autopilot to see it too", func() bool {
		h, err := leader.API.Operator().AutopilotHealth(t.Context(), nil)
		return err == nil && !h.Healthy
	})
	for rounds := time.Now().Add(time.Second); time.Now().Before(rounds); time.Sleep(50 * time.Millisecond) { // ten of autopilot's
		if n := len(voters(t, leader)); n != 3 {
			t.Fatalf("%d voters, although at least 3 are to be kept", n)
		}
	}
	err := settled(t, func() error {
		conf, err := leader.API.Operator().AutopilotConfig(t.Context(), nil)
		if err != nil {
			return err
		}
		conf.MinQuorum = 2
		return leader.API.Operator().SetAutopilotConfig(t.Context(), conf, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the dead server to be removed", func() bool { return len(voters(t, leader)) == 2 })
}
