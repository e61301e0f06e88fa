package rpc

import (
	"context"
	"maps"
	"slices"

	"github.com/debros/debros/rpc/transport"
	"github.com/debros/debros/structs"
	"github.com/hashicorp/go-memdb"
)

func (s *service) catalogMethods() []transport.Method {
	return []transport.Method{
		read(s, "Catalog.Nodes", s.catalogNodes),
		read(s, "Catalog.Node", s.catalogNode),
		read(s, "Catalog.Datacenters", s.catalogDatacenters),
		s.ofItself(write(s, "Catalog.Register", s.catalogRegister)),
		write(s, "Catalog.Forget", s.catalogForget),
	}
}

func (s *service) catalogNodes(ctx context.Context, c call, req *structs.NodeListRequest, rep *structs.NodeListReply) error {
	after, err := decodeToken(req.NextToken, "")
	if err != nil {
		return err
	}
	name := func(n *structs.Node) string { return n.Name }
	return s.query(ctx, &req.QueryOptions, &rep.QueryMeta, func(ws memdb.WatchSet) (idx uint64, found bool) {
		idx, all := s.b.State().NodeList(ws)
		idx, rep.Nodes, rep.NextToken = pager[*structs.Node]{
			fetch: fetchSlice(idx, all, name), key: name,
			see: func(n *structs.Node) bool { return c.may.NodeRead(n.Name) },
		}.page(perPage(&req.QueryOptions), after)
		return idx, len(rep.Nodes) > 0
	})
}

func (s *service) catalogNode(ctx context.Context, c call, req *structs.NodeListRequest, rep *structs.NodeListReply) error {
	if req.Name == "" {
		return structs.Errorf(structs.KindInvalid, "missing node name")
	}
	if err := checkName("node name", req.Name); err != nil {
		return err
	}
	if !c.may.NodeRead(req.Name) {
		return denied("node:read", req.Name)
	}
	return s.query(ctx, &req.QueryOptions, &rep.QueryMeta, func(ws memdb.WatchSet) (idx uint64, found bool) {
		rep.Nodes = nil
		idx, have := s.b.State().NodeGet(ws, req.Name)
		if have != nil {
			rep.Nodes = []*structs.Node{have}
		}
		return idx, have != nil
	})
}

// catalogDatacenters asks for no right: the names of datacenters are no secret to who may connect.
func (s *service) catalogDatacenters(ctx context.Context, _ call, req *structs.QueryRequest, rep *structs.DatacentersReply) error {
	return s.query(ctx, &req.QueryOptions, &rep.QueryMeta, func(ws memdb.WatchSet) (idx uint64, found bool) {
		idx, all := s.b.State().NodeList(ws)
		names := append([]string{s.b.Datacenter()}, s.b.Datacenters()...)
		for _, n := range all {
			if n.Datacenter != "" {
				names = append(names, n.Datacenter)
			}
		}
		slices.Sort(names)
		rep.Datacenters = slices.Compact(names)
		return idx, true
	})
}

// ofItself lets a node speak for itself only: with certificates from the cluster key, the peer that calls must be the
// node that the request names, or a server of this datacenter, which looked at it so before it passed it on. That is why
// it stands before the door: behind it, what comes by way of another server would have that server's rights.
func (s *service) ofItself(m transport.Method) transport.Method {
	handle := m.Handle
	m.Handle = func(ctx context.Context, req any) (any, error) {
		peer := transport.PeerIdentity(ctx)
		server := peer.Role == structs.RoleServer && peer.Datacenter == s.b.Datacenter()
		if r, ok := req.(*structs.NodeRegisterRequest); ok && peer.Verified && peer.ID != "" && !server && peer.ID != r.ID {
			return nil, denied("node:write", r.Name)
		}
		return handle(ctx, req)
	}
	return m
}

// catalogRegister takes a node's own word for its meta.
func (s *service) catalogRegister(ctx context.Context, c call, req *structs.NodeRegisterRequest, rep *structs.WriteReply) error {
	if req.Name == "" || req.ID == "" {
		return structs.Errorf(structs.KindInvalid, "missing node name or id")
	}
	if err := checkName("node name", req.Name); err != nil {
		return err
	}
	if !c.may.AgentWrite(req.Name) {
		return denied("agent:write", req.Name)
	}
	if err := checkMeta(req.Meta); err != nil {
		return err
	}
	if e := req.Edge; e != nil {
		if err := checkEdge(e); err != nil {
			return err
		}
		var err error
		rep.Index, err = s.b.RegisterEdge(ctx, structs.Node{ID: req.ID, Name: req.Name, Address: e.Address, Version: e.Version, Ports: e.Ports, Meta: req.Meta}, e.Leaves)
		return err
	}
	_, have := s.b.State().NodeGet(nil, req.Name)
	if have != nil && have.ID != req.ID && have.Role == structs.RoleEdge && have.Status == structs.NodeAlive {
		return structs.Errorf(structs.KindConflict, "the node name %q is that of an edge agent, %s: this node is kept out of the nodes table while that one lives", clip(req.Name), have.ID).
			WithHint("give this agent a node_name of its own")
	}
	if have == nil || have.ID != req.ID {
		return structs.Errorf(structs.KindUnavailable, "node %q is not in membership yet", clip(req.Name))
	}
	if maps.Equal(have.Meta, req.Meta) {
		rep.Index = have.ModifyIndex
		return nil // every node says it again each minute
	}
	_, index, err := s.b.Apply(ctx, structs.CommandNode, &structs.NodeRequest{
		Op: structs.NodeMeta, Node: structs.Node{Name: req.Name, ID: req.ID, Meta: req.Meta},
	})
	rep.Index = index
	return err
}

// catalogForget takes away the row of an edge agent that is dead; gossip, which does so for other nodes, does not know it.
func (s *service) catalogForget(ctx context.Context, c call, req *structs.NodeForgetRequest, rep *structs.WriteReply) (err error) {
	if err := checkName("node name", req.Name); err != nil {
		return err
	}
	if !c.may.AgentWrite(req.Name) {
		return denied("agent:write", req.Name)
	}
	rep.Index, err = s.b.ForgetEdge(ctx, req.Name)
	return err
}

// checkEdge bounds what goes into a row on an agent's own word.
func checkEdge(e *structs.EdgeNode) error {
	const portsMax = 16
	if len(e.Ports) > portsMax {
		return structs.Errorf(structs.KindTooLarge, "%d ports; the limit is %d", len(e.Ports), portsMax)
	}
	for name := range e.Ports {
		if err := checkName("port name", name); err != nil {
			return err
		}
	}
	if err := checkName("address", e.Address); err != nil {
		return err
	}
	return checkName("version", e.Version)
}
