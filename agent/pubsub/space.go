package pubsub

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/debros/debros/structs"
)

const (
	// carriersMax is how many carriers the topics of a namespace are spread over. Every agent must use the same number.
	carriersMax = 16
	// Two more carry no topics of programs. Every agent joins the one of events, which must not bring it the messages of others.
	carrierOfPresence, carrierOfEvents, carriersAll = carriersMax, carriersMax + 1, carriersMax + 2
	// idleSpace is how long a namespace that nobody uses is remembered.
	idleSpace = 10 * time.Minute
)

// space is a namespace in use at this agent.
type space struct {
	bus      *Bus
	ns       structs.Namespace
	carriers [carriersAll]*carrier // of topics, then of presence and of user events
	presence *presence
	requests *requests
	counts   counts
	topics   *topicStats

	// The following are under bus.mu.
	users   int
	used    time.Time     // when there was a user last
	leaving chan struct{} // closed when it has taken its leave of others; nil = it does not

	mu   sync.Mutex // protects the following
	subs map[*Subscription]struct{}
}

// numbers are the last that an agent has given in each carrier.
type numbers [carriersAll]uint64

func newSpace(b *Bus, ns structs.Namespace, given numbers) *space {
	s := &space{bus: b, ns: ns, topics: newTopicStats(), subs: map[*Subscription]struct{}{}}
	for i := range carriersMax {
		s.carriers[i] = newCarrier(s, fmt.Sprintf("%s.%d", ns, i))
	}
	s.carriers[carrierOfEvents] = newCarrier(s, string(ns)+".events")
	c := newCarrier(s, string(ns)+".presence")
	c.retained.topicsMax, c.retained.bytesMax = tracksMax, presenceBytesMax
	s.carriers[carrierOfPresence] = c
	s.presence = newPresence(s, c)
	s.requests = newRequests(s)
	for i, n := range given {
		s.carriers[i].outbox.head, s.carriers[i].outbox.next = n, n+1
	}
	return s
}

// rests says that nothing is on its way any more, and that there is no last value that others may come to ask for.
func (s *space) rests() bool {
	return !slices.ContainsFunc(s.carriers[:], func(c *carrier) bool {
		return c.outbox.busy() || c != s.presence.carrier && c.retained.some()
	})
}

func (s *space) numbers() (out numbers) {
	for i, c := range s.carriers {
		out[i] = c.outbox.sent()
	}
	return out
}

// carrierOf is the carrier of a topic: the first token decides, so that a subscription which names it needs no other.
func (s *space) carrierOf(topic string) *carrier {
	first, _, _ := strings.Cut(topic, ".")
	if first == structs.EventTopic {
		return s.carriers[carrierOfEvents]
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(first))
	return s.carriers[h.Sum32()%carriersMax]
}

// carriersFor are the carriers that have topics of patterns, with the patterns that each has topics of.
func (s *space) carriersFor(patterns []string) map[*carrier][]string {
	out := map[*carrier][]string{}
	for _, p := range patterns {
		if first, _, _ := strings.Cut(p, "."); isLiteral(first) {
			c := s.carrierOf(p)
			out[c] = append(out[c], p)
			continue
		}
		for _, c := range s.carriers[:carriersMax] {
			out[c] = append(out[c], p)
		}
	}
	return out
}

// Subscribe begins a subscription. When it returns, everything that is published from then on at an agent which this one reaches
// comes, or is named as missing; last values come first. It must be closed.
func (b *Bus) Subscribe(ctx context.Context, ns structs.Namespace, opts structs.SubscribeOptions) (*Subscription, error) {
	if err := checkOptions(&opts); err != nil {
		return nil, err
	}
	s, err := b.acquire(ctx, ns)
	if err != nil {
		return nil, err
	}
	return s.subscribe(ctx, opts)
}

