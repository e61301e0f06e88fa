package overlay

import (
	"context"
	"fmt"
	"io"
	"time"

	metrics "github.com/hashicorp/go-metrics"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// gateWait bounds how long a stream waits for a proof that is under way when it comes.
const gateWait = proofTimeout

// gate is the host as members see it: every way to another peer goes through the registry. It is
// handed to libraries that must serve nobody else. On it a stranger is not connected, opens no stream, and
// raises no event.
type gate struct {
	host.Host
	members *members
	net     *gateNetwork
	bus     *gateBus
}

var _ host.Host = (*gate)(nil)

func newGate(h host.Host, m *members) (*gate, error) {
	g := &gate{Host: h, members: m, net: newGateNetwork(h.Network(), m)}
	var err error
	g.bus, err = newGateBus(h, m)
	return g, err
}

// Network implements host.Host.
func (g *gate) Network() network.Network { return g.net }

// EventBus implements host.Host.
func (g *gate) EventBus() event.Bus { return g.bus }

// Mux implements host.Host.
func (g *gate) Mux() protocol.Switch { return gateMux{g.Host.Mux(), g} }

// Connect implements host.Host: it fails for a peer that does not prove to be a member.
func (g *gate) Connect(ctx context.Context, pi peer.AddrInfo) error {
	if err := g.Host.Connect(ctx, pi); err != nil {
		return err
	}
	return g.members.ensure(ctx, pi.ID)
}

// NewStream implements host.Host.
func (g *gate) NewStream(ctx context.Context, p peer.ID, pids ...protocol.ID) (network.Stream, error) {
	if !g.members.has(p) {
		if nodial, _ := network.GetNoDial(ctx); !nodial {
			if err := g.Host.Connect(ctx, peer.AddrInfo{ID: p}); err != nil {
				return nil, err
			}
		}
		if err := g.members.ensure(ctx, p); err != nil {
			return nil, fmt.Errorf("open a stream to %s: %w", p, err)
		}
	}
	return g.Host.NewStream(ctx, p, pids...)
}

// SetStreamHandler implements host.Host.
func (g *gate) SetStreamHandler(pid protocol.ID, handler network.StreamHandler) {
	g.Host.SetStreamHandler(pid, g.guard(handler))
}

// SetStreamHandlerMatch implements host.Host.
func (g *gate) SetStreamHandlerMatch(pid protocol.ID, match func(protocol.ID) bool, handler network.StreamHandler) {
	g.Host.SetStreamHandlerMatch(pid, match, g.guard(handler))
}

// Close implements host.Host. The host is the overlay's, and users of the gate do not close it.
func (g *gate) Close() error { return nil }

func (g *gate) guard(handler network.StreamHandler) network.StreamHandler {
	return func(s network.Stream) {
		if g.admits(s) {
			handler(s)
		}
	}
}

// admits resets and counts the stream of a peer that is no member.
func (g *gate) admits(s network.Stream) bool {
	ctx, cancel := context.WithTimeout(context.Background(), gateWait)
	defer cancel()
	if g.members.wait(ctx, s.Conn().RemotePeer()) {
		return true
	}
	countRefused(s.Protocol())
	_ = s.ResetWithError(network.StreamProtocolViolation)
	return false
}

// countRefused counts what a stranger tried. The protocols are those that this node serves, so their
// number is ours.
func countRefused(pid protocol.ID) {
	metrics.IncrCounterWithLabels([]string{"overlay", "refused"}, 1, []metrics.Label{{Name: "protocol", Value: string(pid)}})
}

// gateMux guards handlers that are set without the host.
type gateMux struct {
	protocol.Switch
	gate *gate
}

func (m gateMux) guard(handler protocol.HandlerFunc) protocol.HandlerFunc {
	return func(pid protocol.ID, rwc io.ReadWriteCloser) error {
		if s, ok := rwc.(network.Stream); !ok || !m.gate.admits(s) {
			return errNotMember
		}
		return handler(pid, rwc)
	}
}

// AddHandler implements protocol.Router.
func (m gateMux) AddHandler(pid protocol.ID, handler protocol.HandlerFunc) {
	m.Switch.AddHandler(pid, m.guard(handler))
}

// AddHandlerWithFunc implements protocol.Router.
func (m gateMux) AddHandlerWithFunc(pid protocol.ID, match func(protocol.ID) bool, handler protocol.HandlerFunc) {
	m.Switch.AddHandlerWithFunc(pid, match, m.guard(handler))
}

// shortly bounds an operation whose caller gave no deadline: NewStream on a limited connection would
// block for ever.
func shortly(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}
