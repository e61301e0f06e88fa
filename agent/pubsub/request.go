package pubsub

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"sync"

	"github.com/debros/debros/structs"
)

const (
	// InboxPrefix begins the topics at which this package waits for replies; the rest of their first token is of the agent.
	InboxPrefix = "_inbox-"
	// requestsMax bounds the requests of a namespace that wait at a time.
	requestsMax = 4096
	// RequestRepliesMax bounds the replies that one request waits for.
	RequestRepliesMax = 1024
)

// requests are the ones of a namespace that wait for replies here. All share one subscription, begun with the first of them.
type requests struct {
	space *space
	topic string // the inbox's first token

	mu      sync.Mutex // protects the following
	sub     *Subscription
	ready   chan struct{} // closed when sub or err is set; nil: nobody has asked yet
	err     error
	waiting map[string]chan *structs.Message // by the last token of Reply
}

func newRequests(s *space) *requests {
	id := s.bus.self.String()
	return &requests{space: s, topic: InboxPrefix + id[max(0, len(id)-12):], waiting: map[string]chan *structs.Message{}}
}

// Request publishes a message and waits for so many replies. When ctx ends it returns those that came, and an error when none did.
func (b *Bus) Request(ctx context.Context, ns structs.Namespace, m *structs.Message, replies int) ([]*structs.Message, error) {
	if replies < 1 || replies > RequestRepliesMax {
		return nil, structs.Errorf(structs.KindInvalid, "%d replies", replies).WithHint("1 to %d", RequestRepliesMax)
	}
	if err := check(m, b.cfg.MessageBytesMax); err != nil {
		return nil, err
	}
	s, err := b.acquire(ctx, ns)
	if err != nil {
		return nil, err
	}
	defer b.release(s)
	return s.requests.do(ctx, m, replies)
}

func (r *requests) do(ctx context.Context, m *structs.Message, replies int) ([]*structs.Message, error) {
	if err := r.begin(ctx); err != nil {
		return nil, err
	}
	var id [12]byte
	rand.Read(id[:]) // never fails (crypto/rand)
	token := hex.EncodeToString(id[:])
	ch := make(chan *structs.Message, replies)
	r.mu.Lock()
	if len(r.waiting) >= requestsMax {
		r.mu.Unlock()
		return nil, structs.Errorf(structs.KindRateLimited, "%d requests wait for replies at this agent already, the limit", requestsMax)
	}
	r.waiting[token] = ch
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.waiting, token)
		r.mu.Unlock()
	}()
	out := newMessage(m)
	out.Reply = r.topic + "." + token
	if err := r.space.publish(ctx, []*message{out}); err != nil {
		return nil, err
	}
	var got []*structs.Message
	for len(got) < replies {
		select {
		case rep := <-ch:
			got = append(got, rep)
		case <-ctx.Done():
			if len(got) > 0 {
				return got, nil
			}
			return nil, r.noReply(m.Topic)
		}
	}
	return got, nil
}

// noReply says whether anybody was there to reply.
func (r *requests) noReply(topic string) error {
	if r.space.presence.subscribers(topic) == 0 {
		return structs.Errorf(structs.KindCanceled, "no reply to %s: nobody subscribes to it", topic).
			WithHint("debros pubsub topics shows what is subscribed to")
	}
	return structs.Errorf(structs.KindCanceled, "no reply to %s in time", topic).
		WithHint("a subscriber replies by publishing to the message's reply topic; a longer timeout waits for it")
}

// begin returns when replies are heard.
func (r *requests) begin(ctx context.Context) error {
	r.mu.Lock()
	ready := r.ready
	if ready == nil {
		ready = make(chan struct{})
		r.ready = ready
		r.mu.Unlock()
		// Not ctx: others wait for this too.
		sub, err := r.space.bus.Subscribe(r.space.bus.ctx, r.space.ns, structs.SubscribeOptions{Patterns: []string{r.topic + ".*"}, Quiet: true})
		r.mu.Lock()
		if r.sub, r.err = sub, err; err != nil {
			r.ready = nil
		} else if !r.space.bus.spawn(func() { r.route(sub) }) {
			r.err = errClosed()
		}
		close(ready)
	}
	r.mu.Unlock()
	select {
	case <-ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// route gives replies to who waits for them.
func (r *requests) route(sub *Subscription) {
	for {
		items, err := sub.Next(r.space.bus.ctx)
		if err != nil {
			return
		}
		r.mu.Lock()
		for _, it := range items {
			if it.Message == nil {
				continue
			}
			_, token, _ := strings.Cut(it.Message.Topic, ".")
			select {
			case r.waiting[token] <- it.Message: // nil: nobody waits any more
			default: // it has all that it waits for
			}
		}
		r.mu.Unlock()
	}
}

// open says that replies are heard, for which the namespace is in use.
func (r *requests) open() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sub != nil
}

func (r *requests) close() {
	r.mu.Lock()
	sub := r.sub
	r.sub, r.ready = nil, nil
	r.mu.Unlock()
	if sub != nil {
		sub.Close()
	}
}
