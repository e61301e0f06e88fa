// Package overlay is this node's place among the peers of other networks: a libp2p host over the node key, a
// Kademlia table under the cluster's own prefix, and the connections that it keeps to other members.
//
// Contract: every connection is authenticated by libp2p (Noise or TLS), so a peer id is proven; that the
// peer is a member of the cluster is proven after that, by a protocol of ours (proof.go, DESIGN.md). Whoever
// has not proven it is a stranger: it may hold a connection and ask for open protocols (Listen with
// Anyone), and sees nothing of the protocols of members, which are refused and counted. Libraries get the
// host that Host returns; on it strangers do not exist.
//
// The package carries no message of debros: it offers net.Conn, net.Listener and host.Host.
//
// Wire formats owned here: /debros/member/1.0.0 (proof.go), /debros/peer-exchange/1.0.0 (exchange.go), and the
// signed records under /debros/ in the table (record.go).
package overlay
