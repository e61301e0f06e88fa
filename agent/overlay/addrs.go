package overlay

import (
	"fmt"
	"net/netip"
	"strings"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// addrBytesMax bounds the text of an address; a circuit address with DNS names has a few hundred bytes.
const addrBytesMax = 1024

// ParseAddr reads a multiaddr as people write it. /quic, which libp2p no longer speaks, is read as
// /quic-v1: older configurations have it.
func ParseAddr(s string) (ma.Multiaddr, error) {
	s = strings.TrimSpace(s)
	if len(s) > addrBytesMax {
		return nil, fmt.Errorf("address longer than %d bytes", addrBytesMax)
	}
	parts := strings.Split(s, "/")
	for i, p := range parts {
		if p == "quic" {
			parts[i] = "quic-v1"
		}
	}
	a, err := ma.NewMultiaddr(strings.Join(parts, "/"))
	if err != nil {
		return nil, fmt.Errorf("%q is not a multiaddr such as /ip4/10.0.0.1/tcp/4001/p2p/12D3…: %w", s, err)
	}
	return a, nil
}

// ParseAddrs reads several.
func ParseAddrs(list []string) ([]ma.Multiaddr, error) {
	out := make([]ma.Multiaddr, 0, len(list))
	for _, s := range list {
		a, err := ParseAddr(s)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// ListenAddrs are the addresses for TCP and QUIC on an IP address and port; on the unspecified IPv4
// address, IPv6 too.
func ListenAddrs(ip netip.Addr, port int) []ma.Multiaddr {
	ips := []netip.Addr{ip.WithZone("")}
	if ip.Is4() && ip.IsUnspecified() {
		ips = append(ips, netip.IPv6Unspecified())
	}
	var out []ma.Multiaddr
	for _, ip := range ips {
		out = append(out, HostAddrs(ip, port)...)
	}
	return out
}

// HostAddrs are the addresses for TCP and QUIC of a node at an IP address and port.
func HostAddrs(ip netip.Addr, port int) []ma.Multiaddr {
	proto := "ip4"
	if ip.Is6() {
		proto = "ip6"
	}
	return []ma.Multiaddr{
		ma.StringCast(fmt.Sprintf("/%s/%s/udp/%d/quic-v1", proto, ip, port)),
		ma.StringCast(fmt.Sprintf("/%s/%s/tcp/%d", proto, ip, port)),
	}
}

// addrRule decides which addresses of others are worth dialing. Loopback, link-local and unspecified
// addresses that somebody else tells lead to this host, whatever he means by them: to ports that trust
// loopback. They are used only where the operator (or gossip) named them, and where this node itself
// listens on loopback only, as in development.
type addrRule struct {
	loopback bool
}

func newAddrRule(listen []ma.Multiaddr) addrRule {
	if len(listen) == 0 {
		return addrRule{}
	}
	for _, a := range listen {
		if !manet.IsIPLoopback(a) {
			return addrRule{}
		}
	}
	return addrRule{loopback: true}
}

// usable reports whether an address that another peer told may be dialled.
func (r addrRule) usable(a ma.Multiaddr) bool {
	if ip, err := manet.ToIP(a); err == nil {
		n, ok := netip.AddrFromSlice(ip)
		n = n.Unmap()
		if !ok || n.IsUnspecified() || n.IsMulticast() || n.IsLinkLocalUnicast() || n == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
			return false
		}
		if n.IsLoopback() {
			return r.loopback
		}
	}
	return !localName(a)
}

// localName reports names that resolvers answer with loopback or local addresses.
func localName(a ma.Multiaddr) bool {
	for _, code := range []int{ma.P_DNS, ma.P_DNS4, ma.P_DNS6, ma.P_DNSADDR} {
		if name, err := a.ValueForProtocol(code); err == nil {
			name = strings.TrimSuffix(strings.ToLower(name), ".")
			return name == "localhost" || strings.HasSuffix(name, ".localhost") || strings.HasSuffix(name, ".local")
		}
	}
	return false
}

func (r addrRule) filter(addrs []ma.Multiaddr) []ma.Multiaddr {
	out := make([]ma.Multiaddr, 0, len(addrs))
	for _, a := range addrs {
		if r.usable(a) {
			out = append(out, a)
		}
	}
	return out
}

// relayed reports an address that goes through a relay.
func relayed(a ma.Multiaddr) bool {
	_, err := a.ValueForProtocol(ma.P_CIRCUIT)
	return err == nil
}

// private reports an address of a private network (RFC 1918 and its like).
func private(a ma.Multiaddr) bool { return manet.IsPrivateAddr(a) && !manet.IsIPLoopback(a) }
