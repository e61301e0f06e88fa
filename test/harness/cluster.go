//go:build unix

package harness

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/debros/debros/api"
)

// Config of a cluster.
type Config struct {
	// Binary is the debros program; "" = BinaryPath.
	Binary string
	// Dir holds everything the cluster writes; it must exist and be empty.
	Dir string
	// Servers vote, all with bootstrap_expect of their number; Clients join them.
	Servers, Clients int
	// Args are given to every agent after the harness's own.
	Args []string
	// Env is added to the environment of every agent, "NAME=value".
	Env []string
}

// Cluster is a set of agents that know each other. Its methods are safe for concurrent use.
type Cluster struct {
	Servers, Clients []*Node

	cfg     Config
	keyFile string
	ports   *portTaker
}

// leaderAnswers is how long a server may take to say whether it leads, which it knows by itself.
const leaderAnswers = 5 * time.Second

// readyPoll is the pause between two looks at whether a condition holds.
const readyPoll = 20 * time.Millisecond

// BinaryPath is the program that `make build` leaves, found from any directory of the project;
// DEBROS_BINARY names another.
func BinaryPath() (string, error) {
	if p := os.Getenv("DEBROS_BINARY"); p != "" {
		return p, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			p := filepath.Join(dir, "bin", "debros")
			if _, err := os.Stat(p); err != nil {
				return "", fmt.Errorf("%w (run make build)", err)
			}
			return p, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("find bin/debros: not inside the project, and DEBROS_BINARY is not set")
		}
		dir = up
	}
}

// New lays out a cluster and starts nothing.
func New(cfg Config) (*Cluster, error) {
	if cfg.Binary == "" {
		var err error
		if cfg.Binary, err = BinaryPath(); err != nil {
			return nil, err
		}
	}
	key := make([]byte, 32)
	rand.Read(key) // never fails (crypto/rand)
	c := &Cluster{cfg: cfg, keyFile: filepath.Join(cfg.Dir, "cluster.key"), ports: newPortTaker()}
	if err := os.WriteFile(c.keyFile, []byte(base64.StdEncoding.EncodeToString(key)+"\n"), 0o600); err != nil {
		return nil, err
	}
	for i := range cfg.Servers {
		if _, err := c.add("s"+strconv.Itoa(i+1), true); err != nil {
			return nil, err
		}
	}
	for i := range cfg.Clients {
		if _, err := c.add("c"+strconv.Itoa(i+1), false); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Start lays out a cluster, lets change adjust each node, starts every node and waits until all are ready. If it
// fails, nothing of it runs any more and the error holds the ends of the logs.
func Start(ctx context.Context, cfg Config, change ...func(*Node)) (*Cluster, error) {
	c, err := New(cfg)
	if err != nil {
		return nil, err
	}
	for _, n := range c.Nodes() {
		for _, f := range change {
			f(n)
		}
		if err = n.Start(); err != nil {
			break
		}
	}
	if err == nil {
		err = c.WaitReady(ctx)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("start a cluster of %d servers and %d clients: %w\n%s", cfg.Servers, cfg.Clients, err, c.LogTails(20))
	}
	return c, nil
}

// AddServer lays out one more server, which joins without bootstrap_expect. The caller starts it.
func (c *Cluster) AddServer(name string) (*Node, error) {
	n, err := c.add(name, true)
	if n != nil {
		n.joins = true
	}
	return n, err
}

// AddClient lays out one more client. The caller starts it.
func (c *Cluster) AddClient(name string) (*Node, error) { return c.add(name, false) }

func (c *Cluster) add(name string, server bool) (*Node, error) {
	n := &Node{Name: name, Server: server, Dir: filepath.Join(c.cfg.Dir, name), cluster: c}
	n.LogFile = n.Dir + ".log"
	for _, p := range []*int{&n.HTTPPort, &n.ServerPort, &n.SerfPort, &n.OverlayPort} {
		var err error
		if *p, err = c.ports.take(); err != nil {
			return nil, err
		}
	}
	var err error
	if n.client, err = api.New(api.Config{Address: n.HTTPAddr()}); err != nil {
		return nil, err
	}
	if n.quick, err = api.New(api.Config{Address: n.HTTPAddr(), Retry: api.RetryPolicy{Max: -1}}); err != nil {
		return nil, err
	}
	if server {
		c.Servers = append(c.Servers, n)
	} else {
		c.Clients = append(c.Clients, n)
	}
	return n, nil
}

// Nodes lists servers and then clients.
func (c *Cluster) Nodes() []*Node {
	return append(append([]*Node(nil), c.Servers...), c.Clients...)
}

// WaitReady waits until every running server names the same leader and lists as many voters as
// there are servers, and every running node sees all running nodes alive.
func (c *Cluster) WaitReady(ctx context.Context) error {
	return c.Wait(ctx, func(ctx context.Context) error {
		running := c.running()
		if len(running) == 0 {
			return errors.New("no node runs")
		}
		leader := ""
		for _, n := range running {
			if err := n.ready(ctx, len(c.Servers), running); err != nil {
				return err
			}
			l, err := n.client.Status().Leader(ctx, staleRead())
			if err != nil || l == "" {
				return fmt.Errorf("%s knows no leader (%v)", n.Name, err)
			}
			if leader != "" && l != leader {
				return fmt.Errorf("%s names leader %s, others %s", n.Name, l, leader)
			}
			leader = l
		}
		return nil
	})
}

func (c *Cluster) running() []*Node {
	var out []*Node
	for _, n := range c.Nodes() {
		if n.Running() {
			out = append(out, n)
		}
	}
	return out
}

// Wait calls check until it returns nil; when ctx ends first, the error is check's last. A process
// of the cluster that ended by itself meanwhile ends the wait.
func (c *Cluster) Wait(ctx context.Context, check func(context.Context) error) error {
	for {
		for _, n := range c.Nodes() {
			if err := n.crashed(); err != nil {
				return err
			}
		}
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: last: %w", ctx.Err(), err)
		case <-time.After(readyPoll):
		}
	}
}

// Leader waits for a running server, not paused, that says it leads. Right after the loss of a leader that may be
// one that is about to learn better.
func (c *Cluster) Leader(ctx context.Context) (*Node, error) {
	var leader *Node
	err := c.Wait(ctx, func(ctx context.Context) error {
		for _, n := range c.Servers {
			if !n.answers() {
				continue
			}
			sctx, cancel := context.WithTimeout(ctx, leaderAnswers)
			addr, err := n.quick.Status().Leader(sctx, staleRead())
			cancel()
			if err == nil && addr == n.ServerAddr() {
				leader = n
				return nil
			}
		}
		return errors.New("no server says that it leads")
	})
	return leader, err
}

// Followers are the running servers but the leader.
func (c *Cluster) Followers(leader *Node) []*Node {
	var out []*Node
	for _, n := range c.Servers {
		if n != leader && n.Running() {
			out = append(out, n)
		}
	}
	return out
}

// Close kills what still runs and waits for it. It may be called more than once.
func (c *Cluster) Close() {
	var wg sync.WaitGroup
	for _, n := range c.Nodes() {
		wg.Go(func() { _ = n.Kill() })
	}
	wg.Wait()
}

// LogTails is the last lines of every node's log, under its name.
func (c *Cluster) LogTails(lines int) string {
	s := ""
	for _, n := range c.Nodes() {
		s += "--- " + n.LogFile + "\n" + n.LogTail(lines)
	}
	return s
}

func staleRead() *api.QueryOptions { return &api.QueryOptions{Consistency: api.Stale} }
