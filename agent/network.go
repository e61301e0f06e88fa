package agent

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/debros/debros/agent/httpapi"
	"github.com/debros/debros/agent/overlay"
	"github.com/debros/debros/structs"
)

var _ httpapi.Network = local{}

// peers is the overlay, or why there is none.
func (l local) peers() (*overlay.Overlay, error) {
	if l.a.overlay == nil {
		return nil, structs.Errorf(structs.KindUnsupported, "this agent takes no part in the overlay").
			WithHint("set data_dir, or overlay { enabled = true }, and ports { overlay } to a port")
	}
	return l.a.overlay, nil
}

// peerOf is the overlay and a peer id.
func (l local) peerOf(id string) (*overlay.Overlay, peer.ID, error) {
	o, err := l.peers()
	if err != nil {
		return nil, "", err
	}
	p, err := peer.Decode(id)
	if err != nil {
		return nil, "", structs.Errorf(structs.KindInvalid, "%.100q is not a peer id", id).
			WithHint("a peer id looks like 12D3KooW…; 'debros peers' lists them")
	}
	return o, p, nil
}

// NetworkSelf implements httpapi.Network.
func (l local) NetworkSelf() (*structs.NetworkSelf, error) {
	o, err := l.peers()
	if err != nil {
		return nil, err
	}
	s, cfg := o.Self(), l.a.Config()
	out := &structs.NetworkSelf{
		ID: l.a.node.ID(), Node: cfg.NodeName, Datacenter: cfg.Datacenter, Role: l.a.role(), Network: s.Network,
		Listen: texts(s.Listen, ""), Addresses: texts(s.Addrs, s.ID), Reachability: s.Reachability,
		Relay: s.Relay, DHT: s.DHT, TableSize: s.TableSize, Members: s.Members, Strangers: s.Strangers,
		Offers: s.Offers, Protocols: s.Protocols, UptimeSeconds: s.Uptime.Seconds(), Neighbors: s.Neighbors,
	}
	for _, p := range s.Relays {
		out.RelayedBy = append(out.RelayedBy, structs.NodeID(p.String()))
	}
	return out, nil
}

// texts are addresses as people write them, with /p2p/<id> where there is one.
func texts(addrs []ma.Multiaddr, id peer.ID) []string {
	out := make([]string, 0, len(addrs))
	for _, a := range addrs {
		text := a.String()
		if id != "" {
			text += "/p2p/" + id.String()
		}
		out = append(out, text)
	}
	return out
}

// NetworkPeers implements httpapi.Network.
func (l local) NetworkPeers(ctx context.Context, token string) ([]*structs.NetworkPeer, error) {
	o, err := l.peers()
	if err != nil {
		return nil, err
	}
	names := l.a.nodeNames(ctx, token)
	out := []*structs.NetworkPeer{}
	for _, p := range o.Peers() {
		np := peerEntry(p)
		if m, ok := names[np.ID]; ok {
			np.Node, np.Role, np.Datacenter = m.Name, m.Role, m.Datacenter
		}
		out = append(out, np)
	}
	return out, nil
}

func peerEntry(p overlay.Peer) *structs.NetworkPeer {
	out := &structs.NetworkPeer{
		ID: structs.NodeID(p.ID.String()), Member: p.Member, Connected: p.Connected, RTTMillis: millis(p.RTT),
		Agent: p.Agent, Addresses: texts(p.Addrs, p.ID), Protocols: p.Protocols, Sources: p.Sources, Failures: p.Fails,
	}
	if !p.LastSeen.IsZero() {
		out.LastSeen = &p.LastSeen
	}
	if p.Err != nil {
		out.Error = p.Err.Error()
	}
	if best, ok := bestConn(p); ok {
		out.Via = viaOf(best)
	}
	for _, c := range p.Conns {
		out.Conns = append(out.Conns, structs.NetworkConn{
			Address: c.Addr.String(), Transport: c.Transport, Security: c.Security, Inbound: c.Inbound,
			Relayed: c.Relayed, Punched: c.Punched, Limited: c.Limited, Streams: c.Streams, Opened: c.Opened,
		})
	}
	return out
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// NetworkConnect implements httpapi.Network.
func (l local) NetworkConnect(ctx context.Context, addr string) (structs.NodeID, error) {
	o, err := l.peers()
	if err != nil {
		return "", err
	}
	a, err := overlay.ParseAddr(addr)
	if err != nil {
		return "", structs.Errorf(structs.KindInvalid, "%v", err)
	}
	p, err := o.Connect(ctx, a)
	return structs.NodeID(p.String()), err
}

// NetworkDisconnect implements httpapi.Network.
func (l local) NetworkDisconnect(_ context.Context, id string) error {
	o, p, err := l.peerOf(id)
	if err != nil {
		return err
	}
	return o.Disconnect(p)
}

// NetworkFindPeer implements httpapi.Network.
func (l local) NetworkFindPeer(ctx context.Context, id string) (*structs.NetworkAddrs, error) {
	o, p, err := l.peerOf(id)
	if err != nil {
		return nil, err
	}
	info, err := o.FindPeer(ctx, p)
	if err != nil {
		return nil, err
	}
	return addrsOf(info), nil
}

func addrsOf(info peer.AddrInfo) *structs.NetworkAddrs {
	return &structs.NetworkAddrs{ID: structs.NodeID(info.ID.String()), Addresses: texts(info.Addrs, info.ID)}
}

// NetworkProviders implements httpapi.Network.
func (l local) NetworkProviders(ctx context.Context, offer string, limit int) ([]*structs.NetworkAddrs, error) {
	o, err := l.peers()
	if err != nil {
		return nil, err
	}
	infos, err := o.Providers(ctx, offer, limit)
	if err != nil {
		return nil, err
	}
	out := []*structs.NetworkAddrs{}
	for _, info := range infos {
		out = append(out, addrsOf(info))
	}
	return out, nil
}

// NetworkPing implements httpapi.Network.
func (l local) NetworkPing(ctx context.Context, id string, count int) (*structs.NetworkPing, error) {
	o, p, err := l.peerOf(id)
	if err != nil {
		return nil, err
	}
	out := &structs.NetworkPing{ID: structs.NodeID(id), Pings: []structs.NetworkPingReply{}}
	err = o.Ping(ctx, p, count, func(rtt time.Duration, err error) bool {
		r := structs.NetworkPingReply{RTTMillis: millis(rtt)}
		if err != nil {
			r.Error = err.Error()
		}
		out.Pings = append(out.Pings, r)
		return true
	})
	return out, err
}

// NetworkGet implements httpapi.Network.
func (l local) NetworkGet(ctx context.Context, key string) (*structs.NetworkRecord, error) {
	o, err := l.peers()
	if err != nil {
		return nil, err
	}
	r, err := o.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	return &structs.NetworkRecord{Key: key, Data: r.Data, Sequence: r.Sequence, Expires: r.Expires.UTC()}, nil
}

// NetworkPut implements httpapi.Network.
func (l local) NetworkPut(ctx context.Context, name string, data []byte, life time.Duration) (string, error) {
	o, err := l.peers()
	if err != nil {
		return "", err
	}
	return o.Put(ctx, name, data, life)
}
