package api

import (
	"context"
	"net/url"
	"time"
)

// Catalog lists the nodes that the cluster's state knows. What a single agent sees is in
// Agent.Members.
type Catalog struct{ c *Client }

// Node is a node of the cluster.
type Node struct {
	ID              string // peer id of its key
	Node            string // name
	Address         string
	Datacenter      string
	TaggedAddresses map[string]string `json:",omitempty"`
	Meta            map[string]string
	Role            string         `json:",omitempty"`
	Status          string         `json:",omitempty"`
	Ports           map[string]int `json:",omitempty"`
	Version         string         `json:",omitempty"`
	CreateIndex     uint64
	ModifyIndex     uint64
}

// Nodes lists all nodes by name.
func (c *Catalog) Nodes(ctx context.Context, o *QueryOptions) ([]*Node, *QueryMeta, error) {
	var out []*Node
	_, m, err := c.c.get(ctx, "/v1/catalog/nodes", o, &out)
	return out, m, err
}

// Node reads one node by name; nil when it does not exist.
func (c *Catalog) Node(ctx context.Context, name string, o *QueryOptions) (*Node, *QueryMeta, error) {
	var out struct{ Node *Node }
	_, m, err := c.c.get(ctx, "/v1/catalog/node/"+url.PathEscape(name), o, &out)
	return out.Node, m, err
}

// Datacenters lists the datacenters that the agent knows.
func (c *Catalog) Datacenters(ctx context.Context) ([]string, error) {
	var out []string
	_, _, err := c.c.get(ctx, "/v1/catalog/datacenters", nil, &out)
	return out, err
}

// Coordinates gives the network coordinates of nodes.
type Coordinates struct{ c *Client }

// Coordinate is a node's place in the space of round-trip times.
type Coordinate struct {
	Node    string
	Segment string // always "" here; Consul's API has it
	Coord   *Coord
}

// Coord is a Vivaldi coordinate; all numbers are seconds, Error is relative.
type Coord struct {
	Vec        []float64
	Error      float64
	Adjustment float64
	Height     float64
}

// Distance estimates the round trip between two nodes. It is 0 when their coordinates do not
// compare.
func (a *Coord) Distance(b *Coord) time.Duration {
	if b == nil || len(a.Vec) != len(b.Vec) {
		return 0
	}
	return vivaldi(a, b)
}

// Nodes lists the coordinates of all nodes.
func (c *Coordinates) Nodes(ctx context.Context, o *QueryOptions) ([]*Coordinate, *QueryMeta, error) {
	var out []*Coordinate
	_, m, err := c.c.get(ctx, "/v1/coordinate/nodes", o, &out)
	return out, m, err
}

// Status names the leader and the servers.
type Status struct{ c *Client }

// Leader is "host:port" of the leader's server port; "" when there is none.
func (s *Status) Leader(ctx context.Context, o *QueryOptions) (string, error) {
	var out string
	_, _, err := s.c.get(ctx, "/v1/status/leader", o, &out)
	return out, err
}

// Peers lists "host:port" of every server of the Raft configuration.
func (s *Status) Peers(ctx context.Context, o *QueryOptions) ([]string, error) {
	var out []string
	_, _, err := s.c.get(ctx, "/v1/status/peers", o, &out)
	return out, err
}
