package pubsub

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/debros/debros/structs"
)

// Topics are the topics and patterns of a namespace that this agent knows of, by name, without those that begin with _.
func (b *Bus) Topics(ctx context.Context, ns structs.Namespace) ([]structs.TopicInfo, error) {
	subs, err := b.Subscribers(ctx, ns, "")
	if err != nil {
		return nil, err
	}
	by := map[string]*structs.TopicInfo{}
	at := func(topic string) *structs.TopicInfo {
		if by[topic] == nil {
			by[topic] = &structs.TopicInfo{Topic: topic}
		}
		return by[topic]
	}
	for _, s := range subs {
		at(s.Pattern).Subscribers += s.Count
	}
	b.mu.Lock()
	s := b.spaces[ns]
	b.mu.Unlock()
	if s != nil {
		now := time.Now()
		s.topics.mu.Lock()
		for topic, st := range s.topics.topics {
			t := at(topic)
			t.Messages, t.Rate, t.Last = st.messages, st.rate(now), st.last
		}
		s.topics.mu.Unlock()
	}
	out := make([]structs.TopicInfo, 0, len(by))
	for topic, t := range by {
		if !strings.HasPrefix(topic, "_") {
			out = append(out, *t)
		}
	}
	slices.SortFunc(out, func(a, b structs.TopicInfo) int { return cmp.Compare(a.Topic, b.Topic) })
	return out, nil
}

// Subscribers are those of a namespace in the whole cluster; with a topic, those who would get a message of it.
func (b *Bus) Subscribers(ctx context.Context, ns structs.Namespace, topic string) ([]structs.Subscriber, error) {
	s, err := b.acquire(ctx, ns)
	if err != nil {
		return nil, err
	}
	defer b.release(s)
	if err := s.presence.enter(ctx); err != nil {
		return nil, err
	}
	return s.presence.list(topic), nil
}

func (p *presence) list(topic string) (out []structs.Subscriber) {
	add := func(agent peer.ID, subs map[subKey]int) {
		for k, n := range subs {
			if topic == "" || matches(k.pattern, topic) {
				out = append(out, structs.Subscriber{Agent: structs.NodeID(agent.String()), Pattern: k.pattern, Group: k.group, Count: n})
			}
		}
	}
	p.mu.Lock()
	add(p.space.bus.self, p.local)
	for id, a := range p.agents {
		if !a.away {
			add(id, a.subs)
		}
	}
	p.mu.Unlock()
	slices.SortFunc(out, func(a, b structs.Subscriber) int {
		return cmp.Or(cmp.Compare(a.Pattern, b.Pattern), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Agent, b.Agent))
	})
	return out
}

func (p *presence) subscribers(topic string) (n int) {
	for _, s := range p.list(topic) {
		n += s.Count
	}
	return n
}
