package pubsub

import (
	"maps"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
)

// route is the agents of a group.
type route struct {
	groupKey
	agents []peer.ID // as often as they have members
	turn   int
}

// route makes the table of groups anew. p.mu is held.
func (p *presence) route() {
	by := map[groupKey]*route{}
	add := func(agent peer.ID, subs map[subKey]int) {
		for k, n := range subs {
			if k.group == "" {
				continue
			}
			g := groupKey{k.pattern, k.group}
			if by[g] == nil {
				by[g] = &route{groupKey: g}
			}
			by[g].agents = append(by[g].agents, slices.Repeat([]peer.ID{agent}, min(n, 1024))...)
		}
	}
	add(p.space.bus.self, p.local)
	for id, a := range p.agents {
		if !a.away {
			add(id, a.subs)
		}
	}
	p.routes = slices.Collect(maps.Values(by))
}

// choose decides which agent's member of each group gets a message.
func (p *presence) choose(list []*message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.routes {
		for _, m := range list {
			if matches(r.pattern, m.Topic) {
				r.turn++
				m.groups = append(m.groups, chosen{r.groupKey, r.agents[r.turn%len(r.agents)]})
			}
		}
	}
}
