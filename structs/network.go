package structs

import "time"

// This file holds the bodies of /v1/network, which never travel between nodes.

// NetworkSelf is this agent as a peer of the overlay.
type NetworkSelf struct {
	ID            NodeID   `json:"id"`
	Node          string   `json:"node"`
	Datacenter    string   `json:"datacenter"`
	Role          Role     `json:"role"`
	Network       string   `json:"network"`
	Listen        []string `json:"listen"`               // sockets
	Addresses     []string `json:"addresses"`            // told to others, with /p2p/<id>
	Reachability  string   `json:"reachability"`         // "public", "private" or "unknown"
	RelayedBy     []NodeID `json:"relayed_by,omitempty"` // relays through which this node can be reached
	Relay         bool     `json:"relay"`                // it relays for other members
	DHT           string   `json:"dht"`                  // "server", "client" or "off"
	TableSize     int      `json:"table_size"`           // peers in the routing table
	Members       int      `json:"members"`              // connected peers that proved the cluster key
	Strangers     int      `json:"strangers"`            // connected peers that did not
	Offers        []string `json:"offers,omitempty"`     // what others find this node by
	Protocols     []string `json:"protocols"`            // served
	UptimeSeconds float64  `json:"uptime_seconds"`       // of the overlay
	Neighbors     int      `json:"neighbors"`            // members of the LAN that gossip knows
}

// NetworkPeer is another peer as this agent knows it.
type NetworkPeer struct {
	ID         NodeID        `json:"id"`
	Node       string        `json:"node,omitempty"` // its name, where gossip knows it
	Role       Role          `json:"role,omitempty"`
	Datacenter string        `json:"datacenter,omitempty"`
	Member     bool          `json:"member"` // it proved the cluster key
	Connected  bool          `json:"connected"`
	Via        string        `json:"via,omitempty"` // "direct", "punched" (direct, through the NATs between) or "relay"
	RTTMillis  float64       `json:"rtt_ms,omitempty"`
	Agent      string        `json:"agent,omitempty"` // its version as it says
	Addresses  []string      `json:"addresses"`
	Conns      []NetworkConn `json:"connections,omitempty"`
	Protocols  []string      `json:"protocols,omitempty"`
	Sources    []string      `json:"sources,omitempty"` // who named it: lan, bootstrap, operator, peer
	LastSeen   *time.Time    `json:"last_seen,omitempty"`
	Failures   int           `json:"failures,omitempty"` // attempts to reach it since the last success
	Error      string        `json:"error,omitempty"`    // of the last one
}

// NetworkConn is one connection to a peer.
type NetworkConn struct {
	Address   string    `json:"address"` // the other end
	Transport string    `json:"transport"`
	Security  string    `json:"security,omitempty"`
	Inbound   bool      `json:"inbound"`
	Relayed   bool      `json:"relayed"`
	Punched   bool      `json:"punched"` // direct since a hole was punched through the NATs between
	Limited   bool      `json:"limited"` // the relay cuts it off after a while
	Streams   int       `json:"streams"`
	Opened    time.Time `json:"opened"`
}

// NetworkAddrs is a peer and where it is.
type NetworkAddrs struct {
	ID        NodeID   `json:"id"`
	Addresses []string `json:"addresses"`
}

// NetworkPing is what came of pings.
type NetworkPing struct {
	ID    NodeID             `json:"id"`
	Pings []NetworkPingReply `json:"pings"`
}

// NetworkPingReply is one round trip, or why there was none.
type NetworkPingReply struct {
	RTTMillis float64 `json:"rtt_ms"`
	Error     string  `json:"error,omitempty"`
}

// NetworkRecord is a record of the distributed table.
type NetworkRecord struct {
	Key      string    `json:"key"` // /debros/<peer id>/<name>
	Data     []byte    `json:"data"`
	Sequence uint64    `json:"sequence"`
	Expires  time.Time `json:"expires"`
}
