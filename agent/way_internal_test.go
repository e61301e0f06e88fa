package agent

import (
	"testing"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/debros/debros/agent/overlay"
)

func TestTheBestOfSeveralWaysIsNamed(t *testing.T) {
	relay, punched := overlay.Conn{Transport: "relay", Relayed: true}, overlay.Conn{Transport: "quic-v1", Punched: true}
	direct := overlay.Conn{Transport: "tcp"}
	for _, c := range []struct {
		conns []overlay.Conn
		want  string
	}{{[]overlay.Conn{relay}, "relay"}, {[]overlay.Conn{relay, punched}, "punched"}, {[]overlay.Conn{punched, direct, relay}, "direct"}} {
		if best, ok := bestConn(overlay.Peer{Conns: c.conns}); !ok || viaOf(best) != c.want {
			t.Errorf("%v: %s", c.conns, viaOf(best))
		}
	}
	if _, ok := bestConn(overlay.Peer{}); ok {
		t.Error("a peer without a connection has a best one")
	}
}

func TestAnAgentShowsItsMostPublicAddress(t *testing.T) {
	for want, addrs := range map[string][]string{
		"5.5.5.9":   {"/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/1", "/ip4/5.5.5.9/udp/1/quic-v1"},
		"10.0.0.1":  {"/ip4/10.0.0.2/tcp/1", "/ip4/10.0.0.1/tcp/1", "/ip6/::1/tcp/1"},
		"127.0.0.1": {"/ip4/127.0.0.1/tcp/1", "/ip4/5.5.5.9/tcp/1/p2p/12D3KooWRXaXR8tPgDsuwVVWuYdxtvAZ7f8FvQoN3SNGGAxGFDJr/p2p-circuit"},
		"":          {"/dns4/x/tcp/1"},
	} {
		var list []ma.Multiaddr
		for _, a := range addrs {
			list = append(list, ma.StringCast(a))
		}
		if got := ownAddress(list); got != want {
			t.Errorf("%v: %q, want %q", addrs, got, want)
		}
	}
}
