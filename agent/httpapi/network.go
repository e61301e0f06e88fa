package httpapi

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/debros/debros/structs"
)

// Network is the agent among its peers. Without an overlay every method answers KindUnsupported.
type Network interface {
	// NetworkSelf describes this agent as a peer.
	NetworkSelf() (*structs.NetworkSelf, error)
	// NetworkPeers are the connected peers and those that the agent wants to reach, by id.
	NetworkPeers(ctx context.Context, token string) ([]*structs.NetworkPeer, error)
	// NetworkConnect dials a multiaddr that ends in /p2p/<id>, and keeps the peer connected.
	NetworkConnect(ctx context.Context, addr string) (structs.NodeID, error)
	// NetworkDisconnect closes the connections to a peer.
	NetworkDisconnect(ctx context.Context, id string) error
	// NetworkFindPeer finds out where a peer is.
	NetworkFindPeer(ctx context.Context, id string) (*structs.NetworkAddrs, error)
	// NetworkProviders finds members that offer something, at most limit.
	NetworkProviders(ctx context.Context, offer string, limit int) ([]*structs.NetworkAddrs, error)
	// NetworkPing measures round trips to a peer.
	NetworkPing(ctx context.Context, id string, count int) (*structs.NetworkPing, error)
	// NetworkGet reads a record of the distributed table.
	NetworkGet(ctx context.Context, key string) (*structs.NetworkRecord, error)
	// NetworkPut keeps a record of this agent's in the table and returns its key.
	NetworkPut(ctx context.Context, name string, data []byte, life time.Duration) (string, error)
}

const (
	pingsDefault     = 3
	pingsMax         = 100
	providersDefault = 20
	recordBytesMax   = 16 << 10
)

func networkRoutes() []route {
	const p = "/v1/network/"
	return []route{
		{method: "GET", pattern: p + "self", handle: networkSelf, doc: "Describe this agent as a peer of the overlay.", reply: "`{\"id\", \"addresses\", \"reachability\", \"dht\", \"members\", …}`"},
		{method: "GET", pattern: p + "status", handle: networkStatus, doc: "Say in short how this agent is connected.", reply: "`{\"node_id\", \"connected\", \"peer_count\", \"uptime_seconds\", …}`"},
		{method: "GET", pattern: p + "peers", handle: networkPeers, doc: "List the peers that are connected or are to be.", params: "`members` only those that proved the cluster key", reply: "a list of `{\"id\", \"member\", \"connected\", \"via\", \"rtt_ms\", \"addresses\", \"connections\", …}`"},
		{method: "POST", pattern: p + "connect", handle: networkConnect, doc: "Dial a member and keep it connected.", body: "`{\"multiaddr\": \"/ip4/…/tcp/4001/p2p/<id>\"}` (also `peer_addr`)", reply: "`{\"id\"}`"},
		{method: "POST", pattern: p + "disconnect", handle: networkDisconnect, doc: "Close the connections to a peer. Peers that are kept (LAN, bootstrap) come back.", body: "`{\"peer_id\"}`", reply: "`{\"id\"}`"},
		{method: "GET", pattern: p + "find-peer", handle: networkFindPeer, doc: "Find out where a peer is, by the distributed table.", params: "`id=`", reply: "`{\"id\", \"addresses\"}`"},
		{method: "GET", pattern: p + "providers", handle: networkProviders, doc: "Find members that offer something and say so in a signed record.", params: "`offer=` such as `service:database`, `datacenter:dc1`, `role:server`; `limit=` (default 20)", reply: "a list of `{\"id\", \"addresses\"}`"},
		{method: "POST", pattern: p + "ping", handle: networkPing, reads: true, doc: "Measure round trips to a peer, one a second.", body: "`{\"peer_id\", \"count\"}` (default 3, at most 100)", reply: "`{\"id\", \"pings\": [{\"rtt_ms\", \"error\"}]}`"},
		{method: "GET", pattern: p + "record", handle: networkGet, doc: "Read a signed record of the distributed table.", params: "`key=/debros/<peer id>/<name>`", reply: "`{\"key\", \"data\" (base64), \"sequence\", \"expires\"}`"},
		{method: "PUT", pattern: p + "record", handle: networkPut, doc: "Keep a record of this agent's in the distributed table for others to read, signed by its key.", params: "`name=`; `ttl=` at most 24h, the default", body: "the data, at most 16 KiB with the signature", reply: "`{\"key\"}`"},
	}
}

func networkSelf(c *call) error {
	self, err := c.networkSelf()
	if err != nil {
		return err
	}
	return c.ok(self)
}

func (c *call) networkSelf() (*structs.NetworkSelf, error) {
	if err := c.agentMay(AgentRead); err != nil {
		return nil, err
	}
	return c.h.b.NetworkSelf()
}

func networkStatus(c *call) error {
	self, err := c.networkSelf()
	if err != nil {
		return err
	}
	return c.ok(map[string]any{
		"node_id": self.ID, "connected": self.Members > 0, "peer_count": self.Members, "uptime_seconds": self.UptimeSeconds,
		"reachability": self.Reachability, "dht": self.DHT, "table_size": self.TableSize, "strangers": self.Strangers,
	})
}

