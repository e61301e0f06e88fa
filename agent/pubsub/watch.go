package pubsub

import (
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/debros/debros/structs"
)

// changed tells subscriptions that want to know what an agent's subscribers do. p.mu is held.
func (p *presence) changed(agent peer.ID, before, after map[subKey]int) {
	for s := range p.watch {
		p.show(s, agent, before, after)
	}
}

// show tells one subscription what has changed at an agent, as far as it concerns its topics.
func (p *presence) show(s *Subscription, agent peer.ID, before, after map[subKey]int) {
	tell := func(joined bool, in, without map[subKey]int) {
		for k := range in {
			meets := func(pattern string) bool { return structs.TopicPatternsMeet(pattern, k.pattern) }
			if without[k] == 0 && slices.ContainsFunc(s.opts.Patterns, meets) {
				s.put(structs.MessageItem{Presence: &structs.PresenceEvent{
					Joined:     joined,
					Subscriber: structs.Subscriber{Agent: structs.NodeID(agent.String()), Pattern: k.pattern, Group: k.group, Count: in[k]},
				}})
			}
		}
	}
	tell(false, before, after)
	tell(true, after, before)
}
