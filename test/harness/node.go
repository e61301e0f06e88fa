//go:build unix

package harness

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/debros/debros/api"
)

// Node is one agent of a cluster, running or not.
type Node struct {
	Name    string
	Server  bool
	Dir     string // data directory
	LogFile string // standard output and error of all its lives
	// Env is added to the environment of its next lives after the cluster's, "NAME=value".
	Env []string
	// JoinOverlay makes it an edge agent, which knows no server by gossip: it joins over the overlay, by this
	// address that ends in /p2p/<id>. Set it before Start.
	JoinOverlay string

	HTTPPort, ServerPort, SerfPort, OverlayPort int

	cluster *Cluster
	client  *api.Client
	quick   *api.Client // repeats nothing
	joins   bool        // joins a cluster rather than to begin one

	// mu protects the following.
	mu   sync.Mutex
	life *life // nil when it does not run
}

// HTTPAddr is "host:port" of the HTTP API.
func (n *Node) HTTPAddr() string { return loopback(n.HTTPPort) }

// ServerAddr is "host:port" of the port where Raft and RPC are.
func (n *Node) ServerAddr() string { return loopback(n.ServerPort) }

// SerfAddr is "host:port" of gossip.
func (n *Node) SerfAddr() string { return loopback(n.SerfPort) }

// API is a client of this agent. It repeats what can be repeated, as clients do by default.
func (n *Node) API() *api.Client { return n.client }

// Quick is a client of this agent that repeats nothing, for those who measure or count.
func (n *Node) Quick() *api.Client { return n.quick }

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Args is the agent's command line without the program.
func (n *Node) Args() []string {
	args := []string{"agent", "-node=" + n.Name, "-data-dir=" + n.Dir, "-bind=127.0.0.1", "-cluster-key-file=" + n.cluster.keyFile,
		"-http-port=" + strconv.Itoa(n.HTTPPort), "-server-port=" + strconv.Itoa(n.ServerPort),
		"-serf-lan-port=" + strconv.Itoa(n.SerfPort), "-overlay-port=" + strconv.Itoa(n.OverlayPort), "-retry-interval=1s"}
	if n.Server {
		args = append(args, "-server")
		if !n.joins {
			args = append(args, "-bootstrap-expect="+strconv.Itoa(n.cluster.cfg.Servers))
		}
	}
	if n.JoinOverlay != "" {
		return append(append(args, "-join-overlay="+n.JoinOverlay), n.cluster.cfg.Args...)
	}
	for _, s := range n.cluster.Servers {
		if s != n {
			args = append(args, "-retry-join="+s.SerfAddr())
		}
	}
	return append(args, n.cluster.cfg.Args...)
}

// ready is nil when this node sees every one of nodes alive and, being a server, lists the voters.
func (n *Node) ready(ctx context.Context, voters int, nodes []*Node) error {
	members, err := n.quick.Agent().Members(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", n.Name, err)
	}
	alive := map[string]bool{}
	for _, m := range members {
		alive[m.Name] = m.Status == api.MemberAlive
	}
	for _, other := range nodes {
		if !alive[other.Name] {
			return fmt.Errorf("%s does not see %s alive", n.Name, other.Name)
		}
	}
	if !n.Server {
		return nil
	}
	conf, err := n.quick.Operator().RaftConfiguration(ctx, staleRead())
	if err != nil {
		return fmt.Errorf("%s: %w", n.Name, err)
	}
	have := 0
	for _, s := range conf.Servers {
		if s.Voter {
			have++
		}
	}
	if have < voters {
		return fmt.Errorf("%s lists %d of %d voters", n.Name, have, voters)
	}
	return nil
}

// LogTail is the last lines of the log.
func (n *Node) LogTail(lines int) string {
	b, err := os.ReadFile(n.LogFile)
	if err != nil {
		return err.Error() + "\n"
	}
	all := strings.SplitAfter(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "") + "\n"
}
