package overlay

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/debros/debros/structs"
)

// memberTag makes the connection manager let strangers go before members.
const (
	memberTag      = "debros-member"
	memberTagValue = 1000
)

// Overlay is this node among its peers. Its methods are safe for concurrent use.
type Overlay struct {
	cfg     Config
	log     *slog.Logger
	rule    addrRule
	started time.Time

	host    host.Host
	gater   *gater
	punched *punched
	members *members
	gate    *gate
	keeper  *keeper
	table   *table                  // nil: no part in it
	relay   atomic.Pointer[relayer] // nil: others reach this node without one
	closers []func() error          // of parts that are there by configuration

	events *eventQueue
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	close  func() error // once

	conflictOnce sync.Once
	saveCh       chan struct{} // capacity 1: members came

	mu        sync.Mutex // protects the following
	listeners map[protocol.ID]*listener
}

// Start opens the sockets, joins in, and returns. An address that cannot be listened on is a
// *structs.Error of KindInvalid. Nothing is left behind on an error.
func Start(cfg Config) (*Overlay, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	o := &Overlay{
		cfg: cfg, log: cfg.Logger.With("component", "overlay"), rule: newAddrRule(cfg.Listen), started: time.Now(),
		events: newEventQueue(), saveCh: make(chan struct{}, 1), listeners: map[protocol.ID]*listener{},
	}
	o.gater, o.punched = newGater(o.rule), newPunched()
	o.ctx, o.cancel = context.WithCancel(context.Background())
	o.close = sync.OnceValue(o.shutdown)
	if err := o.start(); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

func (o *Overlay) start() (err error) {
	if o.host, err = newHost(&o.cfg, o.gater, o.punched, o.announced); err != nil {
		return err
	}
	o.host.Network().Notify(&network.NotifyBundle{DisconnectedF: o.punched.disconnected})
	o.members = newMembers(o.ctx, o.host, o.cfg.Secret, o.events.put)
	o.gater.members.Store(o.members)
	if o.gate, err = newGate(o.host, o.members); err != nil {
		return err
	}
	o.wg.Go(o.gate.bus.forward)
	o.gate.SetStreamHandler(protoExchange, o.serveExchange)
	o.keeper = newKeeper(o)
	if o.cfg.DHT {
		if o.table, err = newTable(o); err != nil {
			return err
		}
		o.wg.Go(func() { o.table.advertise(o.ctx) })
	}
	if err := o.startRelay(); err != nil {
		return err
	}
	if err := listen(o.host, o.cfg.Listen); err != nil {
		return err
	}
	if err := o.startMDNS(); err != nil {
		return err
	}
	bootstrap, err := bootstrapPeers(o.cfg.Bootstrap)
	if err != nil {
		return err
	}
	for _, info := range bootstrap {
		o.keeper.add(info, fromBootstrap)
	}
	if o.cfg.PeersFile != "" {
		o.loadPeers()
		o.wg.Go(func() { o.savePeers(o.ctx) })
	}
	o.wg.Go(o.follow)
	o.wg.Go(func() { o.keeper.run(o.ctx) })
	o.wg.Go(func() { o.discover(o.ctx) })
	return nil
}

// follow works off what happens to members, in order.
func (o *Overlay) follow() {
	for {
		select {
		case <-o.events.ready:
			for _, e := range o.events.take() {
				o.onMember(e)
			}
		case <-o.ctx.Done():
			return
		}
	}
}

func (o *Overlay) onMember(e memberEvent) {
	switch {
	case e.err != nil:
		if errors.Is(e.err, errKeyInUse) {
			o.conflictOnce.Do(o.cfg.Conflict)
		}
		o.log.Debug("overlay: no proof of membership", "peer", e.peer, "error", e.err)
	case e.joined:
		o.host.ConnManager().TagPeer(e.peer, memberTag, memberTagValue)
		o.keeper.joined(e.peer)
		o.gate.bus.joined(e.peer, e.conn)
		o.gate.net.joined(e.peer)
		if o.table != nil {
			o.table.poke()
		}
		select {
		case o.saveCh <- struct{}{}:
		default: // it is to be looked already
		}
		o.log.Info("peer is a member", "peer", e.peer, "address", e.conn.RemoteMultiaddr())
	default:
		o.host.ConnManager().UntagPeer(e.peer, memberTag)
		o.keeper.lost(e.peer)
		o.gate.bus.left(e.peer)
		o.log.Info("member is no longer connected", "peer", e.peer)
	}
	if r := o.relay.Load(); r != nil && e.err == nil {
		r.poke()
	}
	countPeers(len(o.members.list()), len(o.host.Network().Peers()))
}

// Neighbor is a member of the LAN as gossip knows it.
type Neighbor struct {
	Info   peer.AddrInfo
	Server bool // kept connected always
}

// SetNeighbors says who is on the LAN now. They need no bootstrap address.
func (o *Overlay) SetNeighbors(list []Neighbor) {
	now := map[peer.ID]source{}
	for _, n := range list {
		from := fromNeighbor
		if n.Server {
			from = fromServer
		}
		now[n.Info.ID] = from
		o.keeper.add(n.Info, from)
	}
	for _, from := range []source{fromNeighbor, fromServer} {
		for p := range o.keeper.of(from) {
			if now[p] != from {
				o.keeper.drop(p, from)
			}
		}
	}
}

// SetOffers says what this node offers, for Providers of others to find.
func (o *Overlay) SetOffers(offers []string) error {
	if err := (advert{Offers: offers}).check(); err != nil {
		return structs.Errorf(structs.KindInvalid, "%v", err)
	}
	if o.table != nil {
		o.table.setOffers(offers)
	}
	return nil
}

// ID is this peer.
func (o *Overlay) ID() peer.ID { return o.host.ID() }

// Host is the host for protocols of members: on it strangers do not exist. Closing it does nothing.
func (o *Overlay) Host() host.Host { return o.gate }

// IsMember reports whether a peer is connected and has proven to be a member.
func (o *Overlay) IsMember(p peer.ID) bool { return o.members.has(p) }

// Members are the connected members.
func (o *Overlay) Members() []peer.ID { return o.members.list() }

// MembersWith are the connected members that serve a protocol, as they say.
func (o *Overlay) MembersWith(pid protocol.ID) (out []peer.ID) {
	for _, p := range o.members.list() {
		if has, err := o.host.Peerstore().SupportsProtocols(p, pid); err == nil && len(has) > 0 {
			out = append(out, p)
		}
	}
	return out
}

// Port is the TCP or UDP port that this node listens on, 0 without one.
func (o *Overlay) Port() int { return portOf(o.cfg.Listen) }

// announced is what others are told: the configured addresses, or those that were found out; and the
// way through relays.
func (o *Overlay) announced(found []ma.Multiaddr) []ma.Multiaddr {
	if len(o.cfg.Announce) > 0 {
		found = o.cfg.Announce
	}
	r := o.relay.Load()
	if r == nil {
		return found
	}
	return append(found[:len(found):len(found)], r.addrs()...)
}

// Close leaves the overlay and waits for everything. It may be called twice.
func (o *Overlay) Close() error { return o.close() }

func (o *Overlay) shutdown() error {
	o.cancel()
	var errs []error
	o.mu.Lock()
	open := make([]net.Listener, 0, len(o.listeners))
	for _, l := range o.listeners {
		open = append(open, l)
	}
	o.mu.Unlock()
	for _, l := range open {
		errs = append(errs, l.Close())
	}
	for i := len(o.closers) - 1; i >= 0; i-- {
		errs = append(errs, o.closers[i]())
	}
	if o.table != nil {
		errs = append(errs, o.table.dht.Close())
	}
	if o.gate != nil && o.gate.bus != nil {
		o.gate.bus.close()
	}
	if o.host != nil {
		errs = append(errs, o.host.Close())
	}
	if o.members != nil {
		o.members.close()
	}
	o.wg.Wait()
	return errors.Join(errs...)
}
