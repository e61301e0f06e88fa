package overlay

import (
	"context"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// gateNetwork is the network with members in it only.
type gateNetwork struct {
	network.Network
	members *members

	mu        sync.Mutex // protects the following
	notifiees map[network.Notifiee]*gateNotifiee
}

func newGateNetwork(n network.Network, m *members) *gateNetwork {
	return &gateNetwork{Network: n, members: m, notifiees: map[network.Notifiee]*gateNotifiee{}}
}

// Peers implements network.Dialer.
func (n *gateNetwork) Peers() []peer.ID { return n.members.list() }

// Conns implements network.Dialer.
func (n *gateNetwork) Conns() []network.Conn {
	var out []network.Conn
	for _, p := range n.members.list() {
		out = append(out, n.Network.ConnsToPeer(p)...)
	}
	return out
}

// ConnsToPeer implements network.Dialer.
func (n *gateNetwork) ConnsToPeer(p peer.ID) []network.Conn {
	if !n.members.has(p) {
		return nil
	}
	return n.Network.ConnsToPeer(p)
}

// Connectedness implements network.Dialer.
func (n *gateNetwork) Connectedness(p peer.ID) network.Connectedness {
	if !n.members.has(p) {
		return network.NotConnected
	}
	return n.Network.Connectedness(p)
}

// DialPeer implements network.Dialer.
func (n *gateNetwork) DialPeer(ctx context.Context, p peer.ID) (network.Conn, error) {
	c, err := n.Network.DialPeer(ctx, p)
	if err != nil {
		return nil, err
	}
	return c, n.members.ensure(ctx, p)
}

// NewStream implements network.Network.
func (n *gateNetwork) NewStream(ctx context.Context, p peer.ID) (network.Stream, error) {
	if _, err := n.DialPeer(ctx, p); err != nil {
		return nil, err
	}
	return n.Network.NewStream(ctx, p)
}

// Notify implements network.Dialer.
func (n *gateNetwork) Notify(to network.Notifiee) {
	g := &gateNotifiee{Notifiee: to, net: n, told: map[network.Conn]bool{}}
	n.mu.Lock()
	n.notifiees[to] = g
	n.mu.Unlock()
	n.Network.Notify(g)
}

// StopNotify implements network.Dialer.
func (n *gateNetwork) StopNotify(to network.Notifiee) {
	n.mu.Lock()
	g := n.notifiees[to]
	delete(n.notifiees, to)
	n.mu.Unlock()
	if g != nil {
		n.Network.StopNotify(g)
	}
}

// joined tells the notifiees of the connections of a peer that has just become a member.
func (n *gateNetwork) joined(p peer.ID) {
	n.mu.Lock()
	all := make([]*gateNotifiee, 0, len(n.notifiees))
	for _, g := range n.notifiees {
		all = append(all, g)
	}
	n.mu.Unlock()
	for _, c := range n.Network.ConnsToPeer(p) {
		for _, g := range all {
			g.Connected(n.Network, c)
		}
	}
}

// gateNotifiee hears of each connection once, when its peer is a member.
type gateNotifiee struct {
	network.Notifiee
	net *gateNetwork

	mu   sync.Mutex // protects the following
	told map[network.Conn]bool
}

// Connected implements network.Notifiee.
func (g *gateNotifiee) Connected(_ network.Network, c network.Conn) {
	if !g.net.members.has(c.RemotePeer()) || c.IsClosed() {
		return
	}
	g.mu.Lock()
	told := g.told[c]
	g.told[c] = true
	g.mu.Unlock()
	if !told {
		g.Notifiee.Connected(g.net, c)
	}
}

// Disconnected implements network.Notifiee.
func (g *gateNotifiee) Disconnected(_ network.Network, c network.Conn) {
	g.mu.Lock()
	told := g.told[c]
	delete(g.told, c)
	g.mu.Unlock()
	if told {
		g.Notifiee.Disconnected(g.net, c)
	}
}

// Listen implements network.Notifiee.
func (g *gateNotifiee) Listen(_ network.Network, a ma.Multiaddr) { g.Notifiee.Listen(g.net, a) }

// ListenClose implements network.Notifiee.
func (g *gateNotifiee) ListenClose(_ network.Network, a ma.Multiaddr) {
	g.Notifiee.ListenClose(g.net, a)
}
