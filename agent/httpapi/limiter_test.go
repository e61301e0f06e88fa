package httpapi

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestClientsAreCountedByAddress(t *testing.T) {
	for remote, want := range map[string]string{
		"10.0.0.1:5000": "10.0.0.1", "[::ffff:10.0.0.1]:5000": "10.0.0.1", "[::1]:5000": "::1",
		"[2001:db8:1:2:3:4:5:6]:5000": "2001:db8:1:2::/64", "[2001:db8:1:2::1]:5000": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:5000": "fe80::/64", "12D3KooWpeer": "12D3KooWpeer",
	} {
		if got := clientOf(remote); got != want {
			t.Errorf("%s counts as %q, want %q", remote, got, want)
		}
	}
}

// pipeListener hands out connections that were made in memory: 5,000 of them need no file descriptors.
type pipeListener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return pipeAddr("server") }

type pipeAddr string

func (pipeAddr) Network() string  { return "pipe" }
func (a pipeAddr) String() string { return string(a) }

// pipeConn is one end of a net.Pipe that says who is at the other.
type pipeConn struct {
	net.Conn
	remote pipeAddr
}

func (c pipeConn) RemoteAddr() net.Addr { return c.remote }

// dial connects as the client at the address.
func (l *pipeListener) dial(from string) net.Conn {
	here, there := net.Pipe()
	l.conns <- pipeConn{there, pipeAddr(from)}
	return here
}

func startPipes(t *testing.T, s *harness) *pipeListener {
	t.Helper()
	l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	srv := s.h.Server(t.Context())
	served := make(chan struct{})
	go func() { defer close(served); srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-served })
	return l
}

func TestOneClientCannotHoldEveryWatch(t *testing.T) {
	const asked, allowed = 5000, watchesPerClientDefault
	s := start(t, Config{})
	s.put("w", "1")
	index := s.do("GET", "/v1/kv/w", "").header.Get("X-Consul-Index")
	l := startPipes(t, s)
	refused, woken := make(chan string, asked), make(chan string, asked)
	var wg sync.WaitGroup
	var failed atomic.Int64
	for range asked {
		conn := l.dial("10.0.0.9:1000")
		wg.Go(func() {
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(5 * patience)) // it is held until all 5,000 were answered
			fmt.Fprintf(conn, "GET /v1/kv/w?wait=10m&index=%s HTTP/1.1\r\nHost: localhost\r\n\r\n", index)
			head := make([]byte, 512)
			n, err := io.ReadAtLeast(conn, head, 12)
			switch text := string(head[:n]); {
			case err != nil:
				failed.Add(1)
			case strings.HasPrefix(text, "HTTP/1.1 429"):
				refused <- text
			case strings.HasPrefix(text, "HTTP/1.1 200"):
				woken <- text
			}
		})
	}
	until(t, "all over the limit are refused", func() bool { return len(refused) == asked-allowed })
	if got := s.h.watches.total(); got != allowed {
		t.Errorf("%d watches are held, the limit is %d", got, allowed)
	}
	for range asked - allowed {
		if text := <-refused; !strings.Contains(text, "\r\nRetry-After: ") {
			t.Fatalf("no Retry-After: %q", text)
		}
	}
	// The same client still reads and writes, another one still watches.
	for _, req := range []string{"GET /v1/kv/w HTTP/1.1", "PUT /v1/kv/x HTTP/1.1"} {
		if got := exchange(t, l, "10.0.0.9:2000", req); !strings.HasPrefix(got, "HTTP/1.1 200") {
			t.Errorf("%s: %q", req, got)
		}
	}
	if got := exchange(t, l, "10.0.0.10:1", "GET /v1/kv/w?wait=10ms&index="+index+" HTTP/1.1"); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("another client: %q", got)
	}
	s.put("w", "2")
	wg.Wait()
	if len(woken) != allowed || failed.Load() != 0 {
		t.Errorf("%d watches were woken, want %d; %d failed", len(woken), allowed, failed.Load())
	}
	until(t, "the watches are given back", func() bool { return s.h.watches.total() == 0 })
}

// exchange sends one request without a body and returns the beginning of the answer.
func exchange(t *testing.T, l *pipeListener, from, request string) string {
	t.Helper()
	conn := l.dial(from)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "%s\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", request)
	b, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("%s: %v", request, err)
	}
	return string(b)
}

func TestABlockedQueryIsToldThatTheAgentStops(t *testing.T) {
	s := start(t, Config{})
	s.put("w", "1")
	index := s.do("GET", "/v1/kv/w", "").header.Get("X-Consul-Index")
	ctx, stop := context.WithCancel(t.Context())
	w := &recorder{header: http.Header{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		req, _ := http.NewRequestWithContext(ctx, "GET", s.url+"/v1/kv/w?wait=10m&index="+index, nil)
		s.h.ServeHTTP(w, req)
	}()
	until(t, "the query blocks", func() bool { return s.h.watches.total() == 1 })
	stop()
	<-done
	if w.status != 503 || w.header.Get("Retry-After") == "" {
		t.Errorf("%d %v %q", w.status, w.header, w.body.String())
	}
}

func TestOneClientCannotHoldEveryConnection(t *testing.T) {
	s := start(t, Config{Limits: Limits{ConnsPerClient: 3}})
	l := startPipes(t, s)
	var held []net.Conn
	for range 3 {
		held = append(held, l.dial("10.0.0.9:1"))
	}
	until(t, "three are counted", func() bool { return s.h.conns.total() == 3 })
	got := exchange(t, l, "10.0.0.9:2", "GET /v1/status/leader HTTP/1.1")
	if !strings.HasPrefix(got, "HTTP/1.1 429") || !strings.Contains(got, "Retry-After") || !strings.Contains(got, "Connection: close") {
		t.Errorf("the fourth: %q", got)
	}
	if got := exchange(t, l, "10.0.0.10:1", "GET /v1/status/leader HTTP/1.1"); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("another client: %q", got)
	}
	held[0].Close()
	until(t, "one is given back", func() bool { return s.h.conns.total() == 2 })
	if got := exchange(t, l, "10.0.0.9:3", "GET /v1/status/leader HTTP/1.1"); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("after one was closed: %q", got)
	}
	for _, c := range held {
		c.Close()
	}
	until(t, "all are given back", func() bool { return s.h.conns.total() == 0 })
}
