package overlay

import (
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"
)

// hole passes bytes between two peers until it swallows them: neither end is told, as when a machine is gone.
type hole struct {
	to      string
	swallow atomic.Bool
}

func (h *hole) serve(t *testing.T) (port int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", h.to)
			if err != nil {
				in.Close()
				continue
			}
			t.Cleanup(func() { in.Close(); out.Close() })
			go h.pass(out, in)
			go h.pass(in, out)
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

func (h *hole) pass(to io.Writer, from io.Reader) {
	b := make([]byte, 4<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		if !h.swallow.Load() {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
	}
}

// The regular pings, of which there are none here, would take three intervals.
func TestAMemberThatAnswersNothingIsGivenUpLongBeforeItsPingsFail(t *testing.T) {
	quiet := func(c *Config) { c.PingInterval, c.DiscoveryInterval = time.Hour, time.Hour }
	b := start(t, quiet)
	l, err := b.Listen("/test/1", MembersOnly)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c) }()
		}
	}()
	var real ma.Multiaddr
	for _, addr := range b.sockets() {
		if _, err := addr.ValueForProtocol(ma.P_TCP); err == nil {
			real = addr
		}
	}
	port, err := real.ValueForProtocol(ma.P_TCP)
	if err != nil {
		t.Fatal(err)
	}
	h := &hole{to: net.JoinHostPort("127.0.0.1", port)}
	addr := ma.StringCast("/ip4/127.0.0.1/tcp/" + strconv.Itoa(h.serve(t)) + "/p2p/" + b.ID().String())
	a := start(t, quiet, func(c *Config) { c.Bootstrap = []ma.Multiaddr{addr} })
	eventually(t, "a to know b as a member", func() bool { return a.members.has(b.ID()) })
	c, err := a.Dial(t.Context(), b.ID(), "/test/1")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	echo := make([]byte, 4)
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, echo); err != nil {
		t.Fatal(err)
	}
	h.swallow.Store(true)
	begin := time.Now()
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadFull(c, echo)
	if ne, ok := err.(net.Error); err == nil || ok && ne.Timeout() {
		t.Fatalf("a read from a member that is gone: %v", err)
	}
	t.Logf("given up after %s", time.Since(begin).Round(10*time.Millisecond))
}
