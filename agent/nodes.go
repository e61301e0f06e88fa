package agent

import (
	"context"
	"time"

	"github.com/debros/debros/structs"
)

// nameTimeout bounds the question what the peers are called: who looks at peers may be looking for why nobody answers.
const nameTimeout = time.Second

// membersWait bounds how long an edge agent waits for the servers to say who the members are.
const membersWait = 3 * time.Second

// Members implements httpapi.Local. Gossip of an edge agent knows only itself: there it is what the servers know.
func (l local) Members(ctx context.Context, token string) ([]structs.Member, error) {
	a := l.a
	list := a.gossip.Members()
	if !a.isEdge() || len(list) > 1 {
		return list, nil
	}
	ctx, cancel := context.WithTimeout(ctx, membersWait)
	defer cancel()
	nodes, err := a.nodesOf(ctx, token, "")
	if err != nil { // to list itself alone would say that the others are gone
		return nil, err
	}
	for _, n := range nodes {
		if n.ID != a.node.ID() {
			list = append(list, memberOf(n))
			continue
		}
		own := &list[0] // it knows itself best, except that it is an edge agent
		own.Role, own.Tags = n.Role, memberOf(n).Tags
	}
	return list, nil
}

// nodeNames are the nodes of this datacenter by id, from gossip and from the servers, who know edge agents too. Without an answer it
// is what gossip knows.
func (a *Agent) nodeNames(ctx context.Context, token string) map[structs.NodeID]structs.Member {
	names := map[structs.NodeID]structs.Member{}
	ctx, cancel := context.WithTimeout(ctx, nameTimeout)
	defer cancel()
	nodes, err := a.nodesOf(ctx, token, "")
	if err != nil {
		a.log.Debug("the names of peers are not known", "error", err)
	}
	for _, n := range nodes {
		names[n.ID] = memberOf(n)
	}
	for _, m := range a.members.Members() {
		if m.ID != a.node.ID() {
			names[m.ID] = m
		}
	}
	return names
}
