package overlay

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/gologshim"
	"github.com/libp2p/go-libp2p/p2p/host/observedaddrs"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	tls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ws "github.com/libp2p/go-libp2p/p2p/transport/websocket"
	webtransport "github.com/libp2p/go-libp2p/p2p/transport/webtransport"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/debros/debros/structs"
)

// dialTimeout bounds one attempt to reach a peer (N48).
const dialTimeout = 30 * time.Second

// connGrace is how long a new connection is safe from being let go: a proof has to fit in.
const connGrace = 30 * time.Second

// libraryOnce sets what go-libp2p keeps for the process.
var libraryOnce sync.Once

// setLibrary lets an address be believed when one peer reports it: libp2p waits for four, which a small
// cluster does not have. Its own log goes to ours, warnings and worse.
func setLibrary(log *slog.Logger) {
	libraryOnce.Do(func() {
		observedaddrs.ActivationThresh = 1
		gologshim.SetDefaultHandler(quiet{log.With("component", "libp2p").Handler()})
	})
}

func newHost(c *Config, g *gater, holes *punched, announce func([]ma.Multiaddr) []ma.Multiaddr) (host.Host, error) {
	setLibrary(c.Logger)
	key, err := crypto.UnmarshalEd25519PrivateKey(c.Key)
	if err != nil {
		return nil, fmt.Errorf("overlay: node key: %w", err)
	}
	limits, err := newResourceManager(c.Limits, c.Network)
	if err != nil {
		return nil, err
	}
	high := c.Limits.ConnsMax * 3 / 4
	conns, err := connmgr.NewConnManager(high*3/4, high, connmgr.WithGracePeriod(connGrace))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("overlay: connection manager: %w", err), limits.Close())
	}
	opts := []libp2p.Option{
		libp2p.Identity(key),
		libp2p.NoListenAddrs, // the handlers of our protocols come first: listen
		libp2p.EnableRelay(),
		libp2p.UserAgent("debros/" + c.Build),
		libp2p.ProtocolVersion("debros/" + c.Network),
		libp2p.Security(tls.ID, tls.New), libp2p.Security(noise.ID, noise.New),
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport),
		libp2p.Transport(tcp.NewTCPTransport), libp2p.Transport(quic.NewTransport), libp2p.Transport(ws.New),
		libp2p.ResourceManager(limits), libp2p.ConnectionManager(conns), libp2p.ConnectionGater(g),
		libp2p.WithDialTimeout(dialTimeout),
		libp2p.SwarmOpts(swarm.WithDialRanker(rankAddrs)),
		libp2p.AddrsFactory(announce),
		libp2p.DisableMetrics(), // of its own; ours are in the process's one registry
	}
	if uses(c.Listen, ma.P_WEBTRANSPORT) {
		opts = append(opts, libp2p.Transport(webtransport.New))
	}
	if !g.rule.loopback { // nobody on loopback is behind a NAT
		opts = append(opts, libp2p.EnableHolePunching(holepunch.WithTracer(holes)), libp2p.EnableAutoNATv2(), libp2p.EnableNATService())
	}
	if c.PortMapping {
		opts = append(opts, libp2p.NATPortMap())
	}
	switch c.Reachability {
	case ReachabilityPublic:
		opts = append(opts, libp2p.ForceReachabilityPublic())
	case ReachabilityPrivate:
		opts = append(opts, libp2p.ForceReachabilityPrivate())
	case ReachabilityAuto:
	}
	h, err := libp2p.New(opts...)
	if err != nil {
		return nil, fmt.Errorf("overlay: start host: %w", err)
	}
	return h, nil
}

func uses(addrs []ma.Multiaddr, code int) bool {
	for _, a := range addrs {
		if _, err := a.ValueForProtocol(code); err == nil {
			return true
		}
	}
	return false
}

// listen opens every address, or fails: libp2p itself is content with one of them.
func listen(h host.Host, addrs []ma.Multiaddr) error {
	for _, a := range addrs {
		err := h.Network().Listen(a)
		switch {
		case err == nil:
		case errors.Is(err, syscall.EAFNOSUPPORT) || unspecified6(a) && errors.Is(err, syscall.EADDRNOTAVAIL):
			if !unspecified6(a) {
				return listenError(a, err)
			}
			// The host has no IPv6, and nobody asked for more than what there is.
		case errors.Is(err, syscall.EADDRINUSE):
			return structs.Errorf(structs.KindInvalid, "overlay address %s is in use by another program", a).
				WithHint("set ports { overlay = … } (-overlay-port) to a free port, or -1 to run without the overlay")
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			return structs.Errorf(structs.KindInvalid, "no interface of this machine has the overlay address %s", a).
				WithHint("set overlay { listen = […] } to addresses of this machine")
		default:
			return listenError(a, err)
		}
	}
	return nil
}

func listenError(a ma.Multiaddr, err error) error {
	return structs.Errorf(structs.KindInvalid, "the overlay cannot listen on %s: %v", a, err).
		WithHint("overlay { listen } takes /ip4/<ip>/tcp/<port>, /ip4/<ip>/udp/<port>/quic-v1, …/ws and …/webtransport")
}

func unspecified6(a ma.Multiaddr) bool {
	ip, err := manet.ToIP(a)
	return err == nil && ip.To4() == nil && ip.IsUnspecified()
}

// freePortTries bounds the search for a port that is free for TCP and UDP.
const freePortTries = 16

// FreePort finds a port of ip that is free for TCP and UDP: a node is known by one number for both. Another
// program may take it before it is listened on; that is a start that fails.
func FreePort(ip string) (int, error) {
	var err error
	for range freePortTries {
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort(ip, "0")); err != nil {
			break
		}
		port := l.Addr().(*net.TCPAddr).Port
		var p net.PacketConn
		p, err = net.ListenPacket("udp", net.JoinHostPort(ip, strconv.Itoa(port)))
		_ = l.Close()
		if err == nil {
			_ = p.Close()
			return port, nil
		}
	}
	return 0, fmt.Errorf("overlay: find a free port on %s: %w", ip, err)
}
