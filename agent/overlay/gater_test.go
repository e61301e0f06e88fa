package overlay

import (
	"net/netip"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// What a connected stranger says of its addresses would make this node knock at doors of its own network.
func TestAddressesThatAStrangerTellsOfItselfAreHeldToMore(t *testing.T) {
	a := start(t)
	member, stranger := start(t, knows(a)), start(t, withSecret("two"))
	whole(t, a, member)
	stranger.gater.name(a.ID(), a.cfg.Listen)
	if err := stranger.host.Connect(ctxOf(t), peer.AddrInfo{ID: a.ID(), Addrs: a.cfg.Listen}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stranger to be connected", func() bool { return a.members.stranger(stranger.ID()) })
	g := newGater(newAddrRule(ListenAddrs(netip.MustParseAddr("10.0.0.1"), 4001))) // as a node that is not on loopback
	g.members.Store(a.members)
	for _, c := range []struct {
		addr             string
		member, stranger bool
	}{
		{"/ip4/5.5.5.1/tcp/4001", true, true},
		{"/ip4/10.0.0.7/tcp/22", true, false},
		{"/ip4/192.168.1.1/udp/4001/quic-v1", true, false},
		{"/ip4/100.64.0.1/tcp/4001", true, false},
		{"/ip6/fd00::1/tcp/4001", true, false},
		{"/ip4/127.0.0.1/tcp/5001", false, false},
		{"/ip4/169.254.169.254/tcp/80", false, false},
		{"/ip6/::1/tcp/5001", false, false},
		{"/dns4/localhost/tcp/5001", false, false},
	} {
		addr := ma.StringCast(c.addr)
		if got := g.InterceptAddrDial(member.ID(), addr); got != c.member {
			t.Errorf("%s of a member: dialled = %t", addr, got)
		}
		if got := g.InterceptAddrDial(stranger.ID(), addr); got != c.stranger {
			t.Errorf("%s of a stranger: dialled = %t", addr, got)
		}
	}
}

// Addresses that are none, or lead nowhere, cost the one who dials them an error and nothing else.
func TestAddressesThatLeadNowhereCostAnError(t *testing.T) {
	t.Parallel() // it waits for dials to fail
	a := start(t)
	b := start(t, knows(a))
	whole(t, a, b)
	ghosts := map[peer.ID]string{}
	for i, text := range []string{
		"/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/udp/1/quic-v1", "/ip4/127.0.0.1/tcp/1/ws", "/dns4/does-not-exist.invalid/tcp/4001",
		"/ip4/127.0.0.1/tcp/1/p2p/" + pid + "/p2p-circuit", "/unix/tmp/x", "/ip4/127.0.0.1", "/tcp/4001", "/p2p-circuit",
	} {
		_, ghost := testKey(t, byte(10+i))
		ghosts[ghost] = text
		a.keeper.add(peer.AddrInfo{ID: ghost, Addrs: []ma.Multiaddr{ma.StringCast(text)}}, fromLearned)
	}
	within(t, 2*time.Minute, "all of them to be tried", func() bool {
		for _, p := range a.Peers() {
			if ghosts[p.ID] != "" && p.Err == nil {
				return false
			}
		}
		return true // or forgotten
	})
	if !a.IsMember(b.ID()) {
		t.Error("a member was lost over them")
	}
}
