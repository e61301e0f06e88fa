package transport

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-metrics"

	"github.com/debros/debros/internal/creds"
	"github.com/debros/debros/structs"
)

// patience is how long a test waits for what takes a moment on an idle machine.
const patience = time.Minute

// logBuffer is a log that tests read and that prints nothing.
type logBuffer struct {
	mu sync.Mutex
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

// side is the configuration of one end, with what a test looks at.
type side struct {
	Config
	log  *logBuffer
	sink *metrics.InmemSink
}

func newSide(t testing.TB, c *creds.Creds) side {
	t.Helper()
	log := new(logBuffer)
	sink := metrics.NewInmemSink(time.Hour, 2*time.Hour)
	cfg := metrics.DefaultConfig("")
	cfg.EnableHostname, cfg.EnableRuntimeMetrics = false, false
	m, err := metrics.New(cfg, sink)
	if err != nil {
		t.Fatal(err)
	}
	return side{Config{Creds: c, Metrics: m, Limits: Limits{HandshakeTimeout: patience},
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}, log, sink}
}

// counter sums rpc.<name> over the labels that contain with.
func (s side) counter(name, with string) int {
	n := 0
	for _, iv := range s.sink.Data() {
		iv.RLock()
		for key, c := range iv.Counters {
			if (key == "rpc."+name || strings.HasPrefix(key, "rpc."+name+";")) && strings.Contains(key, with) {
				n += c.Count
			}
		}
		iv.RUnlock()
	}
	return n
}

func newCreds(t testing.TB, k creds.ClusterKey, role structs.Role, dc string) *creds.Creds {
	t.Helper()
	node, err := creds.GenerateNodeKey()
	if err != nil {
		t.Fatal(err)
	}
	c, err := creds.Open(creds.Config{Node: node, Role: role, Datacenter: dc, ClusterKey: k})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tcp(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// start serves the methods on loopback until the test ends.
func start(t testing.TB, cfg Config, methods []Method, streams []StreamMethod) (*Server, string) {
	t.Helper()
	l := tcp(t)
	s, err := Listen(l, cfg, methods, streams)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s, l.Addr().String()
}

func newPool(t testing.TB, cfg Config, open DialFunc) *Pool {
	t.Helper()
	p := NewPool(cfg, open)
	t.Cleanup(func() { p.Close() })
	return p
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func withTimeout(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

type echoRequest struct {
	Text string
	Data []byte
}

type echoReply struct {
	Text     string
	Data     []byte
	Identity creds.Identity
	Deadline time.Duration // left, 0 = none
}

func echo() Method {
	return Unary("Test.Echo", func(ctx context.Context, req *echoRequest, rep *echoReply) error {
		rep.Text, rep.Data, rep.Identity = req.Text, req.Data, PeerIdentity(ctx)
		if d, ok := ctx.Deadline(); ok {
			rep.Deadline = time.Until(d)
		}
		return nil
	})
}
