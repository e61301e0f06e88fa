package pubsub

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/debros/debros/structs"
)

// Each agent says what its subscribers want, as the last value of a topic of its own in the presence carrier; so whoever joins that has it at once.
const (
	PresenceTopic = "_presence" // begins the topics; nobody else publishes to them
	// presenceDelay gathers what comes together.
	presenceDelay = 50 * time.Millisecond
	// presenceInterval is how often an agent says it again, and presenceTimeout how long it is believed.
	presenceInterval = 15 * time.Second
	presenceTimeout  = 75 * time.Second
	// presenceMax bounds the patterns that an agent tells of, beside what a frame can carry; what comes beyond them is delivered, but not
	// shown to others.
	presenceMax = 8192
	// presenceBytesMax bounds what all agents tell, in a namespace.
	presenceBytesMax = 64 << 20
)

// subKey is what subscriptions have in common as others see them.
type subKey struct{ pattern, group string }

// presenceState is an agent's subscriptions as they travel.
type presenceState struct {
	Subs []presenceSub
}

type presenceSub struct {
	Pattern string
	Group   string `codec:",omitempty"`
	Count   int
}

// presence is who subscribes to what in a namespace.
type presence struct {
	space   *space
	carrier *carrier
	telling sync.Mutex // held while others are told: the newest state has the highest number

	mu     sync.Mutex // protects the following
	joined chan struct{}
	err    error // of joining
	local  map[subKey]int
	agents map[peer.ID]*agentState
	told   time.Time // when others were told last
	dirty  bool      // they will be, soon
	watch  map[*Subscription]struct{}
	routes []*route
}

// agentState is what one other agent has told.
type agentState struct {
	subs map[subKey]int
	seen time.Time
	away bool // not connected
}

func newPresence(s *space, c *carrier) *presence {
	p := &presence{space: s, carrier: c, local: map[subKey]int{}, agents: map[peer.ID]*agentState{}, watch: map[*Subscription]struct{}{}}
	c.sink = p.take
	return p
}

// enter takes part, and returns when it is known what other agents have told.
func (p *presence) enter(ctx context.Context) error {
	p.mu.Lock()
	joined := p.joined
	if joined == nil {
		joined = make(chan struct{})
		p.joined = joined
		p.mu.Unlock()
		// Not ctx: others wait for this too.
		_, err := p.carrier.join(p.space.bus.ctx)
		p.mu.Lock()
		if p.err = err; err != nil {
			p.joined = nil
		}
		close(joined)
	}
	p.mu.Unlock()
	select {
	case <-joined:
	case <-ctx.Done():
		return ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *presence) entered() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.joined != nil
}

// leave tells others that nobody here subscribes any more, and takes no more part.
func (p *presence) leave() {
	p.mu.Lock()
	joined, told := p.joined, len(p.local) > 0 || !p.told.IsZero()
	clear(p.local)
	p.mu.Unlock()
	if joined == nil {
		return
	}
	if <-joined; told {
		ctx, cancel := context.WithTimeout(p.space.bus.ctx, askTimeout)
		_, _ = p.tell(ctx) // who does not hear it, forgets this agent after a while
		cancel()
	}
	p.mu.Lock()
	left := p.err == nil && p.joined != nil
	p.joined = nil
	p.mu.Unlock()
	if left {
		p.carrier.leave()
	}
}

// add notes a subscription. One of a group is known to the agents that are connected when add returns, since they choose who gets a message;
// it is refused when they cannot be told. added says that it is to be dropped.
func (p *presence) add(ctx context.Context, s *Subscription) (added bool, err error) {
	p.mu.Lock()
	if s.opts.Group != "" {
		if err := p.roomForGroup(s); err != nil {
			p.mu.Unlock()
			return false, err
		}
	}
	for _, pattern := range s.opts.Patterns {
		k := subKey{pattern, s.opts.Group}
		if p.local[k]++; p.local[k] == 1 {
			p.changed(p.space.bus.self, nil, map[subKey]int{k: 1})
		}
	}
	if s.opts.Presence { // it begins with who is there, itself included
		p.watch[s] = struct{}{}
		p.show(s, p.space.bus.self, nil, p.local)
		for id, a := range p.agents {
			p.show(s, id, nil, a.subs)
		}
	}
	p.route()
	p.soon()
	p.mu.Unlock()
	if s.opts.Group == "" {
		return true, nil
	}
	m, err := p.tell(ctx)
	if err != nil {
		return true, err
	}
	var wg sync.WaitGroup
	for _, o := range p.space.bus.peers() {
		wg.Go(func() {
			req := &request{Op: opTake, Carriers: []string{p.carrier.wire}, Frame: m.frame.raw}
			if _, err := p.space.bus.ask(ctx, o, req, func([]byte) error { return nil }); err != nil {
				p.space.bus.log.Debug("an agent does not hear of a group at once", "peer", o, "error", err)
			}
		})
	}
	wg.Wait()
	return true, ctx.Err()
}

func (p *presence) drop(s *Subscription) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.watch, s)
	for _, pattern := range s.opts.Patterns {
		k := subKey{pattern, s.opts.Group}
		if p.local[k]--; p.local[k] <= 0 {
			delete(p.local, k)
			p.changed(p.space.bus.self, map[subKey]int{k: 1}, nil)
		}
	}
	p.route()
	p.soon()
}

// take notes what another agent tells.
func (p *presence) take(m *message) {
	if m.publisher == p.space.bus.self || m.Topic != PresenceTopic+"."+string(m.Publisher) {
		return
	}
	if time.Since(m.Time) > presenceTimeout && p.space.bus.cfg.Host.Network().Connectedness(m.publisher) == network.NotConnected {
		return // what others have kept of an agent that has gone
	}
	var state presenceState
	if len(m.Data) > 0 && structs.Decode(m.Data, &state) != nil {
		return
	}
	subs := map[subKey]int{}
	for _, s := range state.Subs[:min(len(state.Subs), presenceMax)] {
		if structs.ValidTopicPattern(s.Pattern) && s.Count > 0 && s.Count <= queueMessagesMax {
			subs[subKey{s.Pattern, s.Group}] = s.Count
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.agents[m.publisher]
	if old == nil {
		old = &agentState{}
	}
	if len(subs) == 0 {
		delete(p.agents, m.publisher)
	} else {
		p.agents[m.publisher] = &agentState{subs: subs, seen: time.Now()}
	}
	p.changed(m.publisher, old.subs, subs)
	p.route()
}

// forget drops what an agent told before it restarted.
func (p *presence) forget(agent peer.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.agents[agent]; a != nil {
		delete(p.agents, agent)
		p.changed(agent, a.subs, nil)
		p.route()
	}
}

// lost and found note that an agent is not connected, and is again; nothing is chosen for it meanwhile.
func (p *presence) lost(agent peer.ID) { p.away(agent, true) }

func (p *presence) found(agent peer.ID) { p.away(agent, false) }

func (p *presence) away(agent peer.ID, away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.agents[agent]; a != nil && a.away != away {
		a.away, a.seen = away, time.Now()
		p.route()
	}
}

// expire forgets agents that have been silent, and tells others of this one again.
func (p *presence) expire(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, a := range p.agents {
		if now.Sub(a.seen) > presenceTimeout {
			delete(p.agents, id)
			p.changed(id, a.subs, nil)
		}
	}
	p.route()
	if len(p.local) > 0 && now.Sub(p.told) > presenceInterval {
		p.soon()
	}
}
