package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/hashicorp/go-sockaddr"
	"github.com/hashicorp/go-sockaddr/template"

	"github.com/debros/debros/agent/config/settings"
)

// Addresses are what the address keys came to.
type Addresses struct {
	Bind      netip.Addr
	Advertise netip.Addr
	Client    []netip.Addr
	// Note says how an address was chosen where the configuration names none, for the log; "" = nothing was chosen.
	Note string
}

// local is an address of this host.
type local struct {
	addr netip.Addr
	name string // of the interface
}

// environment is what the host tells us. Tests have hosts of their own.
type environment struct {
	hostname func() (string, error)
	// route is the source address that the kernel gives to packets for the default route.
	route func() (netip.Addr, bool)
	// addrs are the host's addresses, those of interfaces that are up.
	addrs func() ([]local, error)
	// expand evaluates a go-sockaddr template.
	expand func(string) (string, error)
	// canBind tries whether a socket can be bound to the address.
	canBind func(netip.Addr) error
}

func host() environment {
	return environment{hostname: os.Hostname, route: defaultRoute, addrs: hostAddrs, expand: template.Parse, canBind: canBind}
}

// defaultRoute asks the kernel by connecting a UDP socket, which sends nothing. The addresses are
// reserved for documentation, so only the default route leads to them. go-sockaddr would run the
// program ip, which small images do not have.
func defaultRoute() (netip.Addr, bool) {
	for _, to := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} {
		c, err := net.Dial("udp", to)
		if err != nil {
			continue
		}
		a := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")
		_ = c.Close() // nothing was sent on it
		if !a.IsLoopback() && !a.IsUnspecified() && !a.IsLinkLocalUnicast() {
			return a, true
		}
	}
	return netip.Addr{}, false
}

func hostAddrs() ([]local, error) {
	ifs, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	var out []local
	for _, i := range ifs {
		addrs, err := i.Addrs()
		if err != nil || i.Flags&net.FlagUp == 0 {
			continue // it went away, or is of no use
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				out = append(out, local{p.Addr().Unmap(), i.Name})
			}
		}
	}
	return out, nil
}

func canBind(a netip.Addr) error {
	l, err := net.Listen("tcp", netip.AddrPortFrom(a, 0).String())
	if err != nil {
		return err
	}
	return l.Close()
}

// chooseBind is the bind address where none is configured: the default route's; else the first
// private one; else loopback. The note says which and why.
func (e environment) chooseBind() (netip.Addr, string) {
	addrs, err := e.addrs()
	if a, ok := e.route(); ok {
		name := "?"
		for _, l := range addrs {
			if l.addr == a {
				name = l.name
			}
		}
		return a, fmt.Sprintf("bind_addr is not set: chose %s of %s, the interface of the default route", a, name)
	}
	if err == nil {
		// IPv4 first, as with the route: most networks without a default route have only that.
		for _, want4 := range []bool{true, false} {
			for _, l := range addrs {
				if l.addr.Is4() == want4 && isPrivate(l.addr) {
					return l.addr, fmt.Sprintf("bind_addr is not set and there is no default route: chose %s of %s, the first private address", l.addr, l.name)
				}
			}
		}
	}
	a := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	return a, "bind_addr is not set and there is neither a default route nor a private address: chose loopback, which no other machine reaches"
}

// isPrivate reports whether a is of RFC 1918, 4193 or 6598 (carrier-grade NAT, as overlays of clouds use).
func isPrivate(a netip.Addr) bool {
	return a.IsPrivate() || netip.MustParsePrefix("100.64.0.0/10").Contains(a)
}

// templateBytesMax bounds a go-sockaddr template, which is a program.
const templateBytesMax = 1 << 10

// resolve evaluates templates in s and reads the addresses it then holds, separated by spaces.
func (e environment) resolve(s string) ([]netip.Addr, error) {
	text := s
	if strings.Contains(s, "{{") {
		if len(s) > templateBytesMax {
			return nil, fmt.Errorf("template longer than %d bytes", templateBytesMax)
		}
		var err error
		if text, err = e.expand(s); err != nil {
			return nil, fmt.Errorf("template %s: %w", settings.Quote(s), err)
		}
	}
	var out []netip.Addr
	for _, w := range strings.Fields(text) {
		a, err := netip.ParseAddr(w)
		if err != nil && strings.Contains(w, "/") { // {{ GetAllInterfaces | join "address" }} and the like may give prefixes
			if ip, perr := sockaddr.NewIPAddr(w); perr == nil {
				a, err = netip.ParseAddr(ip.NetIP().String())
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s is not an IP address", settings.Quote(w))
		}
		out = append(out, a.Unmap())
	}
	if len(out) == 0 {
		if text != s {
			return nil, fmt.Errorf("template %s matches no address of this host", settings.Quote(s))
		}
		return nil, errors.New("no address")
	}
	return out, nil
}
