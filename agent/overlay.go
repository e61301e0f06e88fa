package agent

import (
	"fmt"
	"net/netip"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/debros/debros/agent/config"
	"github.com/debros/debros/agent/overlay"
	"github.com/debros/debros/internal/version"
	"github.com/debros/debros/structs"
)

// Overlay is the agent's part in the overlay; nil when it takes none.
func (a *Agent) Overlay() *overlay.Overlay { return a.overlay }

// startOverlay joins the peers of other networks. It runs before gossip, which tells others its port.
func (a *Agent) startOverlay() error {
	cfg := a.Config()
	if !cfg.OverlayOn() {
		return nil
	}
	conf, err := a.overlayConfig(cfg)
	if err != nil {
		return err
	}
	if a.overlay, err = overlay.Start(conf); err != nil {
		return err
	}
	a.log.Info("the overlay listens", "peer", a.overlay.ID(), "on", a.overlay.Self().Listen)
	return a.overlay.SetOffers(a.offers())
}

func (a *Agent) overlayConfig(cfg *config.Config) (overlay.Config, error) {
	o := cfg.Overlay
	conf := overlay.Config{
		Key: a.node.Private(), Network: o.Network, Build: version.Version(),
		Server: cfg.Server, DHT: o.DHT, Relay: o.Relay, PortMapping: o.PortMapping, MDNS: o.MDNS,
		Limits: overlay.Limits{
			ConnsMax: o.MaxConnections, ConnsPerIPMax: o.MaxConnsPerIP,
			Reservations: o.RelayReservationsMax, CircuitsPerPeer: o.RelayCircuitsPerPeerMax,
			Protocols: streamLimits(cfg),
		},
		DiscoveryInterval: o.DiscoveryInterval, PeersTarget: o.PeersTarget,
		Logger: a.log, Conflict: func() { a.stopSoon(errKeyInUse()) },
	}
	if a.dir != nil {
		conf.PeersFile = a.dir.file("peers.json")
	}
	if o.Reachability != "auto" {
		conf.Reachability = overlay.Reachability(o.Reachability)
	}
	key, err := a.clusterKey()
	if err != nil {
		return conf, err
	}
	if !key.IsZero() {
		conf.Secret = key.MemberSecret()
	}
	for _, list := range []struct {
		key  string
		from []string
		to   *[]ma.Multiaddr
	}{{"listen", o.Listen, &conf.Listen}, {"announce", o.Announce, &conf.Announce}, {"bootstrap", o.Bootstrap, &conf.Bootstrap}} {
		if *list.to, err = overlay.ParseAddrs(list.from); err != nil {
			return conf, fmt.Errorf("overlay.%s: %w", list.key, err)
		}
	}
	if len(conf.Listen) == 0 {
		port := cfg.Ports.Overlay
		if port == 0 {
			if port, err = overlay.FreePort(cfg.Addrs.Bind.String()); err != nil {
				return conf, err
			}
		}
		conf.Listen = overlay.ListenAddrs(cfg.Addrs.Bind, port)
	}
	return conf, nil
}

func errKeyInUse() error {
	return structs.Errorf(structs.KindConflict, "another agent with the same node.key is connected to the cluster").
		WithHint("a copied data directory needs a node.key of its own: remove node.key (and raft/) from the copy")
}

// offers are what others find this node by.
func (a *Agent) offers() []string {
	cfg := a.Config()
	out := []string{"role:" + string(a.role()), "datacenter:" + cfg.Datacenter, "service:pubsub", "service:pubsub@" + cfg.Datacenter}
	if cfg.Server {
		out = append(out, "service:database", "service:storage", "service:database@"+cfg.Datacenter, "service:storage@"+cfg.Datacenter)
	}
	return out
}

// tellOverlay makes the members of the LAN peers of the overlay.
func (a *Agent) tellOverlay() {
	if a.overlay == nil {
		return
	}
	var list []overlay.Neighbor
	for _, m := range a.members.Members() {
		n, ok := neighbor(m)
		if ok && m.ID != a.node.ID() {
			list = append(list, n)
		}
	}
	a.overlay.SetNeighbors(list)
}

// neighbor is a member as the overlay dials it; false for one without an overlay.
func neighbor(m structs.Member) (n overlay.Neighbor, ok bool) {
	port := m.Ports[structs.PortOverlay]
	ip, err := netip.ParseAddr(m.Addr)
	if port == 0 || err != nil || m.Status == structs.MemberLeft {
		return n, false
	}
	id, err := peer.Decode(string(m.ID))
	if err != nil {
		return n, false
	}
	return overlay.Neighbor{
		Info:   peer.AddrInfo{ID: id, Addrs: overlay.HostAddrs(ip.Unmap(), port)},
		Server: m.Role == structs.RoleServer,
	}, true
}
