// Package agenttest runs agents in the process of a test: every port on loopback and chosen by the
// kernel, gossip and autopilot fast enough to wait for, data directories that go with the test.
//
// Contract: what it starts ends with the test, or with its Scope. A failure to start or a wait that
// runs out fails the test. The agents are the real ones; only intervals differ, and a server with a
// data directory is as durable as in production. Faults that a healthy agent does not show come from a
// Front before it.
package agenttest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/debros/debros/agent"
	"github.com/debros/debros/agent/config"
	"github.com/debros/debros/agent/gossip"
	"github.com/debros/debros/agent/server"
	"github.com/debros/debros/api"
	"github.com/debros/debros/internal/creds"
	"github.com/debros/debros/internal/logging"
	"github.com/debros/debros/structs"
	"github.com/debros/debros/test/pace"
)

// Patience is how long a test waits for something that should take a second at most: machines that
// run tests are slow at times.
const Patience = time.Minute

// Spec says what one agent is. Its zero value is a client without a key that knows nobody.
type Spec struct {
	Name   string
	Server bool
	Expect int               // bootstrap_expect
	Dir    string            // data_dir; "" = none for clients, a directory of the test's for servers and with Overlay
	Key    string            // cluster_key; "" = plain text
	Join   []string          // retry_join
	HCL    string            // more configuration
	Env    map[string]string // for what may change before a reload
	// Overlay puts the agent on the overlay at a free port; most tests do without.
	Overlay bool
	// Adjust changes the server's settings after agenttest's own.
	Adjust func(*server.Config)
}

// Node is a running agent.
type Node struct {
	*agent.Agent
	Spec   Spec
	API    *api.Client
	Logs   *logging.Logs
	Member structs.Member // this node as it told the others
}

// Key makes a cluster_key.
func Key() string { return creds.GenerateClusterKey().Encode() }

// Start runs an agent and fails the test if it does not start. Shutdown is left to the test's end.
func Start(t T, s Spec) *Node {
	t.Helper()
	n, err := TryStart(t, s)
	if err != nil {
		t.Fatalf("start %s: %v", s.Name, err)
	}
	return n
}

// TryStart is Start for agents that may be refused.
func TryStart(t T, s Spec) (*Node, error) {
	t.Helper()
	if s.Dir == "" && (s.Server || s.Overlay) {
		s.Dir = t.TempDir()
	}
	file := filepath.Join(t.TempDir(), "agent.hcl")
	if err := os.WriteFile(file, []byte(s.hcl()), 0o600); err != nil {
		return nil, err
	}
	load := func() (*config.Config, []config.Warning, error) {
		return config.Load(config.LoadOptions{Files: []string{file}, Env: func(k string) (string, bool) {
			v, ok := s.Env[k]
			return v, ok
		}})
	}
	cfg, _, err := load()
	if err != nil {
		return nil, err
	}
	opts := logging.Options{Level: cfg.LogLevel}
	if os.Getenv("DEBROS_TEST_LOG") != "" {
		opts.Writer = t.Output()
	}
	logs, err := logging.Open(opts)
	if err != nil {
		return nil, err
	}
	a := agent.New(cfg, agent.Options{Logs: logs, Loader: load, Tuning: Tuning(), Server: func(c *server.Config) {
		fastServer(c)
		if s.Adjust != nil {
			s.Adjust(c)
		}
	}})
	t.Cleanup(func() { _ = logs.Close() })
	if err := a.Start(); err != nil {
		return nil, err
	}
	t.Cleanup(a.Shutdown)
	n := &Node{Agent: a, Spec: s, Logs: logs, Member: a.Member()}
	if n.API, err = api.New(api.Config{Address: a.HTTPAddrs()[0], Retry: api.RetryPolicy{Max: -1}}); err != nil {
		return nil, err
	}
	t.Cleanup(n.API.Close)
	return n, nil
}

// hcl is the configuration of s. Keys of s.HCL must not be among these.
func (s Spec) hcl() string {
	overlay := -1
	if s.Overlay {
		overlay = 0
	}
	join := ""
	for _, j := range s.Join {
		join += strconv.Quote(j) + ", "
	}
	return fmt.Sprintf(`
node_name = %q
server = %t
bootstrap_expect = %d
data_dir = %q
cluster_key = %q
bind_addr = "127.0.0.1"
client_addr = "127.0.0.1"
ports {
  http     = 0
  server   = 0
  serf_lan = 0
  overlay  = %d
}
retry_join = [%s]
retry_interval = "200ms"
%s
`, s.Name, s.Server, s.Expect, s.Dir, s.Key, overlay, join, s.HCL)
}

// Tuning is gossip that notices a dead node in about two seconds, pace.Factor aside. A SuspicionMult of 2 lets suspicion
// end without others' confirmation, which in a cluster of three nobody could give.
func Tuning() gossip.Tuning {
	return gossip.Tuning{
		GossipInterval: pace.Factor * 20 * time.Millisecond, ProbeInterval: pace.Factor * 400 * time.Millisecond, ProbeTimeout: pace.Factor * 350 * time.Millisecond,
		SuspicionMult: 2, PushPull: time.Second, ReapInterval: 200 * time.Millisecond, ReconnectInterval: 500 * time.Millisecond,
		BroadcastTimeout: 5 * time.Second, LeavePropagateDelay: 200 * time.Millisecond,
	}
}

// fastServer is a server that examines the others often and gives new ones a vote soon.
func fastServer(c *server.Config) {
	c.RaftMultiplier = pace.Factor
	c.AutopilotInterval = 100 * time.Millisecond
	c.Autopilot.ServerStabilizationTime = 200 * time.Millisecond
	c.Autopilot.LastContactThreshold = pace.Factor * time.Second
	c.SegmentSizeBytes = 1 << 20
}

// GossipAddr is where others join this node.
func (n *Node) GossipAddr() string {
	return net.JoinHostPort(n.Member.Addr, strconv.Itoa(n.Member.Port))
}

// Restart runs the agent again on the same data directory; change may adjust the Spec and may be nil.
func (n *Node) Restart(t T, change func(*Spec)) *Node {
	t.Helper()
	n.Shutdown()
	s := n.Spec
	if change != nil {
		change(&s)
	}
	return Start(t, s)
}

// Log is the agent's log so far, for tests that look for a line.
func (n *Node) Log(t T) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	lines, out := n.Logs.Subscribe(ctx, slog.LevelInfo), ""
	for {
		select {
		case l, ok := <-lines:
			if !ok {
				return out
			}
			out += string(l)
		case <-time.After(50 * time.Millisecond): // the ring is replayed without pauses
			return out
		}
	}
}

// Eventually polls until ok, and fails the test when Patience runs out.
func Eventually(t T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s", Patience, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
