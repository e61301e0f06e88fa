package pubsub

import (
	"context"
	"errors"
	"sync"

	ps "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
)

// carrier is one GossipSub topic, which carries many topics of a namespace. The agent joins it while somebody here
// subscribes to one of them; to publish it need not.
type carrier struct {
	bus   *Bus
	space *space
	wire  string // <namespace>.<number>
	// sink gets messages before subscriptions do; of the presence carrier.
	sink   func(*message)
	outbox *outbox
	// retained are the last values of topics.
	retained retained

	mu     sync.Mutex // protects the following
	topic  *ps.Topic  // nil: neither joined nor published to
	joined *inbox     // nil: not joined
	users  int        // of joined
}

func newCarrier(s *space, wire string) *carrier {
	c := &carrier{bus: s.bus, space: s, wire: wire, retained: retained{topicsMax: retainedTopicsMax, bytesMax: retainedBytesMax}}
	c.outbox = newOutbox(c)
	return c
}

// handle is the GossipSub topic, joined as a publisher at least.
func (c *carrier) handle() (*ps.Topic, error) {
	if c.topic == nil {
		t, err := c.bus.mesh.Join(c.wire)
		if err != nil {
			return nil, err
		}
		c.topic = t
	}
	return c.topic, nil
}

// idle lets the topic go when nobody uses it.
func (c *carrier) idle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.joined == nil && c.topic != nil && c.topic.Close() == nil { // an error says that it is still in use: the next look will do
		c.topic = nil
	}
}

// publish gives a frame of this agent to its own subscriptions and to the mesh.
func (c *carrier) publish(f *frame) {
	in := c.inbox()
	for in != nil && !in.take(f) { // which keeps a last value in its turn
		next := c.inbox()
		if next == in { // the bus is closed
			break
		}
		in = next // it was left meanwhile, and perhaps joined anew
	}
	if in == nil && f.messages[0].Retain {
		c.retained.keep(f.messages[0])
	}
	c.flood(f)
}

// flood gives a frame to the mesh.
func (c *carrier) flood(f *frame) {
	c.mu.Lock()
	t, err := c.handle()
	c.mu.Unlock()
	if err == nil {
		err = t.Publish(c.bus.ctx, f.raw, ps.WithValidatorData(f))
	}
	if errors.Is(err, ps.ErrTopicClosed) { // by idle, just now
		c.mu.Lock()
		if t, err = c.handle(); err == nil {
			err = t.Publish(c.bus.ctx, f.raw, ps.WithValidatorData(f))
		}
		c.mu.Unlock()
	}
	if err != nil && c.bus.ctx.Err() == nil {
		c.bus.log.Warn("messages are not sent; who misses them will ask", "carrier", c.wire, "error", err)
	}
}

// join takes part until leave. It returns when everything that is published from then on will be delivered.
func (c *carrier) join(ctx context.Context) (*inbox, error) {
	c.mu.Lock()
	if c.joined == nil {
		t, err := c.handle()
		if err != nil {
			c.mu.Unlock()
			return nil, err
		}
		sub, err := t.Subscribe(ps.WithBufferSize(subscriptionBuffer))
		if err != nil {
			c.mu.Unlock()
			return nil, err
		}
		in := newInbox(c, sub)
		if !in.start() {
			sub.Cancel()
			c.mu.Unlock()
			return nil, errClosed()
		}
		c.joined = in
	}
	c.users++
	in := c.joined
	c.mu.Unlock()
	select {
	case <-in.synced:
		return in, nil
	case <-ctx.Done():
		c.leave()
		return nil, ctx.Err()
	case <-c.bus.ctx.Done():
		c.leave()
		return nil, errClosed()
	}
}

func (c *carrier) leave() {
	c.mu.Lock()
	if c.users--; c.users > 0 {
		c.mu.Unlock()
		return
	}
	in := c.joined
	c.joined = nil
	c.mu.Unlock()
	in.stop()
	if !c.outbox.busy() {
		c.idle()
	}
}

// inbox is the carrier's, while it is joined.
func (c *carrier) inbox() *inbox {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.joined
}

// neighbors are the agents that have joined the carrier, as GossipSub knows.
func (c *carrier) neighbors() []peer.ID { return c.bus.mesh.ListPeers(c.wire) }
