package agent

import (
	"cmp"
	"net/netip"
	"slices"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/debros/debros/agent/overlay"
)

// viaOf is how a connection goes, in a word.
func viaOf(c overlay.Conn) string {
	switch {
	case c.Relayed:
		return "relay"
	case c.Punched:
		return "punched"
	}
	return "direct"
}

// worse reports whether connection a is a worse way than b: a direct one is better than one by a relay. Among equals the
// transport decides, so that what is told of a node does not change with the order of its connections.
func worse(a, b overlay.Conn) bool {
	rank := func(c overlay.Conn) int { return slices.Index([]string{"direct", "punched", "relay"}, viaOf(c)) }
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Transport, b.Transport)) > 0
}

// bestConn is the best of a peer's connections; false for one that has none.
func bestConn(p overlay.Peer) (best overlay.Conn, ok bool) {
	for _, c := range p.Conns {
		if !ok || worse(best, c) {
			best, ok = c, true
		}
	}
	return best, ok
}

// hostOf is the host of an address, as members show it.
func hostOf(m ma.Multiaddr) string {
	if ip, err := manet.ToIP(m); err == nil {
		return ip.String()
	}
	return m.String()
}

// ownAddress is the address to show for an agent that is told to others under several: a public one before one of a private
// network, "" for one that can only be relayed. The same list gives the same answer in any order.
func ownAddress(addrs []ma.Multiaddr) string {
	var best netip.Addr
	rank := func(a netip.Addr) int {
		switch {
		case a.IsLoopback() || a.IsLinkLocalUnicast():
			return 2
		case a.IsPrivate():
			return 1
		}
		return 0
	}
	for _, m := range addrs {
		if _, err := m.ValueForProtocol(ma.P_CIRCUIT); err == nil {
			continue // the address is the relay's
		}
		ip, err := manet.ToIP(m)
		if err != nil {
			continue
		}
		a, _ := netip.AddrFromSlice(ip)
		a = a.Unmap()
		if !best.IsValid() || cmp.Or(cmp.Compare(rank(a), rank(best)), a.Compare(best)) < 0 {
			best = a
		}
	}
	if !best.IsValid() {
		return ""
	}
	return best.String()
}
