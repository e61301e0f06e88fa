package overlay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/debros/debros/structs"
)

// Connect dials a peer and keeps it connected from now on. The address ends in /p2p/<id>.
func (o *Overlay) Connect(ctx context.Context, addr ma.Multiaddr) (peer.ID, error) {
	info, err := peer.AddrInfoFromP2pAddr(addr)
	if err != nil {
		return "", structs.Errorf(structs.KindInvalid, "%s names no peer", addr).
			WithHint("an address ends in /p2p/ and the peer's id; 'debros peer-id' on the other agent shows it")
	}
	if info.ID == o.host.ID() {
		return "", structs.Errorf(structs.KindInvalid, "%s is this agent itself", info.ID)
	}
	o.gater.name(info.ID, info.Addrs)
	switch err := o.connect(ctx, *info); {
	case errors.Is(err, errNotMember):
		o.gater.forget(info.ID)
		return "", structs.Errorf(structs.KindDenied, "%s is reached, but does not hold the key of this cluster", info.ID).
			WithHint("agents of one cluster share one cluster_key and one overlay { network }")
	case err != nil:
		o.gater.forget(info.ID)
		return "", unreachable(info.ID, err)
	}
	o.keeper.add(*info, fromOperator)
	return info.ID, nil
}

// unreachable says in one line what libp2p says in one line for each address.
func unreachable(p peer.ID, err error) error {
	lines := strings.Split(err.Error(), "\n")
	text := strings.TrimSpace(lines[0])
	if len(lines) > 1 {
		text = strings.TrimSpace(lines[1])
		if n := len(lines) - 2; n > 0 {
			text += fmt.Sprintf(" (and %d more addresses)", n)
		}
	}
	return structs.Errorf(structs.KindUnavailable, "peer %s is not reached: %s", p, strings.TrimPrefix(text, "* "))
}

// Disconnect closes the connections to a peer and keeps it no longer. A member of the LAN, a bootstrap peer, or one
// that dials this node comes back.
func (o *Overlay) Disconnect(p peer.ID) error {
	o.keeper.drop(p, fromOperator|told)
	if o.host.Network().Connectedness(p) == network.NotConnected {
		return structs.Errorf(structs.KindNotFound, "peer %s is not connected", p)
	}
	return o.host.Network().ClosePeer(p)
}

// Ping sends n pings to a peer, which is dialled if need be, and calls each with every round trip or
// failure until it returns false.
func (o *Overlay) Ping(ctx context.Context, p peer.ID, n int, each func(time.Duration, error) bool) error {
	if p == o.host.ID() {
		return structs.Errorf(structs.KindInvalid, "%s is this agent itself", p)
	}
	if o.host.Network().Connectedness(p) == network.NotConnected {
		info, err := o.FindPeer(ctx, p)
		if err != nil {
			return err
		}
		if err := o.connect(ctx, info); err != nil {
			return unreachable(p, err)
		}
	}
	for i := range n {
		if i > 0 && sleep(ctx, time.Second) != nil {
			return ctx.Err()
		}
		if !each(o.pingOnce(ctx, p)) {
			return nil
		}
	}
	return nil
}

// FindPeer finds out the addresses of a peer.
func (o *Overlay) FindPeer(ctx context.Context, p peer.ID) (peer.AddrInfo, error) {
	if p == o.host.ID() {
		return peer.AddrInfo{ID: p, Addrs: o.host.Addrs()}, nil
	}
	if o.host.Network().Connectedness(p) != network.NotConnected {
		return o.host.Peerstore().PeerInfo(p), nil
	}
	if o.table == nil {
		return peer.AddrInfo{}, errNoTable()
	}
	return o.table.findPeer(ctx, p)
}

// Providers finds members that offer something, at most limit.
func (o *Overlay) Providers(ctx context.Context, offer string, limit int) ([]peer.AddrInfo, error) {
	if o.table == nil {
		return nil, errNoTable()
	}
	if offer == "" || len(offer) > offerBytesMax {
		return nil, structs.Errorf(structs.KindInvalid, "an offer has 1 to %d bytes", offerBytesMax)
	}
	return o.table.providers(ctx, offer, min(max(limit, 1), providersMax))
}

// Reach connects to a member whose addresses are known, as Providers gives them, unless it is connected. It is not kept.
func (o *Overlay) Reach(ctx context.Context, info peer.AddrInfo) error { return o.connect(ctx, info) }

// Put keeps data in the table under /debros/<this peer>/<name>, signed by this node, for life (at most
// a day), and returns the key.
func (o *Overlay) Put(ctx context.Context, name string, data []byte, life time.Duration) (string, error) {
	if o.table == nil {
		return "", errNoTable()
	}
	if !recordNameRE.MatchString(name) || name == advertName {
		return "", structs.Errorf(structs.KindInvalid, "%q is no name of a record: lower-case letters, digits, '-', '_' and '.', at most 64, and not %q", name, advertName)
	}
	if life <= 0 || life > recordLife {
		life = recordLife
	}
	return RecordKey(o.host.ID(), name), o.table.put(ctx, name, data, life)
}

// Get reads a record, /debros/<peer id>/<name>, whose signature was verified.
func (o *Overlay) Get(ctx context.Context, key string) (*Record, error) {
	if o.table == nil {
		return nil, errNoTable()
	}
	if _, _, err := parseRecordKey(key); err != nil {
		return nil, structs.Errorf(structs.KindInvalid, "%v", err)
	}
	return o.table.get(ctx, key)
}

// reachability is what libp2p found out, or the configuration says.
func (o *Overlay) reachability() string {
	if o.cfg.Reachability != ReachabilityAuto {
		return string(o.cfg.Reachability)
	}
	sub, err := o.host.EventBus().Subscribe(new(event.EvtLocalReachabilityChanged), eventbus.BufSize(1))
	if err != nil {
		return "unknown"
	}
	defer sub.Close()
	select {
	case e := <-sub.Out(): // the last one is kept for newcomers
		if e, ok := e.(event.EvtLocalReachabilityChanged); ok {
			return strings.ToLower(e.Reachability.String())
		}
	default:
	}
	return "unknown"
}

func (t *table) mode() string {
	switch t.dht.Mode() {
	case dht.ModeServer:
		return "server"
	case dht.ModeAuto, dht.ModeAutoServer:
		if slices.Contains(t.o.host.Mux().Protocols(), tableProtocol(t.o.cfg.Network)) {
			return "server"
		}
	case dht.ModeClient:
	}
	return "client"
}

func (r *relayer) relays() []peer.ID {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]peer.ID, 0, len(r.held))
	for p := range r.held {
		out = append(out, p)
	}
	return out
}
