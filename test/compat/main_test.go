package compat

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// binary is the agent that TestMain built; shared is the agent that most tests use, each below keys
// and with sessions of its own. Both are set before the first test and never again.
var (
	binary string
	shared *agent
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "compat:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "debros-compat-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "debros")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build the agent: %w\n%s", err, out)
	}
	if shared, err = start("compat"); err != nil {
		return 0, err
	}
	code = m.Run()
	if err := shared.stop(); err != nil {
		return 0, fmt.Errorf("%w; its log:\n%s", err, shared.log.String())
	}
	return code, nil
}

// agent is a debros process of its own.
type agent struct {
	node     string
	http     string // host:port
	server   string
	serf     string
	ports    []string // flags of its name and ports
	log      *logBuffer
	process  *exec.Cmd
	exited   chan struct{} // closed once exitErr is set
	exitErr  error
	stopOnce sync.Once
}

// readyTimeout is far above the two seconds a -dev agent takes, for machines with much else to do.
const readyTimeout = time.Minute

// start starts `debros agent -dev` and waits until it leads.
func start(node string, flags ...string) (*agent, error) {
	ports, err := freePorts(4)
	if err != nil {
		return nil, err
	}
	a := newAgent(node, ports)
	if err := a.launch(append([]string{"agent", "-dev"}, flags...)...); err != nil {
		return nil, err
	}
	if err := a.ready(); err != nil {
		a.stop()
		return nil, fmt.Errorf("start the agent: %w; its log:\n%s", err, a.log.String())
	}
	return a, nil
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// newAgent is an agent on four ports: HTTP, server, gossip, overlay.
func newAgent(node string, ports []int) *agent {
	return &agent{
		node: node, http: address(ports[0]), server: address(ports[1]), serf: address(ports[2]),
		ports: []string{
			"-node=" + node, "-http-port=" + strconv.Itoa(ports[0]), "-server-port=" + strconv.Itoa(ports[1]),
			"-serf-lan-port=" + strconv.Itoa(ports[2]), "-overlay-port=" + strconv.Itoa(ports[3]),
		},
		log: &logBuffer{}, exited: make(chan struct{}),
	}
}

// launch starts the process.
func (a *agent) launch(args ...string) error {
	a.process = exec.Command(binary, append(args, a.ports...)...)
	a.process.Stdout, a.process.Stderr = a.log, a.log
	if err := a.process.Start(); err != nil {
		return err
	}
	go func() {
		a.exitErr = a.process.Wait()
		close(a.exited)
	}()
	return nil
}

// ready waits until the agent leads and is registered, so that sessions can be made.
func (a *agent) ready() error {
	client, err := a.client()
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(readyTimeout); ; {
		node, _, err := client.Catalog().Node(a.node, nil)
		if err == nil && node != nil {
			return nil
		}
		select {
		case <-a.exited:
			return fmt.Errorf("the agent ended: %v", a.exitErr)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not ready within %v: %v", readyTimeout, err)
		}
	}
}

// stop sends SIGTERM and reports what but a clean end comes of it. Once is enough.
func (a *agent) stop() error {
	var err error
	a.stopOnce.Do(func() {
		if err = a.process.Process.Signal(syscall.SIGTERM); err != nil {
			err = fmt.Errorf("stop the agent: %w", err)
			return
		}
		select {
		case <-a.exited:
			if a.exitErr != nil {
				err = fmt.Errorf("the agent did not stop cleanly: %w", a.exitErr)
			}
		case <-time.After(readyTimeout):
			a.process.Process.Kill()
			<-a.exited
			err = fmt.Errorf("the agent did not stop within %v of SIGTERM", readyTimeout)
		}
	})
	return err
}

func (a *agent) client() (*api.Client, error) {
	return api.NewClient(&api.Config{Address: a.http, WaitTime: 10 * time.Second})
}

// startAgent starts an agent for one test, which may do to it what it wants.
func startAgent(t *testing.T, node string, flags ...string) (*agent, *api.Client) {
	t.Helper()
	a, err := start(node, flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", node, a.log.String())
		}
	})
	client, err := a.client()
	if err != nil {
		t.Fatal(err)
	}
	return a, client
}

// sharedClient is a client of the shared agent; prefix is a place below which no other test writes.
func sharedClient(t *testing.T) (client *api.Client, prefix string) {
	t.Helper()
	client, err := shared.client()
	if err != nil {
		t.Fatal(err)
	}
	return client, t.Name() + "/"
}

// freePorts finds ports that are free for TCP and UDP. They are held together so that they differ.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range 20 * n {
		if len(ports) == n {
			return ports, nil
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		port := l.Addr().(*net.TCPAddr).Port
		u, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err != nil {
			continue
		}
		defer u.Close()
		ports = append(ports, port)
	}
	return nil, fmt.Errorf("found no %d ports that are free for TCP and UDP", n)
}

// logBuffer keeps what an agent logs.
type logBuffer struct {
	mu sync.Mutex // protects the following
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// must is for calls that the test cannot go on without.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// skip says so on standard error as well: without -v nobody would see that a client was not tried.
func skip(t *testing.T, why string) {
	t.Helper()
	fmt.Fprintf(os.Stderr, "SKIPPED: %s: %s\n", t.Name(), why)
	t.Skip("SKIPPED: " + why)
}

// eventually polls until ok or the time is up.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, within)
		}
	}
}

// deadline is how long anything may take that needs no waiting, on a machine with much else to do.
const deadline = time.Minute

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
