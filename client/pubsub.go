package client

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/debros/debros/structs"
)

// MessageHandler is called for each message, one at a time for each subscription. An error is counted and logged, and stops nothing.
type MessageHandler func(topic string, data []byte) error

// PubSubClient publishes and subscribes within the application's namespace (N64).
//
// Today messages stay within this client: they reach its own subscriptions, and nobody else's.
type PubSubClient interface {
	// Subscribe has handler called for the messages of a topic, in which * is one token and > at the end the rest. A second one for the
	// same topic replaces the first.
	Subscribe(ctx context.Context, topic string, handler MessageHandler) error
	Publish(ctx context.Context, topic string, data []byte) error
	// Unsubscribe ends a subscription: its handler is not called again, though it may be running.
	Unsubscribe(ctx context.Context, topic string) error
	// ListTopics are the topics subscribed to, without the namespace.
	ListTopics(ctx context.Context) ([]string, error)
}

type pubsub struct{ c *client }

// Subscribe implements PubSubClient.
func (p pubsub) Subscribe(ctx context.Context, topic string, handler MessageHandler) error {
	switch _, err := p.c.current(); {
	case err != nil:
		return err
	case handler == nil:
		return fmt.Errorf("subscribe to %s: no handler", topic)
	case !structs.ValidTopicPattern(topic):
		return fmt.Errorf("subscribe: %q is no pattern of topics", topic)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	p.c.bus.subscribe(topic, handler, func(err error) { p.c.say("handler of %s: %v", topic, err) })
	return nil
}

// Publish implements PubSubClient.
func (p pubsub) Publish(ctx context.Context, topic string, data []byte) error {
	switch _, err := p.c.current(); {
	case err != nil:
		return err
	case !structs.ValidTopic(topic):
		return fmt.Errorf("publish: %q is no topic", topic)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	p.c.bus.publish(topic, data)
	return nil
}

// Unsubscribe implements PubSubClient.
func (p pubsub) Unsubscribe(_ context.Context, topic string) error {
	if !p.c.bus.unsubscribe(topic) {
		return fmt.Errorf("not subscribed to %s", topic)
	}
	return nil
}

// ListTopics implements PubSubClient.
func (p pubsub) ListTopics(context.Context) ([]string, error) {
	if _, err := p.c.current(); err != nil {
		return nil, err
	}
	return p.c.bus.topics(), nil
}

// queueMax bounds what waits for one handler; the oldest goes, and is counted, since a slow handler must not hold others up.
const queueMax = 1024

// bus carries messages from this client to itself.
type bus struct {
	mu   sync.Mutex // protects the following
	subs map[string]*subscription
}

// subscription is one handler with its queue.
type subscription struct {
	handler MessageHandler
	failed  func(error)
	queue   chan message
	stop    chan struct{}
	errors  atomic.Int64
	dropped atomic.Int64
}

type message struct {
	topic string
	data  []byte
}

func newBus() *bus { return &bus{subs: map[string]*subscription{}} }

func (b *bus) subscribe(pattern string, handler MessageHandler, failed func(error)) {
	s := &subscription{handler: handler, failed: failed, queue: make(chan message, queueMax), stop: make(chan struct{})}
	b.mu.Lock()
	old := b.subs[pattern]
	b.subs[pattern] = s
	b.mu.Unlock()
	if old != nil {
		close(old.stop)
	}
	go s.run() // ends with the subscription; nobody waits for it, since it may be its handler that ends it
}

// run calls the handler until the subscription ends.
func (s *subscription) run() {
	for {
		select {
		case m := <-s.queue:
			if err := s.call(m); err != nil {
				s.errors.Add(1)
				s.failed(err)
			}
		case <-s.stop:
			return
		}
	}
}

// call takes a panic of the handler for an error: it is the application's, and others are served too.
func (s *subscription) call(m message) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the handler panicked: %v", p)
		}
	}()
	return s.handler(m.topic, m.data)
}

func (s *subscription) put(m message) {
	for {
		select {
		case s.queue <- m:
			return
		default:
		}
		select {
		case <-s.queue:
			s.dropped.Add(1)
		default:
		}
	}
}

func (b *bus) publish(topic string, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for pattern, s := range b.subs {
		if structs.TopicMatches(pattern, topic) {
			s.put(message{topic, slices.Clone(data)})
		}
	}
}

func (b *bus) unsubscribe(pattern string) bool {
	b.mu.Lock()
	s := b.subs[pattern]
	delete(b.subs, pattern)
	b.mu.Unlock()
	if s != nil {
		close(s.stop)
	}
	return s != nil
}

func (b *bus) topics() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := []string{}
	for pattern := range b.subs {
		if !strings.HasPrefix(pattern, "_") {
			list = append(list, pattern)
		}
	}
	slices.Sort(list)
	return list
}

// clear ends every subscription.
func (b *bus) clear() {
	b.mu.Lock()
	subs := b.subs
	b.subs = map[string]*subscription{}
	b.mu.Unlock()
	for _, s := range subs {
		close(s.stop)
	}
}
