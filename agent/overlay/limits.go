package overlay

import (
	"fmt"
	"math"
	"net/netip"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/x/rate"
)

// Limits of one protocol for one peer.
const (
	proofStreamsPerPeer    = 8 // a peer has a few connections, each is proven once
	exchangeStreamsPerPeer = 4
	tableStreamsPerPeer    = 16 // a message may have 4 MiB, and one stream carries many after each other
)

// connsPerSecond is how many new connections of one address are taken once ConnsPerIPMax came at once: all
// agents behind one NAT start together after a power cut.
const connsPerSecond = 16

// newResourceManager bounds what peers may take. libp2p's defaults are for a public network (8
// connections of one IPv4 address, one in five seconds): a site behind one NAT would lose most of its agents.
func newResourceManager(l Limits, net string) (network.ResourceManager, error) {
	def := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&def)
	streams := l.ConnsMax * 16
	transient := max(1024, 4*l.StreamsPerPeerMax)
	partial := rcmgr.PartialLimitConfig{
		System: rcmgr.ResourceLimits{
			Conns: rcmgr.LimitVal(l.ConnsMax), ConnsInbound: rcmgr.LimitVal(l.ConnsMax), ConnsOutbound: rcmgr.LimitVal(l.ConnsMax),
			Streams: rcmgr.LimitVal(streams), StreamsInbound: rcmgr.LimitVal(streams), StreamsOutbound: rcmgr.LimitVal(streams),
			FD: rcmgr.LimitVal(l.ConnsMax), Memory: rcmgr.LimitVal64(l.MemoryBytesMax),
		},
		// Connections and streams before they are authenticated and negotiated.
		Transient: rcmgr.ResourceLimits{
			Conns: rcmgr.LimitVal(max(64, l.ConnsMax/4)), ConnsInbound: rcmgr.LimitVal(max(64, l.ConnsMax/4)), ConnsOutbound: rcmgr.LimitVal(max(64, l.ConnsMax/4)),
			// Of all peers together, before it is known what they want: one peer alone must not be able to hold
			// all of them, or nobody else could open a stream.
			Streams: rcmgr.LimitVal(transient), StreamsInbound: rcmgr.LimitVal(transient), StreamsOutbound: rcmgr.LimitVal(transient), FD: rcmgr.LimitVal(max(64, l.ConnsMax/4)),
		},
		PeerDefault: rcmgr.ResourceLimits{
			Conns: 16, ConnsInbound: 16, ConnsOutbound: 16, FD: 16,
			Streams:        rcmgr.LimitVal(l.StreamsPerPeerMax),
			StreamsInbound: rcmgr.LimitVal(l.StreamsPerPeerMax), StreamsOutbound: rcmgr.LimitVal(l.StreamsPerPeerMax),
		},
		ProtocolDefault: rcmgr.ResourceLimits{
			Streams: rcmgr.LimitVal(streams), StreamsInbound: rcmgr.LimitVal(streams), StreamsOutbound: rcmgr.LimitVal(streams),
		},
		ProtocolPeerDefault: rcmgr.ResourceLimits{
			Streams:        rcmgr.LimitVal(l.StreamsPerPeerMax),
			StreamsInbound: rcmgr.LimitVal(l.StreamsPerPeerMax), StreamsOutbound: rcmgr.LimitVal(l.StreamsPerPeerMax),
		},
		ProtocolPeer: map[protocol.ID]rcmgr.ResourceLimits{
			protoMember:        streamsEachWay(proofStreamsPerPeer),
			protoExchange:      streamsEachWay(exchangeStreamsPerPeer),
			tableProtocol(net): streamsEachWay(tableStreamsPerPeer),
		},
	}
	partial.Protocol = map[protocol.ID]rcmgr.ResourceLimits{}
	for pid, limit := range l.Protocols {
		partial.ProtocolPeer[pid], partial.Protocol[pid] = streamsEachWay(limit.PerPeer), streamsEachWay(limit.Total)
	}
	conf := partial.Build(def.Scale(l.MemoryBytesMax, l.ConnsMax))
	whole4, whole6 := 32, 56
	burst := l.ConnsPerIPMax
	limit := func(bits int) rate.SubnetLimit {
		return rate.SubnetLimit{PrefixLength: bits, Limit: rate.Limit{RPS: connsPerSecond, Burst: burst}}
	}
	m, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(conf), rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: whole4, ConnCount: l.ConnsPerIPMax}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: whole6, ConnCount: l.ConnsPerIPMax}}),
		rcmgr.WithNetworkPrefixLimit(loopbackLimit("127.0.0.0/8"), loopbackLimit("::1/128")),
		rcmgr.WithConnRateLimiters(&rate.Limiter{
			NetworkPrefixLimits: []rate.PrefixLimit{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}, {Prefix: netip.MustParsePrefix("::1/128")}},
			SubnetRateLimiter:   rate.SubnetLimiter{IPv4SubnetLimits: []rate.SubnetLimit{limit(whole4)}, IPv6SubnetLimits: []rate.SubnetLimit{limit(whole6)}},
		}))
	if err != nil {
		return nil, fmt.Errorf("overlay: resource limits: %w", err)
	}
	return m, nil
}

func streamsEachWay(n int) rcmgr.ResourceLimits {
	return rcmgr.ResourceLimits{Streams: rcmgr.LimitVal(2 * n), StreamsInbound: rcmgr.LimitVal(n), StreamsOutbound: rcmgr.LimitVal(n)}
}

// loopbackLimit lets programs on this host connect as they like.
func loopbackLimit(prefix string) []rcmgr.NetworkPrefixLimit {
	return []rcmgr.NetworkPrefixLimit{{Network: netip.MustParsePrefix(prefix), ConnCount: math.MaxInt}}
}
