package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/hashicorp/go-metrics"
	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/debros/debros/structs"
)

// reconcileAll makes the nodes table and the Raft configuration say what membership says; false when
// something could not be done and is to be tried again soon. It runs on every change of membership and
// again every ReconcileInterval, so a missed event costs time and nothing else.
func (s *Server) reconcileAll(ctx context.Context) (done bool) {
	done = true
	trouble := map[structs.NodeID]string{}
	defer func() { s.trouble = trouble }()
	if err := s.ensureCluster(ctx); err != nil && ctx.Err() == nil {
		done = false
		s.log.Warn("the leader's housekeeping was not applied", "error", err)
	}
	members := s.members.Members()
	seen, ids := make(map[string]bool, len(members)), make(map[structs.NodeID]bool, len(members))
	for _, m := range members {
		if m.Datacenter != s.cfg.Datacenter {
			continue
		}
		seen[m.Name] = true
		ids[m.ID] = true
		s.gone.seen(m.ID)
		switch err := s.reconcileMember(ctx, m); {
		case err == nil:
		case ctx.Err() != nil:
			return true
		case errors.Is(err, errJustRemoved), errors.Is(err, errLeaving): // each was said in the log, or will be
			done = false
		default:
			done = false
			level := slog.LevelWarn
			if s.trouble[m.ID] == err.Error() {
				level = slog.LevelDebug // it is tried every second
			}
			s.log.Log(ctx, level, "member not reconciled; it is tried again", "node", m.Name, "id", m.ID, "error", err)
			trouble[m.ID] = err.Error()
		}
	}
	s.strangers.keepOnly(func(id structs.NodeID) bool { return ids[id] })
	_, nodes := s.store.NodeList(nil)
	for _, n := range nodes {
		if n.Role != structs.RoleEdge && !seen[n.Name] && s.gone.mayDrop(n.ID, time.Now()) {
			s.log.Info("node is gone from membership", "node", n.Name, "id", n.ID)
			if _, ok := s.leaderApply(ctx, structs.CommandNode, &structs.NodeRequest{Op: structs.NodeDelete, Node: *n}); ok {
				s.gone.forget(n.ID)
			}
		}
	}
	metrics.IncrCounter([]string{"server", "reconcile"}, 1)
	return done
}

// dropLeft forgets a node that left, and its place in the Raft configuration, each if it is still
// there: the one may have gone in an earlier round when the other could not. A server that is merely
// unseen keeps its place: whether a dead server goes is for autopilot to decide, which counts the quorum.
func (s *Server) dropLeft(ctx context.Context, m structs.Member, row *structs.Node) error {
	if err := s.dropRow(ctx, m, row); err != nil {
		return err
	}
	if m.Role != structs.RoleServer || m.ID == s.cfg.NodeID {
		return nil
	}
	if _, err := s.findServer(m.ID, ""); errors.Is(err, structs.ErrNotFound) {
		return nil
	}
	if err := s.keepsQuorum(ctx, m.ID); err != nil { // it left by force
		return fmt.Errorf("remove server %q from the raft configuration: %w", m.Name, err)
	}
	if err := s.autopilot.RemoveServer(raft.ServerID(m.ID)); err != nil {
		return fmt.Errorf("remove server %q from the raft configuration: %w", m.Name, err)
	}
	return nil
}

// dropRow deletes a member's row if there is one.
func (s *Server) dropRow(ctx context.Context, m structs.Member, row *structs.Node) error {
	if row == nil || row.ID != m.ID {
		return nil
	}
	if _, _, err := s.apply(ctx, structs.CommandNode, &structs.NodeRequest{Op: structs.NodeDelete, Node: *row}); err != nil {
		return fmt.Errorf("delete node %q: %w", m.Name, err)
	}
	return nil
}

// errJustRemoved: the server is not added again yet; it is to be looked at again soon.
var errJustRemoved = errors.New("the server was removed a moment ago")

// errLeaving: the server is to be looked at again soon. If it denies that it leaves, no event says so.
var errLeaving = errors.New("the server is leaving")

// reconcileMember writes one member's row and, for servers, its place in the Raft configuration.
func (s *Server) reconcileMember(ctx context.Context, m structs.Member) error {
	_, old := s.store.NodeGet(nil, m.Name)
	if old != nil && old.Role == structs.RoleEdge && old.ID == m.ID && m.Status != structs.MemberAlive {
		// It moved away: gossip remembers a node of the LAN for days, and knows nothing of how it is now.
		old = nil
		if m.Status != structs.MemberLeft {
			return nil
		}
	}
	if m.Status == structs.MemberLeft {
		return s.dropLeft(ctx, m, old)
	}
	if hasName(old) && old.ID != m.ID && !s.configured(m.ID) { // a server of Raft stays one, whatever it is called
		if m.Status != structs.MemberAlive {
			return nil
		}
		return nameTaken(m.Name, old.ID)
	}
	if !s.gone.justRemoved(m.ID, time.Now()) { // or it would be asked to come back
		ours, err := s.admit(ctx, m)
		if err != nil {
			return err
		}
		if !ours {
			return s.dropRow(ctx, m, old)
		}
	}
	row := nodeOf(m)
	if taken := hasName(old) && old.ID != m.ID; !taken && (old == nil || !sameNode(old, &row)) {
		if _, _, err := s.apply(ctx, structs.CommandNode, &structs.NodeRequest{Op: structs.NodeUpsert, Node: row}); err != nil {
			return fmt.Errorf("write node %q: %w", m.Name, err)
		}
	}
	if m.Role != structs.RoleServer || m.ID == s.cfg.NodeID {
		return nil
	}
	switch m.Status {
	case structs.MemberAlive:
	case structs.MemberLeaving:
		return errLeaving
	default:
		return nil
	}
	if s.cfg.Dev {
		return nil // a development server is a cluster of one; two that are joined would overwrite each other's log
	}
	if s.gone.justRemoved(m.ID, time.Now()) {
		return errJustRemoved
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
