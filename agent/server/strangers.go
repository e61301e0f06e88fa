package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-metrics"

	"github.com/debros/debros/structs"
)

// strangerBook is what the leader knows of servers in the gossip pool that it keeps out of its cluster.
type strangerBook struct {
	// mu protects the following.
	mu   sync.Mutex
	byID map[structs.NodeID]structs.RefusedServer
}

// note keeps a refusal; news says that nobody was told of it yet.
func (b *strangerBook) note(r structs.RefusedServer) (news bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old, ok := b.byID[r.ID]
	if b.byID == nil {
		b.byID = map[structs.NodeID]structs.RefusedServer{}
	}
	b.byID[r.ID] = r
	return !ok || old.ClusterID != r.ClusterID || old.Reason != r.Reason
}

// has reports whether the server is kept out.
func (b *strangerBook) has(id structs.NodeID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.byID[id]
	return ok
}

// forget takes a server back off the list.
func (b *strangerBook) forget(id structs.NodeID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.byID, id)
}

// keepOnly forgets every server for which keep is false.
func (b *strangerBook) keepOnly(keep func(structs.NodeID) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range b.byID {
		if !keep(id) {
			delete(b.byID, id)
		}
	}
}

// clear forgets them all: this server no longer leads, or begins to.
func (b *strangerBook) clear() { b.keepOnly(func(structs.NodeID) bool { return false }) }

// list is in the order of names.
func (b *strangerBook) list() (out []*structs.RefusedServer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.byID {
		out = append(out, &r)
	}
	slices.SortFunc(out, func(a, b *structs.RefusedServer) int {
		return strings.Compare(a.Node+string(a.ID), b.Node+string(b.ID))
	})
	return out
}

// admit decides whether a server that membership shows is one of this cluster, before anything is
// written of it. A server of the Raft configuration is; any other is asked, and a fresh one says that
// it is ours from now on. An error says that it is not known yet.
func (s *Server) admit(ctx context.Context, m structs.Member) (ours bool, err error) {
	if m.Role != structs.RoleServer || m.ID == s.cfg.NodeID || s.cfg.Dev || s.configured(m.ID) {
		s.strangers.forget(m.ID)
		return true, nil
	}
	_, own := s.store.Cluster(nil)
	if own == nil {
		return true, nil // of a cluster that knows no ids yet: nobody can tell
	}
	if m.Status != structs.MemberAlive {
		return !s.strangers.has(m.ID), nil
	}
	refused := structs.RefusedServer{ID: m.ID, Node: m.Name, Address: serverAddress(m)}
	if m.FSM < s.fsmNeeded() {
		refused.Reason = "its build is older than the state of this cluster"
		s.refuse(refused, "upgrade debros on it")
		return false, nil
	}
	answer, err := s.claimServer(ctx, m, own.ID)
	switch {
	case err != nil:
		return false, fmt.Errorf("ask which cluster it belongs to: %w", err)
	case answer.Cluster == own.ID:
		s.strangers.forget(m.ID)
		return true, nil
	case answer.NotYet:
		return false, fmt.Errorf("it does not say yet which cluster it belongs to: %s", answer.Why)
	}
	refused.ClusterID, refused.Reason = answer.Cluster, answer.Why
	if refused.Reason == "" {
		refused.Reason = "it belongs to another cluster"
	}
	s.refuse(refused, "if the two clusters were joined by mistake, give one of them another cluster_key; "+
		"if it is to be a server of this one, stop it, empty its data_dir and start it again without bootstrap_expect")
	return false, nil
}

// refuse keeps a server out, and says so once.
func (s *Server) refuse(r structs.RefusedServer, hint string) {
	if !s.strangers.note(r) {
		return
	}
	metrics.IncrCounter([]string{"server", "refused"}, 1)
	s.log.Error("a server in the gossip pool is kept out of this cluster", "node", r.Node, "id", r.ID, "address", r.Address,
		"reason", r.Reason, "its_cluster", r.ClusterID, "cluster_id", s.ClusterID(), "hint", hint)
}

func (s *Server) claimServer(ctx context.Context, m structs.Member, own structs.ClusterID) (clusterAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, statsTimeout) // the leader waits with other things meanwhile
	defer cancel()
	var answer clusterAnswer
	err := s.pool.Call(ctx, serverAddress(m), "Cluster.Claim", &clusterClaim{Cluster: own, By: s.cfg.NodeID}, &answer)
	return answer, err
}
