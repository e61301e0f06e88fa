package api

import (
	"bytes"
	"context"
	"net/http"
	"time"
)

// Network asks the agent about the overlay: peers across networks and NAT.
type Network struct{ c *Client }

// NetworkSelf is the agent as a peer.
type NetworkSelf struct {
	ID            string   `json:"id"`
	Node          string   `json:"node"`
	Datacenter    string   `json:"datacenter"`
	Role          string   `json:"role"`
	Network       string   `json:"network"`
	Listen        []string `json:"listen"`               // sockets
	Addresses     []string `json:"addresses"`            // told to others, with /p2p/<id>
	Reachability  string   `json:"reachability"`         // "public", "private" or "unknown"
	RelayedBy     []string `json:"relayed_by,omitempty"` // relays through which it can be reached
	Relay         bool     `json:"relay"`                // it relays for other members
	DHT           string   `json:"dht"`                  // "server", "client" or "off"
	TableSize     int      `json:"table_size"`           // peers in its routing table
	Members       int      `json:"members"`              // connected peers that proved the cluster key
	Strangers     int      `json:"strangers"`            // connected peers that did not
	Offers        []string `json:"offers,omitempty"`     // what others find it by
	Protocols     []string `json:"protocols"`            // served
	UptimeSeconds float64  `json:"uptime_seconds"`
	Neighbors     int      `json:"neighbors"` // members of the LAN that gossip knows
}

// NetworkPeer is another peer as the agent knows it.
type NetworkPeer struct {
	ID         string        `json:"id"`
	Node       string        `json:"node,omitempty"` // its name, where gossip knows it
	Role       string        `json:"role,omitempty"`
	Datacenter string        `json:"datacenter,omitempty"`
	Member     bool          `json:"member"` // it proved the cluster key
	Connected  bool          `json:"connected"`
	Via        string        `json:"via,omitempty"` // "direct", "punched" (direct, through the NATs between) or "relay"
	RTTMillis  float64       `json:"rtt_ms,omitempty"`
	Agent      string        `json:"agent,omitempty"` // its version as it says
	Addresses  []string      `json:"addresses"`
	Conns      []NetworkConn `json:"connections,omitempty"`
	Protocols  []string      `json:"protocols,omitempty"`
	Sources    []string      `json:"sources,omitempty"` // who named it: lan, bootstrap, operator, peer, saved (a member in the last run)
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
	ID        string   `json:"id"`
	Addresses []string `json:"addresses"`
}

// NetworkPing is what came of pings.
type NetworkPing struct {
	ID    string             `json:"id"`
	Pings []NetworkPingReply `json:"pings"`
}

// NetworkPingReply is one round trip, or why there was none.
type NetworkPingReply struct {
	RTTMillis float64 `json:"rtt_ms"`
	Error     string  `json:"error,omitempty"`
}

// NetworkRecord is a signed record of the distributed table.
type NetworkRecord struct {
	Key      string    `json:"key"` // /debros/<peer id>/<name>
	Data     []byte    `json:"data"`
	Sequence uint64    `json:"sequence"`
	Expires  time.Time `json:"expires"`
}

// Self describes the agent as a peer. An agent without an overlay answers ErrUnsupported.
func (n *Network) Self(ctx context.Context) (*NetworkSelf, error) {
	out := &NetworkSelf{}
	_, _, err := n.c.get(ctx, "/v1/network/self", nil, out)
	return out, err
}

// Peers lists the peers that are connected to the agent, or that it wants to reach.
func (n *Network) Peers(ctx context.Context) ([]*NetworkPeer, error) {
	var out []*NetworkPeer
	_, _, err := n.c.get(ctx, "/v1/network/peers", nil, &out)
	return out, err
}

// Connect makes the agent dial a member, "/ip4/…/tcp/4001/p2p/<id>", and keep it connected. It returns the
// peer's id.
func (n *Network) Connect(ctx context.Context, multiaddr string) (string, error) {
	var out struct{ ID string }
	return out.ID, n.post(ctx, "/v1/network/connect", map[string]any{"multiaddr": multiaddr}, &out)
}

// Disconnect makes the agent close its connections to a peer. Members of its LAN and bootstrap peers come back.
func (n *Network) Disconnect(ctx context.Context, id string) error {
	return n.post(ctx, "/v1/network/disconnect", map[string]any{"peer_id": id}, nil)
}

// Ping makes the agent measure count round trips to a peer, one a second.
func (n *Network) Ping(ctx context.Context, id string, count int) (*NetworkPing, error) {
	out := &NetworkPing{}
	return out, n.post(ctx, "/v1/network/ping", map[string]any{"peer_id": id, "count": count}, out)
}

// FindPeer finds out where a peer is.
func (n *Network) FindPeer(ctx context.Context, id string) (*NetworkAddrs, error) {
	out := &NetworkAddrs{}
	_, _, err := n.c.get(ctx, "/v1/network/find-peer", nil, out, "id", id)
	return out, err
}

// Providers finds members that offer something, such as "service:database", "datacenter:dc1" or "role:server".
func (n *Network) Providers(ctx context.Context, offer string) ([]*NetworkAddrs, error) {
	var out []*NetworkAddrs
	_, _, err := n.c.get(ctx, "/v1/network/providers", nil, &out, "offer", offer)
	return out, err
}

// GetRecord reads a record of the distributed table, "/debros/<peer id>/<name>"; its owner's signature was verified.
func (n *Network) GetRecord(ctx context.Context, key string) (*NetworkRecord, error) {
	out := &NetworkRecord{}
	_, _, err := n.c.get(ctx, "/v1/network/record", nil, out, "key", key)
	return out, err
}

// PutRecord keeps data in the distributed table in the agent's name for ttl (0 = a day, the most) and returns
// its key.
func (n *Network) PutRecord(ctx context.Context, name string, data []byte, ttl time.Duration) (string, error) {
	r := n.c.newRequest(http.MethodPut, "/v1/network/record")
	r.params.Set("name", name)
	if ttl > 0 {
		r.params.Set("ttl", ttl.String())
	}
	r.body, r.contentType = bytes.Clone(data), "application/octet-stream"
	var out struct{ Key string }
	_, err := n.c.put(ctx, r, nil, &out)
	return out.Key, err
}

func (n *Network) post(ctx context.Context, path string, body, out any) error {
	r := n.c.newRequest(http.MethodPost, path)
	if err := r.json(body); err != nil {
		return err
	}
	_, err := n.c.put(ctx, r, nil, out)
	return err
}
