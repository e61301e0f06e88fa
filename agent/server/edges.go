package server

import (
	"context"
	"maps"
	"strings"
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

// forget drops what is known of an agent whose row is gone.
func (b *edgeBook) forget(id structs.NodeID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.heard, id)
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
	if leaves {
		if have == nil || have.ID != n.ID || have.Role != structs.RoleEdge {
			return s.store.Index(), nil
		}
		return s.dropEdge(ctx, have)
	}
	if owner := s.nameOwner(&n, have); owner != "" {
		return 0, nameTaken(n.Name, owner)
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

// hasName reports whether a row is that of an edge agent that lives: no other node takes its name. One that failed
// gives its name up: it may have lost its key.
func hasName(row *structs.Node) bool {
	return row != nil && row.Role == structs.RoleEdge && row.Status == structs.NodeAlive
}

func nameTaken(name string, owner structs.NodeID) error {
	return structs.Errorf(structs.KindConflict, "the node name %q is that of another node, %s: the one that came last needs a node_name of its own", name, owner).
		WithHint("give this agent a node_name of its own")
}

// nameOwner is another node that has n's name, by the row of that name or by gossip, which may know it sooner.
func (s *Server) nameOwner(n, have *structs.Node) structs.NodeID {
	if hasName(have) && have.ID == n.ID {
		return "" // who comes by gossip under this name came later
	}
	if have != nil && have.ID != n.ID && (have.Role != structs.RoleEdge || have.Status == structs.NodeAlive) {
		return have.ID
	}
	for _, m := range s.members.Members() {
		if m.ID != n.ID && m.Status != structs.MemberLeft && m.Datacenter == s.cfg.Datacenter && strings.EqualFold(m.Name, n.Name) {
			return m.ID
		}
	}
	return ""
}

// ForgetEdge implements rpc.Backend.
func (s *Server) ForgetEdge(ctx context.Context, name string) (index uint64, err error) {
	_, have := s.store.NodeGet(nil, name)
	switch {
	case have == nil:
		return 0, structs.Errorf(structs.KindNotFound, "no node %q is known", name)
	case have.Role != structs.RoleEdge:
		return 0, structs.Errorf(structs.KindUnsupported, "node %s is on the LAN of its servers, where this agent is not", have.Name).
			WithHint("ask an agent that is on that LAN: with -http-addr, or with -via and the address of a server that `debros peers` lists")
	case have.Status == structs.NodeAlive:
		return 0, structs.Errorf(structs.KindConflict, "node %s is alive", have.Name).
			WithHint("run debros leave on it; an edge agent that died counts as failed after %s", s.cfg.EdgeFailAfter)
	}
	return s.dropEdge(ctx, have)
}

// dropEdge deletes an edge agent's row.
func (s *Server) dropEdge(ctx context.Context, n *structs.Node) (index uint64, err error) {
	if _, index, err = s.Apply(ctx, structs.CommandNode, &structs.NodeRequest{Op: structs.NodeDelete, Node: *n}); err == nil {
		s.edges.forget(n.ID)
	}
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
			if _, ok := s.leaderApply(ctx, structs.CommandNode, &structs.NodeRequest{Op: structs.NodeDelete, Node: *n}); ok {
				s.edges.forget(n.ID)
			}
		case silent > s.cfg.EdgeFailAfter && n.Status == structs.NodeAlive:
			s.log.Info("an edge agent is silent", "node", n.Name, "id", n.ID, "for", silent.Round(time.Second))
			failed := *n
			failed.Status = structs.NodeFailed
			s.leaderApply(ctx, structs.CommandNode, &structs.NodeRequest{Op: structs.NodeUpsert, Node: failed})
		}
	}
}
