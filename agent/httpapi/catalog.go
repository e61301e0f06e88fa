package httpapi

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/debros/debros/structs"
	"github.com/hashicorp/serf/coordinate"
)

func catalogRoutes() []route {
	return []route{
		{
			method: "GET", pattern: "/v1/catalog/nodes", handle: catalogNodes, errors: textErrors,
			doc:    "List the nodes that the cluster knows.",
			params: "`node-meta=key:value` (repeatable, all must hold); `near=` a node's name or `_agent` sorts by round-trip time; blocking and paging",
			reply:  "a list of nodes",
		},
		{
			method: "GET", pattern: "/v1/catalog/node/{node}", handle: catalogNode, errors: textErrors,
			doc: "Read one node.", params: "blocking", reply: "`{\"Node\", \"Services\"}`, or null for an unknown one",
		},
		{
			method: "GET", pattern: "/v1/catalog/datacenters", handle: catalogDatacenters, errors: textErrors,
			doc: "List the known datacenters.", reply: "a list of names",
		},
		{
			method: "GET", pattern: "/v1/coordinate/nodes", handle: coordinateNodes, errors: textErrors,
			doc: "List the network coordinates of the nodes.", reply: "a list of `{\"Node\", \"Segment\", \"Coord\"}`",
		},
		{
			method: "GET", pattern: "/v1/coordinate/node/{node}", handle: coordinateNode, errors: textErrors,
			doc: "Read the network coordinate of one node.", reply: "a list of the one coordinate; 404 for an unknown node",
		},
	}
}

func catalogNodes(c *call) error {
	o, err := c.query()
	if err != nil {
		return err
	}
	if err := c.noFilter(); err != nil {
		return err
	}
	want, err := nodeMeta(c.params["node-meta"])
	if err != nil {
		return err
	}
	var rep structs.NodeListReply
	if err := c.rpc("Catalog.Nodes", &structs.NodeListRequest{QueryOptions: o}, &rep); err != nil {
		return err
	}
	nodes := make([]*structs.CatalogNode, 0, len(rep.Nodes))
	for _, n := range rep.Nodes {
		if hasMeta(n.Meta, want) {
			nodes = append(nodes, catalogNodeOf(n))
		}
	}
	if near := c.params.Get("near"); near != "" {
		c.sortNear(nodes, near)
	}
	c.meta(&rep.QueryMeta)
	return sendSlice(c, nodes)
}

func nodeMeta(filters []string) (map[string]string, error) {
	want := make(map[string]string, len(filters))
	for _, f := range filters {
		k, v, ok := strings.Cut(f, ":")
		if !ok || k == "" {
			return nil, invalid("node-meta=%q is not of the form key:value", shorten(f))
		}
		want[k] = v
	}
	return want, nil
}

func hasMeta(meta, want map[string]string) bool {
	for k, v := range want {
		if got, ok := meta[k]; !ok || got != v {
			return false
		}
	}
	return true
}

func catalogNodeOf(n *structs.Node) *structs.CatalogNode {
	out := &structs.CatalogNode{
		ID: n.ID, Node: n.Name, Address: n.Address, Datacenter: n.Datacenter, Meta: n.Meta,
		TaggedAddresses: map[string]string{"lan": n.Address, "wan": n.Address},
		CreateIndex:     n.CreateIndex, ModifyIndex: n.ModifyIndex,
		Role: n.Role, Status: n.Status, Version: n.Version, Ports: n.Ports,
	}
	if ip, err := netip.ParseAddr(n.Address); err == nil {
		family := "_ipv4"
		if ip.Is6() {
			family = "_ipv6"
		}
		out.TaggedAddresses["lan"+family], out.TaggedAddresses["wan"+family] = n.Address, n.Address
	}
	return out
}

// sortNear orders nodes by their estimated round-trip time from one of them, unknown ones last.
func (c *call) sortNear(nodes []*structs.CatalogNode, from string) {
	if from == "_agent" {
		from = c.h.nodeName()
	}
	coords := map[string]*coordinate.Coordinate{}
	for _, e := range c.h.b.Coordinates() {
		coords[e.Node] = e.Coord
	}
	origin := coords[from]
	distance := func(n *structs.CatalogNode) time.Duration {
		to := coords[n.Node]
		switch {
		case n.Node == from:
			return -1
		case origin == nil || to == nil || !origin.IsCompatibleWith(to):
			return math.MaxInt64
		}
		return origin.DistanceTo(to)
	}
	slices.SortStableFunc(nodes, func(a, b *structs.CatalogNode) int { return cmp.Compare(distance(a), distance(b)) })
}

func catalogNode(c *call) error {
	o, err := c.query()
	if err != nil {
		return err
	}
	if c.param == "" {
		return invalid("Missing node name")
	}
	var rep structs.NodeListReply
	if err := c.rpc("Catalog.Node", &structs.NodeListRequest{QueryOptions: o, Name: c.param}, &rep); err != nil {
		return err
	}
	c.meta(&rep.QueryMeta)
	if len(rep.Nodes) == 0 {
		return c.ok(nil)
	}
	return c.ok(structs.CatalogNodeServices{Node: catalogNodeOf(rep.Nodes[0]), Services: map[string]any{}})
}

func catalogDatacenters(c *call) error {
	o, err := c.query()
	if err != nil {
		return err
	}
	var rep structs.DatacentersReply
	if err := c.rpc("Catalog.Datacenters", &structs.QueryRequest{QueryOptions: o}, &rep); err != nil {
		return err
	}
	c.meta(&rep.QueryMeta)
	return sendSlice(c, rep.Datacenters)
}

// coordinateNodes answers from this agent's gossip: there is no index, and nothing to block on.
func coordinateNodes(c *call) error {
	if err := c.agentMay(NodeRead); err != nil {
		return err
	}
	return sendSlice(c, c.coordinates(""))
}

func coordinateNode(c *call) error {
	if err := c.agentMay(NodeRead); err != nil {
		return err
	}
	found := c.coordinates(c.param)
	if len(found) == 0 || c.param == "" {
		return c.notFound()
	}
	return sendSlice(c, found)
}

// coordinates lists all entries, or those of one node, by name.
func (c *call) coordinates(node string) []structs.CoordinateEntry {
	var out []structs.CoordinateEntry
	for _, e := range c.h.b.Coordinates() {
		if node == "" || e.Node == node {
			out = append(out, structs.CoordinateEntry{Node: e.Node, Coord: e.Coord})
		}
	}
	slices.SortFunc(out, func(a, b structs.CoordinateEntry) int { return strings.Compare(a.Node, b.Node) })
	return out
}
