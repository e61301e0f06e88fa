package overlay

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"
)

// relayTag keeps the connection to a relay in use from being let go.
const relayTag = "debros-relay"

// Reservations at relays.
const (
	relaysWanted     = 2
	reserveTimeout   = 10 * time.Second
	reserveEvery     = 5 * time.Second // looks whether one is missing or runs out
	reservationSlack = 5 * time.Minute // renewed as long before its end
)

// relayACL lets members reserve and be reached. libp2p's limits of two minutes and 128 KiB would make a
// relayed connection useless for what members do on it, so there are none: hence members only.
type relayACL struct{ members *members }

// AllowReserve implements relay.ACLFilter.
func (r relayACL) AllowReserve(p peer.ID, _ ma.Multiaddr) bool { return r.allow(p) }

// AllowConnect implements relay.ACLFilter.
func (r relayACL) AllowConnect(src peer.ID, _ ma.Multiaddr, dest peer.ID) bool {
	return r.allow(src) && r.members.has(dest)
}

func (r relayACL) allow(p peer.ID) bool {
	ctx, cancel := context.WithTimeout(context.Background(), gateWait)
	defer cancel()
	if r.members.wait(ctx, p) {
		return true
	}
	countRefused(proto.ProtoIDv2Hop)
	return false
}

// startRelay starts the service, or looks for relays.
func (o *Overlay) startRelay() error {
	if o.cfg.Relay {
		l := o.cfg.Limits
		res := relay.DefaultResources()
		res.MaxReservations, res.MaxCircuits = l.Reservations, l.CircuitsPerPeer
		res.MaxReservationsPerIP, res.MaxReservationsPerASN = l.Reservations, l.Reservations
		r, err := relay.New(o.host, relay.WithResources(res), relay.WithInfiniteLimits(), relay.WithACL(relayACL{o.members}))
		if err != nil {
			return fmt.Errorf("overlay: start the relay: %w", err)
		}
		o.closers = append(o.closers, r.Close)
	}
	if o.rule.loopback || o.cfg.Reachability == ReachabilityPublic || o.cfg.Server && o.cfg.Reachability == ReachabilityAuto {
		return nil // others reach this node
	}
	r := &relayer{o: o, wake: make(chan struct{}, 1), held: map[peer.ID]*client.Reservation{}}
	sub, err := o.host.EventBus().Subscribe(new(event.EvtLocalReachabilityChanged))
	if err != nil {
		return fmt.Errorf("overlay: event bus: %w", err)
	}
	o.relay.Store(r)
	o.closers = append(o.closers, sub.Close)
	o.wg.Go(func() { r.run(o.ctx, sub.Out()) })
	return nil
}

// relayer keeps reservations at relays among the members while this node cannot be reached otherwise.
// libp2p's AutoRelay does the same on public networks only: it advertises no address of a private one, and
// waits for an hour after a failure.
type relayer struct {
	o    *Overlay
	wake chan struct{} // capacity 1: a member came or went

	mu   sync.Mutex // protects the following
	held map[peer.ID]*client.Reservation
}

func (r *relayer) run(ctx context.Context, reachability <-chan any) {
	needed := true // until the contrary is known
	tick := time.NewTicker(reserveEvery)
	defer tick.Stop()
	for {
		select {
		case e, ok := <-reachability:
			if !ok {
				return
			}
			if e, ok := e.(event.EvtLocalReachabilityChanged); ok {
				needed = e.Reachability != network.ReachabilityPublic
			}
		case <-tick.C:
		case <-r.wake:
		case <-ctx.Done():
			return
		}
		if needed {
			r.renew(ctx)
		} else {
			r.keep(func(peer.ID, *client.Reservation) bool { return false })
		}
	}
}

// poke has the reservations looked after now.
func (r *relayer) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// keep drops the reservations for which ok is false, and counts the others.
func (r *relayer) keep(ok func(peer.ID, *client.Reservation) bool) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p, v := range r.held {
		if !ok(p, v) {
			delete(r.held, p)
			r.o.host.ConnManager().Unprotect(p, relayTag)
		}
	}
	return len(r.held)
}

// renew fills up the reservations.
func (r *relayer) renew(ctx context.Context) {
	now := time.Now()
	have := r.keep(func(p peer.ID, v *client.Reservation) bool {
		return r.o.members.has(p) && now.Before(v.Expiration.Add(-reservationSlack))
	})
	for _, p := range r.o.members.list() {
		if have >= relaysWanted || ctx.Err() != nil {
			return
		}
		if r.holds(p) || !r.offers(p) {
			continue
		}
		rctx, cancel := context.WithTimeout(ctx, reserveTimeout)
		v, err := client.Reserve(rctx, r.o.host, peer.AddrInfo{ID: p})
		cancel()
		if err != nil {
			r.o.log.Debug("overlay: reservation", "relay", p, "error", err)
			continue
		}
		r.mu.Lock()
		r.held[p] = v
		r.mu.Unlock()
		have++
		r.o.host.ConnManager().Protect(p, relayTag)
		r.o.log.Info("reachable through a relay", "relay", p)
	}
}

func (r *relayer) holds(p peer.ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held[p] != nil
}

// offers reports whether a peer relays and is connected directly.
func (r *relayer) offers(p peer.ID) bool {
	if ok, err := r.o.host.Peerstore().SupportsProtocols(p, proto.ProtoIDv2Hop); err != nil || len(ok) == 0 {
		return false
	}
	for _, c := range r.o.host.Network().ConnsToPeer(p) {
		if !relayed(c.RemoteMultiaddr()) {
			return true
		}
	}
	return false
}

// addrs are the ways to this node through its relays.
func (r *relayer) addrs() []ma.Multiaddr {
	r.mu.Lock()
	relays := make([]peer.ID, 0, len(r.held))
	for p := range r.held {
		relays = append(relays, p)
	}
	r.mu.Unlock()
	circuit := ma.StringCast("/p2p-circuit")
	var out []ma.Multiaddr
	for _, p := range relays {
		tail := ma.StringCast("/p2p/" + p.String()).Encapsulate(circuit)
		for _, a := range r.o.gater.reaches(p, r.o.host.Peerstore().Addrs(p)) {
			if !relayed(a) {
				out = append(out, a.Encapsulate(tail))
			}
		}
	}
	return out
}
