package pubsub

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/debros/debros/structs"
)

// This file is how an agent tells others of its subscribers, and how much: what one frame carries.

// soon has others told. p.mu is held.
func (p *presence) soon() {
	if p.dirty || p.space.bus.ctx.Err() != nil {
		return
	}
	p.dirty = true
	time.AfterFunc(presenceDelay, func() {
		p.mu.Lock()
		due := p.dirty
		p.mu.Unlock()
		if due {
			p.space.bus.spawn(func() { _, _ = p.tell(p.space.bus.ctx) })
		}
	})
}

// tell publishes what is subscribed here, and returns when it was handed to the mesh.
func (p *presence) tell(ctx context.Context) (*message, error) {
	p.telling.Lock()
	p.mu.Lock()
	p.dirty, p.told = false, time.Now()
	state := presenceState{}
	for k, n := range p.local {
		state.Subs = append(state.Subs, presenceSub{k.pattern, k.group, n})
	}
	p.mu.Unlock() // the outbox may wait, for a carrier that waits for p.mu
	// Groups first: whether a message reaches them depends on it.
	slices.SortFunc(state.Subs, func(a, b presenceSub) int {
		return cmp.Or(-cmp.Compare(a.Group, b.Group), cmp.Compare(a.Pattern, b.Pattern))
	})
	p.space.bus.cut(&state)
	m := &message{sent: make(chan struct{})}
	m.Topic, m.Time, m.Retain = PresenceTopic+"."+string(p.space.bus.node), time.Now(), true
	var err error
	if len(state.Subs) > 0 {
		m.Data, err = structs.Encode(&state)
	}
	if err == nil {
		err = p.carrier.outbox.put(ctx, []*message{m})
	}
	p.telling.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case <-m.sent:
		return m, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.space.bus.ctx.Done():
		return nil, errClosed()
	}
}

// presenceOverhead is what a pattern takes in it beside its texts: names of fields, and lengths.
const presenceOverhead = 40

func (s *presenceSub) size() int { return presenceOverhead + len(s.Pattern) + len(s.Group) }

// cut leaves what others can be told, from the beginning.
func (b *Bus) cut(state *presenceState) {
	n, bytes := 0, 0
	for n < min(len(state.Subs), presenceMax) {
		if bytes += state.Subs[n].size(); bytes > b.cfg.MessageBytesMax {
			break
		}
		n++
	}
	if n < len(state.Subs) {
		b.log.Warn("others are not told of all that is subscribed to here", "patterns", len(state.Subs), "told", n)
	}
	state.Subs = state.Subs[:n]
}

// roomForGroup says whether others can be told of one more member of a group: who is not heard of is never chosen. p.mu is held.
func (p *presence) roomForGroup(s *Subscription) error {
	n, bytes := 0, 0
	count := func(pattern, group string) {
		sub := presenceSub{Pattern: pattern, Group: group}
		n++
		bytes += sub.size()
	}
	for k := range p.local {
		if k.group != "" {
			count(k.pattern, k.group)
		}
	}
	for _, pattern := range s.opts.Patterns {
		if p.local[subKey{pattern, s.opts.Group}] == 0 {
			count(pattern, s.opts.Group)
		}
	}
	if n > presenceMax || bytes > p.space.bus.cfg.MessageBytesMax {
		return structs.Errorf(structs.KindTooLarge, "groups have %d patterns of %d bytes at this agent: others cannot be told of so many", n, bytes).
			WithHint("at most %d patterns and %d bytes; subscribe at another agent, or with wildcards", presenceMax, p.space.bus.cfg.MessageBytesMax)
	}
	return nil
}
