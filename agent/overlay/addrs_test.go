package overlay

import (
	"net/netip"
	"strings"
	"testing"

	ma "github.com/multiformats/go-multiaddr"
)

func TestAddressesThatLeadToThisHostAreNotDialled(t *testing.T) {
	public := newAddrRule(ListenAddrs(netip.MustParseAddr("10.0.0.1"), 4001))
	local := newAddrRule(ListenAddrs(netip.MustParseAddr("127.0.0.1"), 4001))
	for text, want := range map[string]bool{
		"/ip4/5.5.5.1/tcp/4001":             true,
		"/ip4/10.0.0.2/udp/4001/quic-v1":    true, // members may share a private network
		"/ip6/2001:db8::1/tcp/4001":         true,
		"/dns4/example.com/tcp/4001":        true,
		"/ip4/127.0.0.1/tcp/4001":           false,
		"/ip4/127.9.9.9/udp/4001/quic-v1":   false,
		"/ip6/::1/tcp/4001":                 false,
		"/ip6/::ffff:127.0.0.1/tcp/4001":    false,
		"/ip4/0.0.0.0/tcp/4001":             false,
		"/ip6/::/tcp/4001":                  false,
		"/ip4/169.254.169.254/tcp/80":       false,
		"/ip6/fe80::1/tcp/4001":             false,
		"/ip4/224.0.0.1/tcp/4001":           false,
		"/ip4/255.255.255.255/tcp/4001":     false,
		"/dns4/localhost/tcp/4001":          false,
		"/dns/LOCALHOST./tcp/4001":          false,
		"/dns4/printer.local/tcp/4001":      false,
		"/dnsaddr/a.localhost/tcp/4001/tls": false,
	} {
		if got := public.usable(ma.StringCast(text)); got != want {
			t.Errorf("%s: usable = %t", text, got)
		}
	}
	if !local.usable(ma.StringCast("/ip4/127.0.0.1/tcp/4001")) {
		t.Error("a node on loopback reaches nobody")
	}
}

func TestQUICAddressesOfOldConfigurationsAreRead(t *testing.T) {
	for text, want := range map[string]string{
		"/ip4/1.2.3.4/udp/4001/quic":             "/ip4/1.2.3.4/udp/4001/quic-v1",
		" /ip4/1.2.3.4/udp/4001/quic-v1 ":        "/ip4/1.2.3.4/udp/4001/quic-v1",
		"/ip6/2001:db8::1/udp/1/quic/p2p/" + pid: "/ip6/2001:db8::1/udp/1/quic-v1/p2p/" + pid,
	} {
		if a, err := ParseAddr(text); err != nil || a.String() != want {
			t.Errorf("%q = %v, %v", text, a, err)
		}
	}
	for _, text := range []string{"", "10.0.0.1:4001", "/ip4/300.1.1.1/tcp/1", "/nonsense/1", "/ip4/1.2.3.4/tcp/99999", strings.Repeat("/ip4/1.2.3.4", 1000)} {
		if a, err := ParseAddr(text); err == nil {
			t.Errorf("%q = %v", text, a)
		}
	}
}

const pid = "12D3KooWRhT5vWYkRMvkxXkqM8ckMfmfFPC1TXtNnWH95obsgDUK"

func FuzzParseAddr(f *testing.F) {
	f.Add("/ip4/1.2.3.4/udp/4001/quic/p2p/" + pid)
	f.Fuzz(func(t *testing.T, s string) {
		if a, err := ParseAddr(s); err == nil {
			_ = newAddrRule([]ma.Multiaddr{a}).usable(a)
		}
	})
}
