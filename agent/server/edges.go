package server

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/debros/debros/structs"
)

const (
	// edgeFailAfter is how long an edge agent may be silent before it counts as failed; it registers every few seconds.
	edgeFailAfter = 20 * time.Second
	// edgeForgetAfter is how long a failed one is kept.
	edgeForgetAfter = 72 * time.Hour
)

// edgeBook is when edge agents were last heard of, by this leader. They have no gossip, so their registration is all that
// tells of their health.
type edgeBook struct {
	mu    sync.Mutex // protects the following
	since time.Time  // when this office began: what was before it is not known
	heard map[structs.NodeID]time.Time
}

func (b *edgeBook) begin(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.since, b.heard = now, map[structs.NodeID]time.Time{}
}

func (b *edgeBook) note(id structs.NodeID, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.heard != nil {
		b.heard[id] = now
	}
}

// silent is for how long a node has not been heard of.
func (b *edgeBook) silent(id structs.NodeID, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at, ok := b.heard[id]; ok {
		return now.Sub(at)
	}
	return now.Sub(b.since)
}

// RegisterEdge implements rpc.Backend.
func (s *Server) RegisterEdge(ctx context.Context, n structs.Node, leaves bool) (index uint64, err error) {
	_, have := s.store.NodeGet(nil, n.Name)
	if have != nil && have.ID != n.ID && (have.Role != structs.RoleEdge || have.Status == structs.NodeAlive) {
		return 0, structs.Errorf(structs.KindConflict, "the node name %q is that of another node, %s", n.Name, have.ID).
			WithHint("give this agent a node_name of its own")
	}
	if leaves {
		if have == nil || have.ID != n.ID || have.Role != structs.RoleEdge {
			return s.store.Index(), nil
		}
		_, index, err = s.Apply(ctx, structs.CommandNode, &structs.NodeRequest{Op: structs.NodeDelete, Node: *have})
		return index, err
	}
	if m, ok := s.member(n.ID); ok && m.Status == structs.MemberAlive {
		return s.store.Index(), nil // gossip knows it too: then it is a node of the LAN
	}
	s.edges.note(n.ID, time.Now())
	n.Role, n.Status, n.Datacenter = structs.RoleEdge, structs.NodeAlive, s.cfg.Datacenter
	if n.Meta == nil {
		n.Meta = map[string]string{}
	}
	if have != nil && sameNode(have, &n) && maps.Equal(have.Meta, n.Meta) {
		return have.ModifyIndex, nil
	}
	_, index, err = s.Apply(ctx, structs.CommandNode, &structs.NodeRequest{Op: structs.NodeUpsert, Node: n})
	return index, err
}

// checkEdges makes edge agents that are silent failed, which ends their sessions, and forgets those that are for long.
func (s *Server) checkEdges(ctx context.Context) {
	now := time.Now()
	_, nodes := s.store.NodeList(nil)
	for _, n := range nodes {
		if n.Role != structs.RoleEdge {
			continue
		}
		silent := s.edges.silent(n.ID, now)
		switch {
		case silent > edgeForgetAfter:
			s.leaderApply(ctx, structs.CommandNode, &structs.NodeRequest{Op: structs.NodeDelete, Node: *n})
		case silent > s.cfg.EdgeFailAfter && n.Status == structs.NodeAlive:
			s.log.Info("an edge agent is silent", "node", n.Name, "id", n.ID, "for", silent.Round(time.Second))
			failed := *n
			failed.Status = structs.NodeFailed
			s.leaderApply(ctx, structs.CommandNode, &structs.NodeRequest{Op: structs.NodeUpsert, Node: failed})
		}
	}
}
