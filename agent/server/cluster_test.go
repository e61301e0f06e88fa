package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/debros/debros/rpc/transport"
	"github.com/debros/debros/structs"
	"github.com/debros/debros/test/pace"
)

// pool of members that the servers of one test share, in place of gossip.
type roster struct {
	mu      sync.Mutex
	members map[structs.NodeID]structs.Member
}

func (r *roster) Members() (out []structs.Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.members {
		out = append(out, m)
	}
	return out
}

func (r *roster) RemoveFailed(_ context.Context, name string, _ bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, m := range r.members {
		if m.Name == name {
			delete(r.members, id)
		}
	}
	return nil
}

func (r *roster) set(m structs.Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members[m.ID] = m
}

func (r *roster) status(id structs.NodeID, st structs.MemberStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.members[id]
	m.Status = st
	r.members[id] = m
}

// node is one server of a test cluster with its port.
type node struct {
	*Server
	id    structs.NodeID
	dir   string
	trans *transport.Server
	pool  *transport.Pool
}

func (n *node) stop() {
	n.Server.Close()
	n.trans.Close()
	n.pool.Close()
}

// cluster is servers in one process, over real connections on loopback.
type cluster struct {
	t      *testing.T
	roster *roster
	nodes  []*node
	adjust func(*Config)
	fsm    int // what membership says of servers that start; 0 = structs.FSMVersion
}

func newCluster(t *testing.T, servers int, adjust func(*Config)) *cluster {
	t.Helper()
	c := &cluster{t: t, roster: &roster{members: map[structs.NodeID]structs.Member{}}, adjust: adjust}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			n.stop()
		}
	})
	for i := range servers {
		c.nodes = append(c.nodes, c.start(structs.NodeID(fmt.Sprintf("id%d", i)), "", servers))
	}
	c.changed()
	return c
}

// start runs a server; dir "" keeps it in memory.
func (c *cluster) start(id structs.NodeID, dir string, expect int) *node {
	c.t.Helper()
	return c.startAt("127.0.0.1:0", id, dir, expect)
}

// startAt is start at an address, or at another one if somebody has taken it.
func (c *cluster) startAt(addr string, id structs.NodeID, dir string, expect int) *node {
	c.t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		c.t.Fatal(err)
	}
	log := testLog(c.t).With("node", id)
	tc := transport.Config{Logger: log}
	n := &node{id: id, dir: dir, pool: transport.NewPool(tc, nil)}
	cfg := Config{
		NodeID: id, NodeName: "n-" + string(id), Datacenter: "dc1", Address: l.Addr().String(), DataDir: dir,
		BootstrapExpect: expect, Logger: log, SegmentSizeBytes: 1 << 20,
		RaftMultiplier: pace.Factor, AutopilotInterval: 100 * time.Millisecond,
		Autopilot: structs.AutopilotConfig{CleanupDeadServers: true, LastContactThreshold: pace.Factor * 500 * time.Millisecond, MaxTrailingLogs: 1000, ServerStabilizationTime: 100 * time.Millisecond},
	}
	if c.adjust != nil {
		c.adjust(&cfg)
	}
	if n.Server, err = New(cfg, n.pool); err != nil {
		c.t.Fatal(err)
	}
	if n.trans, err = transport.Listen(l, tc, n.Methods(), n.Streams()); err != nil {
		c.t.Fatal(err)
	}
	c.roster.set(structs.Member{
		ID: id, Name: cfg.NodeName, Addr: "127.0.0.1", Port: 1, Role: structs.RoleServer, Status: structs.MemberAlive,
		Datacenter: "dc1", Expect: expect, Ports: map[string]int{structs.PortServer: l.Addr().(*net.TCPAddr).Port}, Build: "test", FSM: cmp.Or(c.fsm, structs.FSMVersion),
	})
	if err := n.Start(n.trans.RaftLayer(l.Addr(), nil), c.roster); err != nil {
		c.t.Fatal(err)
	}
	go n.trans.Serve() // as the agent does: no request comes before the server can answer
	return n
}

func (c *cluster) changed() {
	for _, n := range c.nodes {
		n.MembershipChanged()
	}
}

// leader waits for a server that is ready to lead.
func (c *cluster) leader() *node {
	c.t.Helper()
	var found *node
	eventually(c.t, "a leader", func() bool {
		for _, n := range c.nodes {
			if n.IsLeader() {
				found = n
				return true
			}
		}
		return false
	})
	return found
}

func (c *cluster) follower() *node {
	c.t.Helper()
	leader := c.leader()
	for _, n := range c.nodes {
		if n != leader {
			return n
		}
	}
	c.t.Fatal("no follower")
	return nil
}

// drop forgets a node that the test stopped.
func (c *cluster) drop(n *node) {
	for i, have := range c.nodes {
		if have == n {
			c.nodes = append(c.nodes[:i], c.nodes[i+1:]...)
		}
	}
}

// patience is how long a test waits for what takes a second at most on an idle machine.
const patience = time.Minute

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s", patience, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// settled repeats a call that may be made twice while the cluster changes its leader: on a busy machine
// a leader is taken for dead at any time.
func settled(call func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := call()
		passing := errors.Is(err, structs.ErrNoLeader) || errors.Is(err, structs.ErrUnavailable) || errors.Is(err, structs.ErrUnknownResult)
		if !passing || time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func testLog(t *testing.T) *slog.Logger {
	if os.Getenv("DEBROS_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func put(n *node, key, value string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var rep structs.KVReply
	return n.RPC(ctx, "KV.Apply", &structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: key, Value: []byte(value)}}, &rep)
}

func get(n *node, key string, o structs.QueryOptions) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var rep structs.KVGetReply
	if err := n.RPC(ctx, "KV.Get", &structs.KeyRequest{QueryOptions: o, Key: key}, &rep); err != nil {
		return "", err
	}
	if rep.Entry == nil {
		return "", structs.ErrNotFound
	}
	return string(rep.Entry.Value), nil
}

func mustPut(t *testing.T, n *node, key, value string) {
	t.Helper()
	if err := settled(func() error { return put(n, key, value) }); err != nil {
		t.Fatalf("put %s on %s: %v", key, n.id, err)
	}
}

func wantGet(t *testing.T, n *node, key, value string) {
	t.Helper()
	got, err := settledGet(n, key)
	if err != nil || got != value {
		t.Fatalf("get %s on %s: %q, %v; want %q", key, n.id, got, err, value)
	}
}

// settledGet is a linearizable read that waits until there is a leader.
func settledGet(n *node, key string) (value string, err error) {
	err = settled(func() (err error) {
		value, err = get(n, key, structs.QueryOptions{})
		return err
	})
	return value, err
}

func num(i int) string { return strconv.Itoa(i) }
