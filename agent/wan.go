package agent

import (
	"context"
	"fmt"
	"strings"

	"github.com/debros/debros/agent/overlay"
	"github.com/debros/debros/structs"
)

// MembersWAN implements httpapi.Local. The servers' table knows this datacenter, its edge agents included; the overlay knows
// the servers of others by the protocol that they serve.
func (l local) MembersWAN(ctx context.Context) ([]structs.Member, error) {
	a := l.a
	var rep structs.NodeListReply
	if err := a.cluster.RPC(ctx, "Catalog.Nodes", &structs.NodeListRequest{QueryOptions: structs.QueryOptions{Consistency: structs.Stale}}, &rep); err != nil {
		return nil, err
	}
	byID := map[structs.NodeID]*structs.Member{}
	var out []*structs.Member
	add := func(m structs.Member) *structs.Member {
		p := &m
		byID[m.ID], out = p, append(out, p)
		return p
	}
	for _, n := range rep.Nodes {
		if n.Role == structs.RoleServer || n.Role == structs.RoleEdge {
			m := add(memberOf(n))
			if via := n.Meta[structs.MetaVia]; via != "" {
				how, transport, _ := strings.Cut(via, " ")
				m.Tags["via"] = how
				if transport != "" {
					m.Tags["transport"] = transport
				}
			}
		}
	}
	if a.overlay != nil {
		for _, p := range a.overlay.Peers() {
			id := structs.NodeID(p.ID.String())
			if m := byID[id]; m != nil {
				describeWay(m, p)
			} else if dc := servesDatacenter(p); dc != "" && p.Connected && p.Member {
				describeWay(add(structs.Member{
					ID: id, Name: string(id), Role: structs.RoleServer, Datacenter: dc, Status: structs.MemberAlive,
					Tags: map[string]string{"role": string(structs.RoleServer), "dc": dc, "id": string(id)},
				}), p)
			}
		}
	}
	list := make([]structs.Member, len(out))
	for i, m := range out {
		list[i] = *m
	}
	return list, nil
}

// memberOf is a row as a member.
func memberOf(n *structs.Node) structs.Member {
	status := structs.MemberAlive
	if n.Status == structs.NodeFailed {
		status = structs.MemberFailed
	}
	return structs.Member{
		ID: n.ID, Name: n.Name, Addr: n.Address, Port: n.Ports[structs.PortOverlay], Role: n.Role, Status: status, Datacenter: n.Datacenter,
		Ports: n.Ports, Build: n.Version, Tags: map[string]string{"role": string(n.Role), "dc": n.Datacenter, "id": string(n.ID)},
	}
}

// servesDatacenter is the datacenter that a peer is a server of, "" for none.
func servesDatacenter(p overlay.Peer) string {
	for _, proto := range p.Protocols {
		if dc, ok := strings.CutPrefix(proto, string(protoRPC(""))); ok {
			return dc
		}
	}
	return ""
}

// describeWay says how this agent is connected to a peer.
func describeWay(m *structs.Member, p overlay.Peer) {
	if !p.Connected || len(p.Conns) == 0 {
		return
	}
	best := p.Conns[0]
	for _, c := range p.Conns {
		if best.Relayed && !c.Relayed {
			best = c
		}
	}
	m.Tags["via"], m.Tags["transport"], m.Tags["rtt_ms"] = "direct", best.Transport, fmt.Sprintf("%.1f", millis(p.RTT))
	if best.Relayed {
		m.Tags["via"] = "relay"
	}
	if m.Addr == "" {
		m.Addr = best.Addr.String()
	}
}
