package server

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/hashicorp/go-metrics"
	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/debros/debros/structs"
)

// reconcileAll makes the nodes table and the Raft configuration say what membership says. It runs
// on every change of membership and again every ReconcileInterval, so a missed event costs time and
// nothing else.
func (s *Server) reconcileAll(ctx context.Context) {
	members := s.members.Members()
	seen := make(map[string]bool, len(members))
	for _, m := range members {
		if m.Datacenter != s.cfg.Datacenter {
			continue
		}
		seen[m.Name] = true
		s.gone.seen(m.ID)
		if err := s.reconcileMember(ctx, m); err != nil {
			if ctx.Err() != nil {
				return
			}
			s.log.Warn("member not reconciled; it is tried again", "node", m.Name, "id", m.ID, "error", err)
		}
	}
	_, nodes := s.store.NodeList(nil)
	for _, n := range nodes {
		if !seen[n.Name] && s.gone.mayDrop(n.ID, time.Now()) {
			s.log.Info("node is gone from membership", "node", n.Name, "id", n.ID)
			s.leaderApply(ctx, structs.CommandNode, &structs.NodeRequest{Op: structs.NodeDelete, Node: *n})
			s.gone.forget(n.ID)
		}
	}
	metrics.IncrCounter([]string{"server", "reconcile"}, 1)
}

// dropNode forgets a node that left, and its place in the Raft configuration. A server that is merely
// unseen keeps its place: whether a dead server goes is for autopilot to decide, which counts the quorum.
func (s *Server) dropNode(ctx context.Context, n *structs.Node) {
	s.leaderApply(ctx, structs.CommandNode, &structs.NodeRequest{Op: structs.NodeDelete, Node: *n})
	if n.Role == structs.RoleServer && n.ID != s.cfg.NodeID {
		if err := s.autopilot.RemoveServer(raft.ServerID(n.ID)); err != nil {
			s.log.Warn("server not removed from the raft configuration", "node", n.Name, "error", err)
		}
	}
}

// reconcileMember writes one member's row and, for servers, its place in the Raft configuration.
func (s *Server) reconcileMember(ctx context.Context, m structs.Member) error {
	_, old := s.store.NodeGet(nil, m.Name)
	if m.Status == structs.MemberLeft {
		if old != nil && old.ID == m.ID {
			s.dropNode(ctx, old)
		}
		return nil
	}
	row := nodeOf(m)
	if old == nil || !sameNode(old, &row) {
		if _, _, err := s.apply(ctx, structs.CommandNode, &structs.NodeRequest{Op: structs.NodeUpsert, Node: row}); err != nil {
			return fmt.Errorf("write node %q: %w", m.Name, err)
		}
	}
	if m.Role != structs.RoleServer || m.Status != structs.MemberAlive || m.ID == s.cfg.NodeID || s.gone.justRemoved(m.ID, time.Now()) {
		return nil
	}
	return s.autopilot.AddServer(&autopilot.Server{
		ID: raft.ServerID(m.ID), Name: m.Name, Address: raft.ServerAddress(serverAddress(m)),
		NodeStatus: autopilot.NodeAlive, Version: m.Build, RaftVersion: int(raft.ProtocolVersionMax),
	})
}

// nodeOf is the row that a member should have.
func nodeOf(m structs.Member) structs.Node {
	status := structs.NodeAlive
	if m.Status == structs.MemberFailed {
		status = structs.NodeFailed
	}
	return structs.Node{
		ID: m.ID, Name: m.Name, Address: m.Addr, Datacenter: m.Datacenter, Role: m.Role,
		Status: status, Ports: m.Ports, Version: m.Build,
	}
}

// sameNode compares what membership says of a node; indexes and meta do not count.
func sameNode(a, b *structs.Node) bool {
	return a.ID == b.ID && a.Address == b.Address && a.Datacenter == b.Datacenter && a.Role == b.Role &&
		a.Status == b.Status && a.Version == b.Version && maps.Equal(a.Ports, b.Ports)
}
