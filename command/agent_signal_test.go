package command

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/agent/server"
	"github.com/debros/debros/api"
)

// signalled is an agent that waits for signals as `debros agent` does.
type signalled struct {
	*agenttest.Node
	signals chan os.Signal
	ended   chan error
}

func waitSignals(n *agenttest.Node) *signalled {
	s := &signalled{n, make(chan os.Signal, 4), make(chan error, 1)}
	go func() { s.ended <- waitForEnd(n.Agent, n.Logs.Logger(), s.signals) }()
	return s
}

// end waits for the end that a signal brought.
func (s *signalled) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-s.ended:
		return err
	case <-time.After(agenttest.Patience):
		t.Fatalf("%s does not end", s.Spec.Name)
		return nil
	}
}

// memberStatus is what n's gossip says of a node.
func memberStatus(t *testing.T, n *agenttest.Node, name string) api.MemberStatus {
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

func TestASignalMakesAClientLeaveAndAServerNot(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 3, 3, func(s *agenttest.Spec) {
		switch s.Name {
		case "c3":
			s.HCL = "leave_on_terminate = false"
		case "s1", "s2", "s3":
			s.HCL = "autopilot { cleanup_dead_servers = false }"
		}
	})
	leader := c.Leader()
	for _, tc := range []struct {
		n    *agenttest.Node
		sig  os.Signal
		want api.MemberStatus
	}{
		{c.Clients[0], syscall.SIGTERM, api.MemberLeft},
		{c.Clients[1], os.Interrupt, api.MemberLeft},
		{c.Clients[2], syscall.SIGTERM, api.MemberFailed},
		{c.Follower(), syscall.SIGTERM, api.MemberFailed},
	} {
		s := waitSignals(tc.n)
		s.signals <- tc.sig
		if err := s.end(t); err != nil {
			t.Errorf("%s ended with %v", tc.n.Spec.Name, err)
		}
		agenttest.Eventually(t, tc.n.Spec.Name+" to be "+string(tc.want), func() bool {
			return memberStatus(t, leader, tc.n.Spec.Name) == tc.want
		})
	}
	conf, err := leader.API.Operator().RaftConfiguration(t.Context(), &api.QueryOptions{Consistency: api.Stale})
	if err != nil || len(conf.Servers) != 3 {
		t.Errorf("the servers after one was stopped: %+v, %v", conf, err)
	}
}

// TestASecondSignalEndsTheProcessAtOnce: the first makes the server leave, after which it would answer
// for a while.
func TestASecondSignalEndsTheProcessAtOnce(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 3, 0, func(s *agenttest.Spec) {
		s.HCL = "leave_on_terminate = true\nperformance { leave_drain_time = \"15s\" }"
	})
	leader, f := c.Leader(), c.Follower()
	s := waitSignals(f)
	s.signals <- syscall.SIGTERM
	agenttest.Eventually(t, "the server to have left", func() bool { return memberStatus(t, leader, f.Spec.Name) == api.MemberLeft })
	s.signals <- syscall.SIGHUP // says nothing about stopping
	s.signals <- syscall.SIGTERM
	var exit *exitError
	if err := s.end(t); !errors.As(err, &exit) || exit.status != exitFailed {
		t.Errorf("the second signal ended it with %v", err)
	}
	select {
	case <-f.Done():
		t.Error("the second signal waited until the agent had stopped")
	default:
	}
}

// TestATerminatedLeaderHandsOver: no server has to notice that it is gone. Some timeouts are long, for
// slow machines take a leader for dead that is only slow.
func TestATerminatedLeaderHandsOver(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 3, 0, func(s *agenttest.Spec) {
		s.Adjust = func(c *server.Config) { c.RaftMultiplier *= 5 }
	})
	leader := c.Leader()
	c.Drop(leader)
	noticed := func() (n int) {
		for _, s := range c.Servers {
			n += strings.Count(s.Log(t), "heartbeat timeout reached, starting election")
		}
		return n
	}
	before := noticed()
	s := waitSignals(leader)
	s.signals <- syscall.SIGTERM
	if err := s.end(t); err != nil {
		t.Fatal(err)
	}
	c.Leader()
	if now := noticed(); now != before {
		t.Errorf("another server led only after the death was noticed:\n%s", c.Servers[0].Log(t))
	}
}
