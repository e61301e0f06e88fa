//go:build unix

package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/debros/debros/api"
)

// stopWithin is how long SIGTERM may take before Stop gives up and kills: handing over leadership,
// leaving, and draining have bounds of a few seconds each.
const stopWithin = time.Minute

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

// life is one process of a node.
type life struct {
	cmd    *exec.Cmd
	done   chan struct{} // closed when the process was waited for
	err    error         // read after done
	wanted bool          // Kill or Stop ended it; under the node's mu
	paused bool          // under the node's mu
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

// Start starts the process and returns at once; see Cluster.WaitReady.
func (n *Node) Start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.life != nil {
		return fmt.Errorf("start %s: it runs already", n.Name)
	}
	log, err := os.OpenFile(n.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own
	cmd := exec.Command(n.cluster.cfg.Binary, n.Args()...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = slices.Concat(os.Environ(), n.cluster.cfg.Env, n.Env)
	cmd.SysProcAttr = childAttr()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	l := &life{cmd: cmd, done: make(chan struct{})}
	n.life = l
	go func() { // ends with the process; Kill and Stop wait for it
		l.err = cmd.Wait()
		close(l.done)
	}()
	return nil
}

// Pid is the process id, 0 when it does not run.
func (n *Node) Pid() int {
	if l := n.current(); l != nil {
		return l.cmd.Process.Pid
	}
	return 0
}

func (n *Node) current() *life {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.life
}

// Running reports whether the process was started and has not ended.
func (n *Node) Running() bool {
	l := n.current()
	if l == nil {
		return false
	}
	select {
	case <-l.done:
		return false
	default:
		return true
	}
}

// Kill ends the process with SIGKILL and waits for it; one that does not run is no error.
func (n *Node) Kill() error {
	l := n.claim()
	if l == nil {
		return nil
	}
	err := l.cmd.Process.Kill()
	<-l.done
	n.forget(l)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Stop ends the process with SIGTERM and wants exit code 0.
func (n *Node) Stop() error {
	l := n.claim()
	if l == nil {
		return nil
	}
	defer n.forget(l)
	_ = l.cmd.Process.Signal(syscall.SIGTERM) // one that has ended shows below
	select {
	case <-l.done:
	case <-time.After(stopWithin):
		_ = l.cmd.Process.Kill()
		<-l.done
		return fmt.Errorf("stop %s: it still ran %s after SIGTERM", n.Name, stopWithin)
	}
	if l.err != nil {
		return fmt.Errorf("stop %s: %w\n%s", n.Name, l.err, n.LogTail(10))
	}
	return nil
}

// Restart kills the process, if it runs, and starts it with the same ports and data.
func (n *Node) Restart() error {
	if err := n.Kill(); err != nil {
		return err
	}
	return n.Start()
}

// Pause stops the process with SIGSTOP: its connections stay open and nothing answers.
func (n *Node) Pause() error {
	n.setPaused(true)
	return n.signal(syscall.SIGSTOP)
}

// Resume lets a paused process go on.
func (n *Node) Resume() error {
	n.setPaused(false)
	return n.signal(syscall.SIGCONT)
}

func (n *Node) setPaused(v bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.life != nil {
		n.life.paused = v
	}
}

// answers reports whether the process runs and is not paused. The signal takes a moment to arrive, in
// which a paused leader may still say that it leads.
func (n *Node) answers() bool {
	if !n.Running() {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.life != nil && !n.life.paused
}

// Reload sends SIGHUP.
func (n *Node) Reload() error { return n.signal(syscall.SIGHUP) }

func (n *Node) signal(sig os.Signal) error {
	l := n.current()
	if l == nil {
		return fmt.Errorf("signal %s: it does not run", n.Name)
	}
	return l.cmd.Process.Signal(sig)
}

// claim takes the process to end it.
func (n *Node) claim() *life {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.life != nil {
		n.life.wanted = true
	}
	return n.life
}

func (n *Node) forget(l *life) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.life == l {
		n.life = nil
	}
}

// crashed is an error when the process ended and nobody asked it to.
func (n *Node) crashed() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.life == nil || n.life.wanted {
		return nil
	}
	select {
	case <-n.life.done:
		return fmt.Errorf("%s ended by itself: %v", n.Name, n.life.err)
	default:
		return nil
	}
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
