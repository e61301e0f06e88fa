package overlay

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	ma "github.com/multiformats/go-multiaddr"
)

// behindNAT is a node that nobody can dial.
func behindNAT(c *Config) { c.Listen, c.Reachability = nil, ReachabilityPrivate }

func relaying(c *Config) { c.Relay, c.Server = true, true }

// through is the way to a peer by a relay.
func through(relay, to *Overlay) ma.Multiaddr {
	return relay.fullAddrs()[0].Encapsulate(ma.StringCast("/p2p-circuit/p2p/" + to.ID().String()))
}

func TestMembersBehindNATReachEachOtherThroughARelay(t *testing.T) {
	relay := start(t, relaying)
	a, b := start(t, knows(relay), behindNAT), start(t, knows(relay), behindNAT)
	eventually(t, "a reservation", func() bool { return len(a.Self().Relays) == 1 })
	eventually(t, "the way through the relay to be told", func() bool {
		for _, addr := range a.Self().Addrs {
			if relayed(addr) {
				return true
			}
		}
		return false
	})
	eventually(t, "b to be a member for the relay", func() bool { return relay.IsMember(b.ID()) && relay.IsMember(a.ID()) })
	l, err := a.Listen("/test/1.0.0", MembersOnly)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}
	}()
	if _, err := b.Connect(ctxOf(t), through(relay, a)); err != nil {
		t.Fatal(err)
	}
	c, err := b.Dial(ctxOf(t), a.ID(), "/test/1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	data := bytes.Repeat([]byte("x"), 1<<20) // libp2p's default would be cut off at 128 KiB
	go func() { _, _ = c.Write(data); _ = c.(interface{ CloseWrite() error }).CloseWrite() }()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for _, p := range b.Peers() {
		if p.ID == a.ID() && (len(p.Conns) == 0 || !p.Conns[0].Relayed || p.Conns[0].Limited || !p.Member) {
			t.Errorf("the relayed peer is shown as %+v", p)
		}
	}
}

func TestARelayServesMembersOnly(t *testing.T) {
	count := counts(t)
	relay := start(t, relaying)
	a := start(t, knows(relay), behindNAT)
	eventually(t, "a reservation", func() bool { return len(a.Self().Relays) == 1 })
	s := start(t, withSecret("two"), behindNAT)
	ctx := ctxOf(t)
	s.gater.name(relay.ID(), relay.cfg.Listen)
	if err := s.host.Connect(ctx, peer.AddrInfo{ID: relay.ID(), Addrs: relay.cfg.Listen}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Reserve(ctx, s.host, peer.AddrInfo{ID: relay.ID()}); err == nil {
		t.Error("a stranger has a reservation")
	}
	info, err := peer.AddrInfoFromP2pAddr(through(relay, a))
	if err != nil {
		t.Fatal(err)
	}
	s.gater.name(a.ID(), info.Addrs)
	if err := s.host.Connect(ctx, *info); err == nil {
		t.Error("a stranger is relayed")
	}
	if n := count(string(proto.ProtoIDv2Hop)); n < 2 {
		t.Errorf("%d refusals counted", n)
	}
}

// A stranger that opens streams and never says a word takes a bounded number of them, and members go on.
func TestSilentStreamsAreBounded(t *testing.T) {
	t.Parallel() // it waits for a deadline
	a := start(t)
	s := start(t, withSecret("two"))
	s.gater.name(a.ID(), a.cfg.Listen)
	ctx := ctxOf(t)
	if err := s.host.Connect(ctx, peer.AddrInfo{ID: a.ID(), Addrs: a.cfg.Listen}); err != nil {
		t.Fatal(err)
	}
	conn := s.host.Network().ConnsToPeer(a.ID())[0]
	for range 200 {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		if st, err := openOn(ctx, conn, protoMember); err == nil {
			_ = st.SetDeadline(time.Time{}) // held, half open, until the test ends
		}
		cancel()
	}
	held := func() (n int) {
		for _, c := range a.host.Network().ConnsToPeer(s.ID()) {
			for _, st := range c.GetStreams() {
				if st.Protocol() == protoMember && st.Stat().Direction == network.DirInbound {
					n++
				}
			}
		}
		return n
	}
	if n := held(); n > proofStreamsPerPeer {
		t.Errorf("a stranger holds %d streams", n)
	}
	b := start(t, knows(a))
	whole(t, a, b)
	eventually(t, "the silent streams to be reset", func() bool { return held() == 0 })
}

// What is not JSON, or more than it may be, ends the stream and nothing else.
func TestPeerExchangeSurvivesNonsense(t *testing.T) {
	a := start(t)
	b := start(t, knows(a))
	whole(t, a, b)
	for name, in := range map[string][]byte{
		"nothing": nil, "nonsense": []byte("GET / HTTP/1.1\r\n\r\n"), "endless": bytes.Repeat([]byte(" "), 1<<16),
		"negative": []byte(`{"limit":-1}`), "huge": []byte(`{"limit":9223372036854775807}`), "too huge": []byte(`{"limit":9223372036854775808}`),
	} {
		s, err := b.gate.NewStream(ctxOf(t), a.ID(), protoExchange)
		if err != nil {
			t.Fatal(err)
		}
		_ = s.SetDeadline(time.Now().Add(patience))
		_, _ = s.Write(in)
		_ = s.CloseWrite()
		out, _ := io.ReadAll(s)
		_ = s.Reset()
		if len(out) > exchangeReplyMax {
			t.Errorf("%s: %d bytes", name, len(out))
		}
	}
	if _, err := b.askPeers(ctxOf(t), a.ID()); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

// A member that wants more of a relay than there is for one gets no more, and takes nothing from others.
func TestARelayHoldsMembersToItsLimits(t *testing.T) {
	relay := start(t, relaying, func(c *Config) { c.Limits.Reservations, c.Limits.CircuitsPerPeer = 1, 1 })
	a := start(t, knows(relay), behindNAT)
	eventually(t, "a reservation", func() bool { return len(a.Self().Relays) == 1 })
	b, c := start(t, knows(relay), behindNAT), start(t, knows(relay), behindNAT)
	whole(t, relay, a)
	whole(t, relay, b)
	whole(t, relay, c)
	for range 3 {
		if _, err := client.Reserve(ctxOf(t), b.host, peer.AddrInfo{ID: relay.ID()}); err == nil {
			t.Error("a second reservation, where one is the limit")
		}
	}
	if _, err := client.Reserve(ctxOf(t), a.host, peer.AddrInfo{ID: relay.ID()}); err != nil {
		t.Errorf("the first one is not renewed: %v", err)
	}
	if _, err := b.Connect(ctxOf(t), through(relay, a)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Connect(ctxOf(t), through(relay, a)); err == nil {
		t.Error("a second circuit, where one is the limit")
	}
	if !a.IsMember(b.ID()) || !relay.IsMember(c.ID()) {
		t.Error("others lost what they had")
	}
	if err := b.Disconnect(a.ID()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a circuit in the place of the one that ended", func() bool {
		_, err := c.Connect(ctxOf(t), through(relay, a))
		return err == nil
	})
}
