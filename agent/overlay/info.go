package overlay

import (
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// Conn is one connection to a peer.
type Conn struct {
	Addr      ma.Multiaddr // the other end
	Transport string       // tcp, quic-v1, ws, webtransport, or relay
	Security  string
	Inbound   bool
	Relayed   bool
	Limited   bool // through a relay that cuts it off
	Punched   bool // direct, and begun through a relay: both ends are behind a NAT or a firewall
	Streams   int
	Opened    time.Time
}

// Peer is what is known of another peer.
type Peer struct {
	ID        peer.ID
	Member    bool
	Connected bool
	Since     time.Time // of membership
	LastSeen  time.Time // zero: not since this agent runs
	RTT       time.Duration
	Agent     string // its version as it says
	Protocols []string
	Addrs     []ma.Multiaddr
	Conns     []Conn
	Sources   []string // who named it: lan, bootstrap, operator, peer
	Fails     int
	Err       error // of the last attempt to reach it
}

// Peers are the connected peers and those that this node wants to reach, by id.
func (o *Overlay) Peers() []Peer {
	seen := map[peer.ID]bool{}
	var out []Peer
	for _, p := range o.host.Network().Peers() {
		seen[p] = true
		out = append(out, o.peer(p))
	}
	for p := range o.keeper.of(^source(0)) {
		if !seen[p] {
			out = append(out, o.peer(p))
		}
	}
	slices.SortFunc(out, func(a, b Peer) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	return out
}

func (o *Overlay) peer(p peer.ID) Peer {
	ps := o.host.Peerstore()
	out := Peer{ID: p, RTT: ps.LatencyEWMA(p), Addrs: ps.Addrs(p)}
	if v, err := ps.Get(p, "AgentVersion"); err == nil {
		out.Agent, _ = v.(string)
	}
	if list, err := ps.GetProtocols(p); err == nil {
		for _, pid := range list {
			out.Protocols = append(out.Protocols, string(pid))
		}
		slices.Sort(out.Protocols)
	}
	for _, c := range o.host.Network().ConnsToPeer(p) {
		d := describeConn(c)
		d.Punched = !d.Relayed && o.punched.has(p)
		out.Conns = append(out.Conns, d)
	}
	out.Connected = len(out.Conns) > 0
	o.members.describe(p, &out)
	o.keeper.describe(p, &out)
	if out.Connected && out.LastSeen.IsZero() {
		out.LastSeen = time.Now()
	}
	return out
}

func describeConn(c network.Conn) Conn {
	st, state := c.Stat(), c.ConnState()
	out := Conn{
		Addr: c.RemoteMultiaddr(), Transport: state.Transport, Security: string(state.Security),
		Inbound: st.Direction == network.DirInbound, Relayed: relayed(c.RemoteMultiaddr()), Limited: st.Limited,
		Streams: st.NumStreams, Opened: st.Opened,
	}
	if out.Relayed {
		out.Transport = "relay"
	}
	return out
}

func (m *members) describe(p peer.ID, out *Peer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.peers[p]; s != nil && s.proven {
		out.Member, out.Since = true, s.since
	}
}

func (k *keeper) describe(p peer.ID, out *Peer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.targets[p]
	if t == nil {
		return
	}
	for _, s := range []struct {
		bits source
		name string
	}{{fromNeighbor | fromServer, "lan"}, {fromBootstrap, "bootstrap"}, {fromOperator, "operator"}, {fromLearned, "peer"}, {fromSaved, "saved"}} {
		if t.source&s.bits != 0 {
			out.Sources = append(out.Sources, s.name)
		}
	}
	out.LastSeen, out.Fails, out.Err = t.lastSeen, t.fails, t.lastErr
	if len(out.Addrs) == 0 {
		out.Addrs = t.info.Addrs
	}
}

// Self is this node as a peer.
type Self struct {
	ID           peer.ID
	Network      string
	Listen       []ma.Multiaddr // sockets
	Addrs        []ma.Multiaddr // told to others
	Reachability string         // public, private or unknown
	Relays       []peer.ID      // through which this node can be reached
	Relay        bool           // it relays for others
	DHT          string         // server, client or off
	TableSize    int            // peers in the routing table
	Members      int
	Strangers    int
	Neighbors    int // members of the LAN, this node not counted
	Protocols    []string
	Offers       []string
	Uptime       time.Duration
}

// Self describes this node.
func (o *Overlay) Self() Self {
	out := Self{
		ID: o.host.ID(), Network: o.cfg.Network, Listen: o.sockets(), Addrs: o.host.Addrs(),
		Reachability: o.reachability(), Relay: o.cfg.Relay, DHT: "off", Uptime: time.Since(o.started),
	}
	if r := o.relay.Load(); r != nil {
		out.Relays = r.relays()
	}
	if o.table != nil {
		out.DHT, out.TableSize = o.table.mode(), o.table.dht.RoutingTable().Size()
		o.table.mu.Lock()
		out.Offers = slices.Clone(o.table.offers)
		o.table.mu.Unlock()
	}
	out.Members, out.Neighbors = len(o.members.list()), len(o.keeper.of(fromNeighbor|fromServer))
	out.Strangers = max(0, len(o.host.Network().Peers())-out.Members)
	for _, pid := range o.host.Mux().Protocols() {
		out.Protocols = append(out.Protocols, string(pid))
	}
	slices.Sort(out.Protocols)
	return out
}

// sockets are the addresses that this node listens on; that of the relay transport is none.
func (o *Overlay) sockets() []ma.Multiaddr {
	return slices.DeleteFunc(slices.Clone(o.host.Network().ListenAddresses()), relayed)
}