// subscribe takes over what acquire gave.
func (s *space) subscribe(ctx context.Context, opts structs.SubscribeOptions) (*Subscription, error) {
	sub := &Subscription{space: s, opts: opts, max: opts.QueueMessages, ready: make(chan struct{}, 1)}
	if sub.max == 0 {
		sub.max = queueMessagesDefault
	}
	undo := &undo{}
	sub.close = sync.OnceFunc(func() {
		undo.run()
		s.mu.Lock()
		delete(s.subs, sub)
		s.mu.Unlock()
		s.bus.release(s)
		sub.end()
	})
	s.mu.Lock()
	s.subs[sub] = struct{}{} // from here on the bus may close it
	s.mu.Unlock()
	if !opts.Quiet {
		if err := s.presence.enter(ctx); err != nil {
			sub.close()
			return nil, err
		}
	}
	for c, patterns := range s.carriersFor(opts.Patterns) {
		in, err := c.join(ctx)
		if err != nil {
			sub.close()
			return nil, err
		}
		in.do(func() { in.add(sub, patterns) })
		undo.add(func() {
			in.do(func() { in.index.remove(sub, patterns) })
			c.leave()
		})
	}
	if opts.Quiet {
		return sub, nil
	}
	added, err := s.presence.add(ctx, sub)
	if added {
		undo.add(func() { s.presence.drop(sub) })
	}
	if err != nil {
		sub.close()
		return nil, err
	}
	return sub, nil
}

// Publish hands messages to the mesh, in order, all of them or none, and gives each its number. It waits while too much is on its way already.
func (b *Bus) Publish(ctx context.Context, ns structs.Namespace, list []*structs.Message) error {
	for _, m := range list {
		if err := check(m, b.cfg.MessageBytesMax); err != nil {
			return err
		}
	}
	s, err := b.acquire(ctx, ns)
	if err != nil {
		return err
	}
	defer b.release(s)
	out := make([]*message, len(list))
	for i, m := range list {
		out[i] = newMessage(m)
	}
	if err := s.publish(ctx, out); err != nil {
		return err
	}
	for i, m := range out {
		list[i].Seq, list[i].Epoch, list[i].Publisher, list[i].Time = m.Seq, m.Epoch, m.Publisher, m.Time
	}
	return nil
}

func (s *space) publish(ctx context.Context, list []*message) error {
	// Who publishes must know of groups, to choose a member for each message.
	if err := s.presence.enter(ctx); err != nil {
		return err
	}
	s.presence.choose(list)
	for _, m := range list {
		if err := m.fits(s.bus.cfg.MessageBytesMax); err != nil {
			return err
		}
	}
	now := time.Now()
	by := map[*carrier][]*message{}
	order := []*carrier{}
	var last *carrier
	for i, m := range list {
		m.Time = now
		c := last
		if i == 0 || !sameFirst(list[i-1].Topic, m.Topic) {
			c = s.carrierOf(m.Topic)
		}
		if last = c; by[c] == nil {
			order = append(order, c)
		}
		by[c] = append(by[c], m)
	}
	for _, c := range order {
		if err := c.retained.room(by[c]); err != nil {
			return err
		}
	}
	for i, c := range order {
		switch err := c.outbox.put(ctx, by[c]); {
		case err != nil && i > 0:
			return structs.Errorf(structs.KindUnavailable, "the agent is shutting down; some of the messages may have been sent")
		case err != nil:
			return err
		case i == 0: // some will come: the others have to, however long their publisher wanted to wait
			ctx = s.bus.ctx
		}
	}
	s.published(list)
	return nil
}

func sameFirst(a, b string) bool {
	if a == b {
		return true
	}
	x, _, _ := strings.Cut(a, ".")
	y, _, _ := strings.Cut(b, ".")
	return x == y
}

// leave ends every subscription and tells others that they are gone.
func (s *space) leave() {
	s.mu.Lock()
	subs := make([]*Subscription, 0, len(s.subs))
	for sub := range s.subs {
		subs = append(subs, sub)
	}
	s.mu.Unlock()
	for _, sub := range subs {
		sub.Close()
	}
	s.requests.close()
	s.presence.leave()
}

// housekeep forgets what is old.
func (s *space) housekeep(now time.Time) {
	s.topics.expire(now)
	s.presence.expire(now)
	for _, c := range s.carriers {
		c.outbox.expire(now.Add(-ringAge))
		c.retained.expire(now)
		in := c.inbox()
		if in == nil && !c.outbox.busy() {
			c.idle()
		}
		if in != nil {
			in.do(func() { in.ring.expire(now.Add(-ringAge)) })
		}
	}
}