func networkPeers(c *call) error {
	if err := c.agentMay(AgentRead); err != nil {
		return err
	}
	all, err := c.h.b.NetworkPeers(c.r.Context(), c.token)
	if err != nil {
		return err
	}
	out := []*structs.NetworkPeer{}
	for _, p := range all {
		if p.Member || !c.flag("members") {
			out = append(out, p)
		}
	}
	return sendSlice(c, out)
}

func networkConnect(c *call) error {
	if err := c.agentMay(AgentWrite); err != nil {
		return err
	}
	var body struct {
		Multiaddr string `json:"multiaddr"`
		PeerAddr  string `json:"peer_addr"`
	}
	if err := c.decode(&body); err != nil {
		return err
	}
	addr := body.Multiaddr
	if addr == "" {
		addr = body.PeerAddr
	}
	if strings.TrimSpace(addr) == "" {
		return invalid("the body names no multiaddr").WithHint(`send {"multiaddr": "/ip4/…/tcp/4001/p2p/<id>"}`)
	}
	id, err := c.h.b.NetworkConnect(c.r.Context(), addr)
	if err != nil {
		return err
	}
	return c.ok(map[string]structs.NodeID{"id": id})
}

// peerBody names a peer.
type peerBody struct {
	PeerID string `json:"peer_id"`
	Count  int    `json:"count"`
}

func (c *call) peerBody() (b peerBody, err error) {
	if err := c.decode(&b); err != nil {
		return b, err
	}
	if b.PeerID == "" {
		return b, invalid("the body names no peer").WithHint(`send {"peer_id": "12D3…"}`)
	}
	return b, nil
}

func networkDisconnect(c *call) error {
	if err := c.agentMay(AgentWrite); err != nil {
		return err
	}
	b, err := c.peerBody()
	if err != nil {
		return err
	}
	if err := c.h.b.NetworkDisconnect(c.r.Context(), b.PeerID); err != nil {
		return err
	}
	return c.ok(map[string]string{"id": b.PeerID})
}

func networkFindPeer(c *call) error {
	if err := c.agentMay(AgentRead); err != nil {
		return err
	}
	id, err := c.needed("id")
	if err != nil {
		return err
	}
	found, err := c.h.b.NetworkFindPeer(c.r.Context(), id)
	if err != nil {
		return err
	}
	return c.ok(found)
}

func networkProviders(c *call) error {
	if err := c.agentMay(AgentRead); err != nil {
		return err
	}
	offer, err := c.needed("offer")
	if err != nil {
		return err
	}
	limit, given, err := c.uint("limit")
	if err != nil {
		return err
	}
	if !given {
		limit = providersDefault
	}
	found, err := c.h.b.NetworkProviders(c.r.Context(), offer, int(min(limit, providersDefault*5)))
	if err != nil {
		return err
	}
	return sendSlice(c, found)
}

func networkPing(c *call) error {
	if err := c.agentMay(AgentRead); err != nil {
		return err
	}
	b, err := c.peerBody()
	if err != nil {
		return err
	}
	if b.Count == 0 {
		b.Count = pingsDefault
	}
	if b.Count < 0 || b.Count > pingsMax {
		return invalid("count is 1 to %d", pingsMax)
	}
	c.clearDeadline() // one ping a second
	rep, err := c.h.b.NetworkPing(c.r.Context(), b.PeerID, b.Count)
	if err != nil {
		return err
	}
	return c.ok(rep)
}

func networkGet(c *call) error {
	if err := c.agentMay(AgentRead); err != nil {
		return err
	}
	key, err := c.needed("key")
	if err != nil {
		return err
	}
	rec, err := c.h.b.NetworkGet(c.r.Context(), key)
	if err != nil {
		return err
	}
	return c.ok(rec)
}

func networkPut(c *call) error {
	if err := c.agentMay(AgentWrite); err != nil {
		return err
	}
	name, err := c.needed("name")
	if err != nil {
		return err
	}
	life, err := lifeOf(c.params)
	if err != nil {
		return err
	}
	data, err := c.body(recordBytesMax, "")
	if err != nil {
		return err
	}
	key, err := c.h.b.NetworkPut(c.r.Context(), name, data, life)
	if err != nil {
		return err
	}
	return c.ok(map[string]string{"key": key})
}

// lifeOf reads ?ttl=; 0 means the longest.
func lifeOf(params url.Values) (time.Duration, error) {
	text := params.Get("ttl")
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second || d > 24*time.Hour {
		return 0, invalid("ttl=%q is not a time from 1s to 24h", shorten(text))
	}
	return d, nil
}

// needed is a parameter that must be there.
func (c *call) needed(name string) (string, error) {
	v := strings.TrimSpace(c.params.Get(name))
	if v == "" {
		return "", invalid("the parameter %s is missing", name)
	}
	return v, nil
}
