package client

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/debros/debros/api"
)

// MessageHandler is called for each message, one at a time for each subscription. An error is counted and logged, and stops nothing.
type MessageHandler func(topic string, data []byte) error

// PubSubClient publishes and subscribes within the application's namespace, at every agent of the network (N64).
type PubSubClient interface {
	// Subscribe has handler called for the messages of a topic, in which * is one token and > at the end the rest. What is published when it
	// returns will come. A second one for the same topic replaces the first. ctx bounds the call, not the subscription.
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
	s, err := p.c.current()
	if err != nil {
		return err
	}
	if handler == nil {
		return fmt.Errorf("subscribe to %s: no handler", topic)
	}
	return p.c.subs.subscribe(ctx, s.api, topic, handler, func(format string, args ...any) {
		p.c.say("subscription to %s: %s", topic, fmt.Sprintf(format, args...))
	})
}

// Publish implements PubSubClient.
func (p pubsub) Publish(ctx context.Context, topic string, data []byte) error {
	s, err := p.c.current()
	if err != nil {
		return err
	}
	_, _, err = s.api.PubSub().Publish(ctx, nil, api.Message{Topic: topic, Data: data})
	return err
}

// Unsubscribe implements PubSubClient.
func (p pubsub) Unsubscribe(_ context.Context, topic string) error {
	if !p.c.subs.unsubscribe(topic) {
		return fmt.Errorf("not subscribed to %s", topic)
	}
	return nil
}

// ListTopics implements PubSubClient.
func (p pubsub) ListTopics(context.Context) ([]string, error) {
	if _, err := p.c.current(); err != nil {
		return nil, err
	}
	return p.c.subs.topics(), nil
}

// subscriptions are the handlers of a client, by topic.
type subscriptions struct {
	mu   sync.Mutex // protects the following
	byID map[string]*subscription
}

// subscription is one handler. Messages wait for it at the agent.
type subscription struct {
	sub     *api.Subscription
	handler MessageHandler
	say     func(format string, args ...any)
	ended   atomic.Bool
	errors  atomic.Int64
	lost    atomic.Int64 // gaps and overflows
}

func newSubscriptions() *subscriptions { return &subscriptions{byID: map[string]*subscription{}} }

func (l *subscriptions) subscribe(ctx context.Context, c *api.Client, topic string, handler MessageHandler, say func(string, ...any)) error {
	own, cancel := context.WithCancel(context.Background())
	stop := context.AfterFunc(ctx, cancel)
	sub, err := c.PubSub().Subscribe(own, api.SubscribeOptions{}, topic)
	if !stop() || err != nil {
		cancel()
		if err == nil {
			err = ctx.Err()
		}
		return err
	}
	s := &subscription{sub: sub, handler: handler, say: say}
	l.mu.Lock()
	old := l.byID[topic]
	l.byID[topic] = s
	l.mu.Unlock()
	if old != nil {
		old.end()
	}
	go func() { // ends with the subscription; nobody waits for it, since it may be its handler that ends it
		defer cancel()
		s.run()
	}()
	return nil
}

func (s *subscription) end() {
	s.ended.Store(true)
	s.sub.Close()
}

// run calls the handler until the subscription ends.
func (s *subscription) run() {
	for e, err := range s.sub.All() {
		switch {
		case s.ended.Load():
			return
		case err != nil:
			s.say("%v", err)
		case e.Message == nil:
			s.lost.Add(1)
			s.say("messages are lost (%d dropped here)", e.Overflow)
		default:
			if err := s.call(e.Message); err != nil {
				s.errors.Add(1)
				s.say("the handler failed: %v", err)
			}
		}
	}
}

// call takes a panic of the handler for an error: it is the application's, and others are served too.
func (s *subscription) call(m *api.Message) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it panicked: %v", p)
		}
	}()
	return s.handler(m.Topic, m.Data)
}

func (l *subscriptions) unsubscribe(topic string) bool {
	l.mu.Lock()
	s := l.byID[topic]
	delete(l.byID, topic)
	l.mu.Unlock()
	if s != nil {
		s.end()
	}
	return s != nil
}

func (l *subscriptions) topics() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := []string{}
	for topic := range l.byID {
		if !strings.HasPrefix(topic, "_") {
			list = append(list, topic)
		}
	}
	slices.Sort(list)
	return list
}

// clear ends every subscription.
func (l *subscriptions) clear() {
	l.mu.Lock()
	all := l.byID
	l.byID = map[string]*subscription{}
	l.mu.Unlock()
	for _, s := range all {
		s.end()
	}
}
