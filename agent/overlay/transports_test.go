package overlay

import (
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// listenOn makes a node listen on one kind of address only, so that there is no other way to it.
func listenOn(t *testing.T, format string) func(*Config) {
	t.Helper()
	return func(c *Config) {
		port, err := FreePort("127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		a, err := ParseAddr(fmt.Sprintf(format, port))
		if err != nil {
			t.Fatal(err)
		}
		c.Listen = []ma.Multiaddr{a}
	}
}

func TestMembersMeetByEveryTransport(t *testing.T) {
	for name, format := range map[string]string{
		"tcp":          "/ip4/127.0.0.1/tcp/%d",
		"quic":         "/ip4/127.0.0.1/udp/%d/quic-v1",
		"old quic":     "/ip4/127.0.0.1/udp/%d/quic",
		"websocket":    "/ip4/127.0.0.1/tcp/%d/ws",
		"webtransport": "/ip4/127.0.0.1/udp/%d/quic-v1/webtransport",
	} {
		t.Run(name, func(t *testing.T) {
			a := start(t, listenOn(t, format))
			// As 'debros peer-id' shows them: a WebTransport address names its certificates.
			addrs, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: a.ID(), Addrs: a.Self().Addrs})
			if err != nil {
				t.Fatal(err)
			}
			b := start(t, listenOn(t, format), func(c *Config) { c.Bootstrap = addrs })
			eventually(t, "a and b to be members for each other", func() bool { return a.IsMember(b.ID()) && b.IsMember(a.ID()) })
			if _, err := b.pingOnce(ctxOf(t), a.ID()); err != nil {
				t.Error(err)
			}
		})
	}
}
