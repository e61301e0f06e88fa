package overlay

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
)

// gateBusBuffer is how many events may wait for us. libp2p blocks a publisher whose subscriber is full, so
// forwarding does no work of its own.
const gateBusBuffer = 256

// gateBus passes on the host's events: those about peers only when they are members, and that a
// member is connected when it has proven to be one.
type gateBus struct {
	event.Bus
	host    host.Host
	members *members
	sub     event.Subscription

	connectedness event.Emitter
	identified    event.Emitter
	protocols     event.Emitter
	addrs         event.Emitter
	reachability  event.Emitter
	local         event.Emitter
}

func newGateBus(h host.Host, m *members) (*gateBus, error) {
	b := &gateBus{Bus: eventbus.NewBus(), host: h, members: m}
	for _, e := range []struct {
		to   *event.Emitter
		typ  any
		opts []event.EmitterOpt
	}{
		{&b.connectedness, new(event.EvtPeerConnectednessChanged), nil},
		{&b.identified, new(event.EvtPeerIdentificationCompleted), nil},
		{&b.protocols, new(event.EvtPeerProtocolsUpdated), nil},
		{&b.addrs, new(event.EvtLocalAddressesUpdated), []event.EmitterOpt{eventbus.Stateful}},
		{&b.reachability, new(event.EvtLocalReachabilityChanged), []event.EmitterOpt{eventbus.Stateful}},
		{&b.local, new(event.EvtLocalProtocolsUpdated), nil},
	} {
		var err error
		if *e.to, err = b.Bus.Emitter(e.typ, e.opts...); err != nil {
			return nil, fmt.Errorf("overlay: event bus: %w", err)
		}
	}
	var err error
	b.sub, err = h.EventBus().Subscribe([]any{
		new(event.EvtPeerConnectednessChanged), new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerProtocolsUpdated),
		new(event.EvtLocalAddressesUpdated), new(event.EvtLocalReachabilityChanged), new(event.EvtLocalProtocolsUpdated),
	}, eventbus.BufSize(gateBusBuffer), eventbus.Name("debros/overlay"))
	if err != nil {
		return nil, fmt.Errorf("overlay: event bus: %w", err)
	}
	return b, nil
}

// forward passes events on until the subscription is closed.
func (b *gateBus) forward() {
	for e := range b.sub.Out() {
		var err error
		switch e := e.(type) {
		case event.EvtPeerConnectednessChanged:
			// left and joined say when a member comes and goes; here only how it is connected changes.
			if e.Connectedness != network.NotConnected && b.members.has(e.Peer) {
				err = b.connectedness.Emit(e)
			}
		case event.EvtPeerIdentificationCompleted:
			if b.members.has(e.Peer) {
				err = b.identified.Emit(e)
			}
		case event.EvtPeerProtocolsUpdated:
			if b.members.has(e.Peer) {
				err = b.protocols.Emit(e)
			}
		case event.EvtLocalAddressesUpdated:
			err = b.addrs.Emit(e)
		case event.EvtLocalReachabilityChanged:
			err = b.reachability.Emit(e)
		case event.EvtLocalProtocolsUpdated:
			err = b.local.Emit(e)
		}
		if err != nil {
			return // the bus is closed
		}
	}
}

// joined tells that a member is there. What identify found before the proof is told now.
func (b *gateBus) joined(p peer.ID, c network.Conn) {
	state := b.host.Network().Connectedness(p)
	if state == network.NotConnected {
		return
	}
	_ = b.connectedness.Emit(event.EvtPeerConnectednessChanged{Peer: p, Connectedness: state})
	protos, err := b.host.Peerstore().GetProtocols(p)
	if err != nil || len(protos) == 0 {
		return // identify is not done, and tells when it is
	}
	_ = b.identified.Emit(event.EvtPeerIdentificationCompleted{
		Peer: p, Conn: c, Protocols: protos, ListenAddrs: b.host.Peerstore().Addrs(p),
	})
}

func (b *gateBus) left(p peer.ID) {
	_ = b.connectedness.Emit(event.EvtPeerConnectednessChanged{Peer: p, Connectedness: network.NotConnected})
}

func (b *gateBus) close() { _ = b.sub.Close() }
