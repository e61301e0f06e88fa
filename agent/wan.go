package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/debros/debros/agent/overlay"
	"github.com/debros/debros/structs"
)

// askAbroad bounds the question for the nodes of another datacenter: its servers are listed without an answer too.
const askAbroad = 5 * time.Second

// wanList is members by id, in the order in which they came.
type wanList struct {
	list []*structs.Member
	byID map[structs.NodeID]*structs.Member
}

func (w *wanList) add(m structs.Member) *structs.Member {
	p := &m
	w.byID[m.ID], w.list = p, append(w.list, p)
	return p
}

// addRows takes servers and edge agents from the rows of a datacenter.
func (w *wanList) addRows(nodes []*structs.Node) {
	for _, n := range nodes {
		if (n.Role == structs.RoleServer || n.Role == structs.RoleEdge) && w.byID[n.ID] == nil {
			w.add(memberOf(n))
		}
	}
}

// MembersWAN implements httpapi.Local. The servers of each datacenter know their own nodes, edge agents included; the overlay
// knows how they are connected, and of servers that do not answer that they are there.
func (l local) MembersWAN(ctx context.Context, token string) ([]structs.Member, error) {
	a := l.a
	own, err := a.nodesOf(ctx, token, "")
	if err != nil {
		return nil, err
	}
	w := &wanList{byID: map[structs.NodeID]*structs.Member{}}
	w.addRows(own)
	if a.overlay != nil {
		peers := a.overlay.Peers()
		for _, nodes := range a.nodesAbroad(ctx, token, datacentersOf(peers, a.Config().Datacenter)) {
			w.addRows(nodes)
		}
		for _, p := range peers {
			id := structs.NodeID(p.ID.String())
			if m := w.byID[id]; m != nil {
				describeWay(m, p)
			} else if dc := servesDatacenter(p); dc != "" && p.Connected && p.Member {
				describeWay(w.add(memberOf(&structs.Node{ID: id, Name: string(id), Role: structs.RoleServer, Datacenter: dc, Status: structs.NodeAlive})), p)
			}
		}
	}
	list := make([]structs.Member, len(w.list))
	for i, m := range w.list {
		list[i] = *m
	}
	return list, nil
}

// nodesOf are the rows of a datacenter, "" for this one, that the bearer of a token may see.
func (a *Agent) nodesOf(ctx context.Context, token, datacenter string) ([]*structs.Node, error) {
	var rep structs.NodeListReply
	req := &structs.NodeListRequest{QueryOptions: structs.QueryOptions{Token: token, Consistency: structs.Stale, Datacenter: datacenter}}
	err := a.cluster.RPC(ctx, "Catalog.Nodes", req, &rep)
	return rep.Nodes, err
}

// nodesAbroad asks datacenters for their rows, all at once; one that does not answer is left out.
func (a *Agent) nodesAbroad(ctx context.Context, token string, datacenters []string) [][]*structs.Node {
	ctx, cancel := context.WithTimeout(ctx, askAbroad)
	defer cancel()
	out := make([][]*structs.Node, len(datacenters))
	var wg sync.WaitGroup
	for i, dc := range datacenters {
		wg.Go(func() {
			nodes, err := a.nodesOf(ctx, token, dc)
			if err != nil {
				a.log.Debug("another datacenter does not tell its nodes", "datacenter", dc, "error", err)
				return
			}
			// It speaks for itself only.
			out[i] = slices.DeleteFunc(nodes, func(n *structs.Node) bool { return n.Datacenter != dc })
		})
	}
	wg.Wait()
	return out
}

// datacentersOf are the datacenters whose servers are among the connected members, without own.
func datacentersOf(peers []overlay.Peer, own string) (out []string) {
	for _, p := range peers {
		if dc := servesDatacenter(p); dc != "" && p.Member && p.Connected && dc != own && !slices.Contains(out, dc) {
			out = append(out, dc)
		}
	}
	return out
}

// memberOf is a row as a member. An edge agent's row says how it reaches its servers.
func memberOf(n *structs.Node) structs.Member {
	status := structs.MemberAlive
	if n.Status == structs.NodeFailed {
		status = structs.MemberFailed
	}
	m := structs.Member{
		ID: n.ID, Name: n.Name, Addr: n.Address, Port: n.Ports[structs.PortOverlay], Role: n.Role, Status: status, Datacenter: n.Datacenter,
		Ports: n.Ports, Build: n.Version, Tags: map[string]string{"role": string(n.Role), "dc": n.Datacenter, "id": string(n.ID)},
	}
	if how, transport, _ := strings.Cut(n.Meta[structs.MetaVia], " "); how != "" && n.Role == structs.RoleEdge {
		m.Tags["via"] = how
		if transport != "" {
			m.Tags["transport"] = transport
		}
	}
	return m
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
	best, ok := bestConn(p)
	if !ok {
		return
	}
	m.Tags["via"], m.Tags["transport"], m.Tags["rtt_ms"] = viaOf(best), best.Transport, fmt.Sprintf("%.1f", millis(p.RTT))
	if m.Addr == "" && !best.Relayed {
		m.Addr = hostOf(best.Addr)
	}
	if m.Port == 0 && !best.Relayed && !best.Inbound {
		m.Port = overlay.PortOf(best.Addr)
	}
}
