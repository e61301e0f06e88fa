package overlay

import (
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// rankAddrs decides which addresses of a peer are dialled and when. libp2p gives QUIC 30 ms on a private
// network before it dials TCP beside it. Agents that start together, or a busy machine, need longer
// for a handshake, and two handshakes for each connection make them busier still: so the private ones
// wait as long as public ones do.
func rankAddrs(addrs []ma.Multiaddr) []network.AddrDelay {
	const patience = swarm.PublicTCPDelay / swarm.PrivateTCPDelay
	ranked := swarm.DefaultDialRanker(addrs)
	for i, r := range ranked {
		if manet.IsPrivateAddr(r.Addr) && !relayed(r.Addr) {
			ranked[i].Delay *= patience
		}
	}
	return ranked
}
