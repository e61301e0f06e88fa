package pubsub

import (
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// This file is how a bus follows who comes and goes, and time.

// peers are the connected members that can be asked about messages.
func (b *Bus) peers() (out []peer.ID) {
	for _, p := range b.cfg.Host.Network().Peers() {
		if has, err := b.cfg.Host.Peerstore().SupportsProtocols(p, protoMessages); err == nil && len(has) > 0 {
			out = append(out, p)
		}
	}
	return out
}

// follow asks a member that comes what was missed of it, and notes one that goes.
func (b *Bus) follow() {
	for {
		select {
		case e, ok := <-b.events.Out():
			if !ok {
				return
			}
			switch e := e.(type) {
			case event.EvtPeerIdentificationCompleted:
				if slices.Contains(e.Protocols, protoMessages) {
					b.spawn(func() { b.met(e.Peer) })
				}
			case event.EvtPeerProtocolsUpdated:
				if slices.Contains(e.Added, protoMessages) {
					b.spawn(func() { b.met(e.Peer) })
				}
			case event.EvtPeerConnectednessChanged:
				if e.Connectedness == network.NotConnected {
					for _, s := range b.list() {
						s.presence.lost(e.Peer)
					}
				}
			}
		case <-b.ctx.Done():
			return
		}
	}
}

func (b *Bus) housekeep() {
	tick := time.NewTicker(housekeeping)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			for _, s := range b.list() {
				s.housekeep(now)
			}
			b.tidy(now)
		case <-b.ctx.Done():
			return
		}
	}
}

// met asks a member that has come what was missed of it meanwhile.
func (b *Bus) met(p peer.ID) {
	var carriers []*carrier
	for _, s := range b.list() {
		s.presence.found(p)
		for _, c := range s.carriers {
			if c.inbox() != nil {
				carriers = append(carriers, c)
			}
		}
	}
	for len(carriers) > 0 {
		n := min(len(carriers), askCarriersMax)
		rep, frames, err := b.heads(b.ctx, p, carriers[:n])
		if err != nil {
			b.log.Debug("a member that came does not say where it stands", "peer", p, "error", err)
			return
		}
		for i, c := range carriers[:n] {
			in := c.inbox()
			if in == nil {
				continue
			}
			in.do(func() {
				// As if it had said so itself: whatever is missing up to there will be asked for.
				in.receive(&frame{carrier: c.wire, publisher: p, epoch: rep.Epoch, first: rep.Heads[i].Head + 1})
			})
		}
		for _, f := range frames {
			c := b.known(f.carrier)
			if c == nil {
				continue
			}
			c.retained.keep(f.messages[0])
			if in := c.inbox(); in != nil {
				in.do(func() { in.heard(f.messages[0]) })
			}
		}
		carriers = carriers[n:]
	}
}
