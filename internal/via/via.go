// Package via reaches the HTTP API of an agent through libp2p, for a program that is no member of the
// cluster: it holds no cluster key, and what it may do is for its token to say.
//
// Contract: New reads an address and opens nothing; the first Dial makes a libp2p host with a key of its
// own that nobody keeps, and Close ends it. Each Dial is one stream of /debros/http/1.0.0, which carries
// what a TCP connection to ports.http carries. Errors of Dial are *Error, of one line.
package via

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	tls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ws "github.com/libp2p/go-libp2p/p2p/transport/websocket"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multistream"
)

// Protocol is the HTTP API on a stream.
const Protocol protocol.ID = "/debros/http/1.0.0"

// dialTimeout bounds one Dial for a caller that has more patience: DNS, connection and stream.
const dialTimeout = 15 * time.Second

// Peer is an agent to talk to. It is safe for concurrent use.
type Peer struct {
	info peer.AddrInfo

	mu     sync.Mutex // protects the following
	closed bool
	host   host.Host // nil before the first Dial
}

// New reads one or more addresses of one agent, separated by commas. Each ends in /p2p/<id>.
func New(addrs string) (*Peer, error) {
	var list []ma.Multiaddr
	for text := range strings.SplitSeq(addrs, ",") {
		a, err := parse(strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	infos, err := peer.AddrInfosFromP2pAddrs(list...)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q does not end in /p2p/<id>", addrs)
	case len(infos) != 1:
		return nil, fmt.Errorf("%q names %d peers, not one", addrs, len(infos))
	case len(infos[0].Addrs) == 0:
		return nil, fmt.Errorf("%q says who the peer is, but not where", addrs)
	}
	return &Peer{info: infos[0]}, nil
}

// addrBytesMax bounds the text of an address.
const addrBytesMax = 1024

// parse reads a multiaddr. /quic, which libp2p no longer speaks, is read as /quic-v1.
func parse(s string) (ma.Multiaddr, error) {
	if len(s) > addrBytesMax {
		return nil, fmt.Errorf("address longer than %d bytes", addrBytesMax)
	}
	a, err := ma.NewMultiaddr(strings.TrimSuffix(strings.ReplaceAll(s+"/", "/quic/", "/quic-v1/"), "/"))
	if err != nil {
		return nil, fmt.Errorf("%q is not a multiaddr such as /ip4/10.0.0.1/tcp/4001/p2p/12D3…", s)
	}
	return a, nil
}

// ID is the agent's peer id.
func (p *Peer) ID() string { return p.info.ID.String() }

// Dial opens a connection of HTTP. Its form is that of api.Config.Dialer; the network and address are of
// no account, there is one agent.
func (p *Peer) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	h, err := p.open()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	// When to try again is for the caller to say, not for the library's pauses, which would hide the reason.
	if n, ok := h.Network().(interface{ Backoff() *swarm.DialBackoff }); ok {
		n.Backoff().Clear(p.info.ID)
	}
	if err := h.Connect(ctx, p.info); err != nil {
		return nil, &Error{"it is not reached", err, "is the agent running, and is its overlay at that address? 'debros peer-id' there shows both"}
	}
	s, err := h.NewStream(network.WithAllowLimitedConn(ctx, string(Protocol)), p.info.ID, Protocol)
	var unknown multistream.ErrNotSupported[protocol.ID]
	switch {
	case errors.As(err, &unknown):
		return nil, &Error{"it does not serve the HTTP API on streams", err, `set overlay { http = "all" } on that agent`}
	case err != nil:
		return nil, &Error{"it opens no stream", err, "it may hold as many streams as it can: try again later"}
	}
	return conn{s}, nil
}

// open makes the host at its first use.
func (p *Peer) open() (host.Host, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, net.ErrClosed
	}
	if p.host != nil {
		return p.host, nil
	}
	h, err := libp2p.New(
		libp2p.NoListenAddrs, libp2p.EnableRelay(), libp2p.DisableMetrics(), libp2p.DisableIdentifyAddressDiscovery(),
		libp2p.UserAgent("debros-client"),
		libp2p.Security(tls.ID, tls.New), libp2p.Security(noise.ID, noise.New),
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport),
		libp2p.Transport(tcp.NewTCPTransport), libp2p.Transport(quic.NewTransport), libp2p.Transport(ws.New),
	)
	if err != nil {
		return nil, fmt.Errorf("start a libp2p host: %w", err)
	}
	p.host = h
	return h, nil
}

// Close ends every connection. It may be called twice.
func (p *Peer) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.host == nil {
		return nil
	}
	h := p.host
	p.host = nil
	return h.Close()
}

// conn is a stream as a net.Conn.
type conn struct{ network.Stream }

// LocalAddr implements net.Conn.
func (c conn) LocalAddr() net.Addr { return addr{c.Conn().LocalPeer()} }

// RemoteAddr implements net.Conn.
func (c conn) RemoteAddr() net.Addr { return addr{c.Conn().RemotePeer()} }

type addr struct{ id peer.ID }

func (addr) Network() string  { return "libp2p" }
func (a addr) String() string { return a.id.String() }

// Error is why a peer cannot be talked to.
type Error struct {
	what  string
	cause error
	hint  string
}

// Hint is what to do about it.
func (e *Error) Hint() string { return e.hint }

// Unwrap is the library's error.
func (e *Error) Unwrap() error { return e.cause }

// Error implements error. libp2p writes a line for each address, each with the same beginning.
func (e *Error) Error() string {
	var unknown multistream.ErrNotSupported[protocol.ID]
	if errors.As(e.cause, &unknown) {
		return e.what
	}
	lines := strings.Split(strings.TrimSpace(e.cause.Error()), "\n")
	text := strings.TrimSpace(lines[min(1, len(lines)-1)])
	text = strings.TrimPrefix(text, "* ")
	if more := len(lines) - 2; more > 0 {
		text += fmt.Sprintf(" (and %d addresses more)", more)
	}
	return e.what + ": " + text
}
