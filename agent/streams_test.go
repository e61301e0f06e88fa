package agent_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/agent/config"
	"github.com/debros/debros/api"
	"github.com/debros/debros/internal/via"
)

// overlayAddr is how others reach the overlay of n.
func overlayAddr(n *agenttest.Node) string {
	self := n.Overlay().Self()
	for _, a := range self.Listen {
		if s := a.String(); strings.Contains(s, "/tcp/") {
			return s + "/p2p/" + self.ID.String()
		}
	}
	return ""
}

// stranger is a program that holds no cluster key.
func stranger(t *testing.T, n *agenttest.Node) *via.Peer {
	t.Helper()
	p, err := via.New(overlayAddr(n))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func clientVia(t *testing.T, p *via.Peer) *api.Client {
	t.Helper()
	c, err := api.New(api.Config{Address: "http://" + p.ID(), Dialer: p.Dial, Retry: api.RetryPolicy{Max: -1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestAProgramWithoutTheKeyUsesTheHTTPAPIThroughLibp2p(t *testing.T) {
	t.Parallel()
	n := agenttest.Start(t, agenttest.Spec{Name: "s1", Server: true, Expect: 1, Key: agenttest.Key(), Overlay: true})
	if err := n.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	kv := clientVia(t, stranger(t, n)).KV()
	value := strings.Repeat("a value larger than a window of a stream\n", 10_000)
	if _, err := kv.Put(t.Context(), &api.KVPair{Key: "a", Value: []byte(value)}, nil); err != nil {
		t.Fatal(err)
	}
	pair, meta, err := kv.Get(t.Context(), "a", nil)
	if err != nil || string(pair.Value) != value {
		t.Fatalf("get: %v, %v", pair, err)
	}
	woken := make(chan error, 1)
	go func() {
		pair, _, err := kv.Get(t.Context(), "a", &api.QueryOptions{Index: meta.Index, Wait: agenttest.Patience})
		if err == nil && string(pair.Value) != "b" {
			err = fmt.Errorf("woken by %q", pair.Value)
		}
		woken <- err
	}()
	put(t, n, "a", "b")
	if err := <-woken; err != nil {
		t.Error(err)
	}
	if n := len(n.Overlay().Members()); n != 0 {
		t.Errorf("the program became one of %d members", n)
	}
}

func TestPeersUseTheHTTPAPIOnlyWhereTheConfigurationLetsThem(t *testing.T) {
	t.Parallel()
	key := agenttest.Key()
	for who, want := range map[string]string{
		config.HTTPOff:     "does not serve the HTTP API",
		config.HTTPMembers: "no answer", // a stream that is reset
	} {
		n := agenttest.Start(t, agenttest.Spec{
			Name: "s-" + who, Server: true, Expect: 1, Key: key, Overlay: true, HCL: fmt.Sprintf(`overlay { http = %q }`, who),
		})
		_, err := clientVia(t, stranger(t, n)).Agent().Version(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("http = %q: a stranger's request: %v, want %q", who, err, want)
		}
	}
}

// dialMany opens streams until one is refused, at most limit of them.
func dialMany(t *testing.T, p *via.Peer, limit int, each func(net.Conn) error) (open []net.Conn) {
	t.Helper()
	for len(open) < limit {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		c, err := p.Dial(ctx, "", "")
		cancel()
		if err != nil {
			break
		}
		open = append(open, c)
		if each(c) != nil {
			break
		}
	}
	return open
}

// floodConns is http_max_conns_per_client in the tests of floods.
const floodConns = 8

func TestAFloodOfStreamsOfOnePeerLeavesOthersServed(t *testing.T) {
	t.Parallel()
	n := agenttest.Start(t, agenttest.Spec{
		Name: "s1", Server: true, Expect: 1, Key: agenttest.Key(), Overlay: true, HCL: fmt.Sprintf(`limits { http_max_conns_per_client = %d }`, floodConns),
	})
	if err := n.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	flooder, other := stranger(t, n), stranger(t, n)
	// Each stream asks for something and stays open for the next request.
	answered, tooMany := 0, 0
	ask := func(c net.Conn) error {
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := fmt.Fprintf(c, "GET /v1/status/leader HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			return err
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		switch res.StatusCode {
		case http.StatusOK:
			answered++
		case http.StatusTooManyRequests:
			tooMany++
		}
		return nil
	}
	open := dialMany(t, flooder, 4*floodConns, ask)
	if answered != floodConns || tooMany == 0 {
		t.Errorf("of %d streams %d were answered and %d were told that they are too many; the limit is %d", len(open), answered, tooMany, floodConns)
	}
	if _, err := clientVia(t, other).Agent().Version(t.Context()); err != nil {
		t.Errorf("another peer beside the flood: %v", err)
	}
	for _, c := range open {
		_ = c.Close()
	}
	agenttest.Eventually(t, "the peer to be served again", func() bool {
		c := dialMany(t, flooder, 1, func(net.Conn) error { return nil })
		if len(c) == 0 {
			return false
		}
		defer c[0].Close()
		answered = 0
		return ask(c[0]) == nil && answered == 1
	})
}

func TestStreamsThatSayNothingAreBoundedAndLeaveOthersServed(t *testing.T) {
	t.Parallel()
	n := agenttest.Start(t, agenttest.Spec{
		Name: "s1", Server: true, Expect: 1, Key: agenttest.Key(), Overlay: true, HCL: fmt.Sprintf(`limits { http_max_conns_per_client = %d }`, floodConns),
	})
	silent, other := stranger(t, n), stranger(t, n)
	const limit = 64 * floodConns
	dialMany(t, silent, limit, func(c net.Conn) error { _, err := c.Write([]byte("GET /")); return err })
	const most = 2*floodConns + 4 // identify and its like have streams too
	// One that was refused is counted until its end has gone over.
	agenttest.Eventually(t, fmt.Sprintf("no more than %d streams of one peer", most), func() bool { return streamsOf(n) <= most })
	if _, err := clientVia(t, other).Agent().Version(t.Context()); err != nil {
		t.Errorf("another peer beside the silent one: %v", err)
	}
}

// streamsOf is how many streams the busiest connection of n has.
func streamsOf(n *agenttest.Node) (most int) {
	for _, p := range n.Overlay().Peers() {
		for _, c := range p.Conns {
			most = max(most, c.Streams)
		}
	}
	return most
}
