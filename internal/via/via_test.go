package via

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
)

const someID = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"

func TestAddressesThatNameNoReachablePeerAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "multiaddr",
		"hello":                           "multiaddr",
		"/ip4/127.0.0.1/tcp/4001":         "does not end in /p2p/",
		"/p2p/" + someID:                  "not where",
		"/ip4/1.2.3.4/tcp/1/p2p/nonsense": "multiaddr",
		"/ip4/1.2.3.4/tcp/1/p2p/" + someID + ",/ip4/1.2.3.4/tcp/1/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N": "2 peers",
		"/ip4/1.2.3.4/tcp/1/p2p/" + someID + "/" + strings.Repeat("x", addrBytesMax):                                  "longer",
	} {
		if _, err := New(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{
		"/ip4/127.0.0.1/udp/4001/quic/p2p/" + someID, // as older configurations have it
		" /ip4/127.0.0.1/udp/4001/quic-v1/p2p/" + someID + " , /dns4/example.org/tcp/4001/p2p/" + someID,
	} {
		if p, err := New(text); err != nil || p.ID() != someID {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// remote is another host.
func remote(t *testing.T) (host.Host, string) {
	t.Helper()
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h, h.Addrs()[0].String() + "/p2p/" + h.ID().String()
}

func dialer(t *testing.T, addr string) *Peer {
	t.Helper()
	p, err := New(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func TestADialIsAStreamWithDeadlines(t *testing.T) {
	h, addr := remote(t)
	h.SetStreamHandler(Protocol, func(s network.Stream) {
		line, err := bufio.NewReader(s).ReadString('\n')
		if err == nil {
			_, _ = s.Write([]byte(line)) // and not a word more
		}
	})
	p := dialer(t, addr)
	c, err := p.Dial(t.Context(), "tcp", "ignored:1")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("hello\n")); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	if line, err := r.ReadString('\n'); line != "hello\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := r.ReadByte(); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("reading from a silent peer: %v, want a timeout", err)
	}
	if c.RemoteAddr().String() != h.ID().String() {
		t.Errorf("remote address %s", c.RemoteAddr())
	}
	if err := errors.Join(p.Close(), p.Close()); err != nil {
		t.Error(err)
	}
	if _, err := p.Dial(t.Context(), "", ""); !errors.Is(err, net.ErrClosed) {
		t.Errorf("dial after close: %v", err)
	}
}

func TestErrorsSayInOneLineWhyAndWhatToDo(t *testing.T) {
	_, addr := remote(t)
	dead, deadAddr := remote(t)
	_ = dead.Close()
	for addr, want := range map[string]string{
		addr:     "does not serve the HTTP API",
		deadAddr: "connection refused",
		strings.TrimSuffix(addr, addr[len(addr)-len(someID):]) + someID: "peer id mismatch",
	} {
		p := dialer(t, addr)
		for range 2 { // the second attempt says as much as the first
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			_, err := p.Dial(ctx, "", "")
			cancel()
			var own *Error
			if !errors.As(err, &own) || own.Hint() == "" || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v, want %q", addr, err, want)
			}
		}
	}
}
