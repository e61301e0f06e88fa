package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// SubscribeOptions say what a subscription gets.
type SubscribeOptions struct {
	// Group shares the messages among all subscriptions of this name and the same pattern: one of them gets each.
	Group string
	// Presence asks who subscribes to topics that may be among these, and for a word whenever that changes.
	Presence bool
	// QueueMessages is how many messages may wait at the agent while they are not read; 0 = 16,384.
	QueueMessages int
	Query         *QueryOptions
}

// Event is what a subscription gets; one of its members is set.
type Event struct {
	Message  *Message
	Gap      *Gap
	Overflow int // so many messages were dropped, since they were not read in time
	Presence *Presence
}

// Gap says that messages are lost to a subscription: some of a publisher's, Seq From to To (both included), as far as they were of its
// topics. From and To are 0 where it is not known how many, and Publisher is empty after the agent was gone for a while.
type Gap struct {
	Publisher string
	Epoch     uint64
	From, To  uint64
}

// Presence says that the first subscription of a pattern and group came at an agent, or the last one went.
type Presence struct {
	Joined     bool
	Subscriber Subscriber
}

// Subscription is a subscription to live topics. It belongs to one goroutine; Close may be called by any.
type Subscription struct {
	p        *PubSub
	o        SubscribeOptions
	patterns []string
	ctx      context.Context
	cancel   context.CancelFunc
	conn     *liveConn // nil: to be opened again
	broken   bool      // something may have been missed since
	heard    map[place]position
	kept     []string
}

// place is where numbers of messages run: a publisher, and topics that have their first token in common at least.
type place struct{ publisher, token string }

type position struct{ epoch, seq uint64 }

// heardMax bounds the places that a subscription remembers.
const heardMax = 16384

// news reports whether a message has not come before. An agent gives each once; another one, after the first is gone, may begin with some that came.
func (s *Subscription) news(m *Message) bool {
	if m.Retained {
		return true
	}
	token, _, _ := strings.Cut(m.Topic, ".")
	at, last := place{m.Publisher, token}, position{m.Epoch, m.Seq}
	before, known := s.heard[at]
	if known && (last.epoch < before.epoch || last.epoch == before.epoch && last.seq <= before.seq) {
		return false
	}
	if !known && len(s.heard) >= heardMax {
		clear(s.heard)
	}
	s.heard[at] = last
	return true
}

// liveConn is one connection of a subscription.
type liveConn struct {
	reply   *http.Response
	in      lineReader
	ctx     context.Context
	cancel  context.CancelCauseFunc
	watch   *time.Timer
	silence *Error
	kept    []string
}

// Subscribe begins a subscription: what is published to topics of the patterns when it returns, All will yield. It ends with ctx, or Close.
func (p *PubSub) Subscribe(ctx context.Context, o SubscribeOptions, patterns ...string) (*Subscription, error) {
	s := &Subscription{p: p, o: o, patterns: patterns, heard: map[place]position{}}
	s.ctx, s.cancel = context.WithCancel(ctx)
	var err error
	if s.conn, err = s.open(); err != nil {
		s.cancel()
		return nil, err
	}
	return s, nil
}

// Kept names the streams that keep some of its topics, as they were when it began: their messages do not come, and are read from them.
func (s *Subscription) Kept() []string { return s.kept }

// Close ends the subscription. All ends too.
func (s *Subscription) Close() { s.cancel() }

// open sends the request and waits for the line which says that it is heard.
func (s *Subscription) open() (*liveConn, error) {
	c := &liveConn{silence: &Error{Kind: KindUnavailable, Message: fmt.Sprintf("the agent at %s has said nothing for %s", s.p.c.base.Host, feedSilenceMax)}}
	c.ctx, c.cancel = context.WithCancelCause(s.ctx)
	c.watch = time.AfterFunc(feedSilenceMax, func() { c.cancel(c.silence) })
	r := s.p.c.newRequest(http.MethodGet, "/v1/pubsub/subscribe")
	r.query(s.o.Query)
	r.params["topic"] = s.patterns
	r.params.Set("format", "ndjson")
	set(r.params, "group", s.o.Group)
	if s.o.Presence {
		r.params.Set("presence", "")
	}
	if s.o.QueueMessages > 0 {
		r.params.Set("queue", strconv.Itoa(s.o.QueueMessages))
	}
	r.streaming = true
	var err error
	if c.reply, err = s.p.c.send(c.ctx, r); err != nil {
		c.close()
		return nil, c.because(err)
	}
	c.in = lineReader{c: s.p.c, ctx: c.ctx, in: bufio.NewReaderSize(c.reply.Body, 64<<10)}
	if _, err := c.next(); err != nil {
		c.close()
		return nil, err
	}
	s.kept = c.kept
	return c, nil
}

func (c *liveConn) close() {
	c.watch.Stop()
	c.cancel(nil)
	if c.reply != nil {
		_ = c.reply.Body.Close() // nothing more is read of it
	}
}

// because is the error of a connection, which may be that we broke it.
func (c *liveConn) because(err error) error {
	if context.Cause(c.ctx) == error(c.silence) {
		return c.silence
	}
	return err
}

// All yields what comes, until the subscription ends. When the agent goes away All yields an error with a nil event, and if the caller's
// loop goes on tries again after a growing pause. Then it yields an unknown Gap: what was published meanwhile is lost. An error that does not
// pass ends the loop.
func (s *Subscription) All() iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		for failures := 0; s.ctx.Err() == nil; failures++ {
			err := s.read(func(e *Event) bool {
				failures = 0
				return yield(e, nil)
			})
			if err == nil || s.ctx.Err() != nil {
				return
			}
			s.broken = true
			if !yield(nil, err) || !temporary(err) || sleep(s.ctx, s.p.c.retry.pause(failures)) != nil {
				return
			}
		}
	}
}

// read yields events until the connection breaks, nil when the caller wants no more.
func (s *Subscription) read(yield func(*Event) bool) error {
	if s.conn == nil {
		c, err := s.open()
		if err != nil {
			return err
		}
		s.conn = c
	}
	if s.broken {
		s.broken = false
		if !yield(&Event{Gap: &Gap{}}) {
			return nil
		}
	}
	for {
		e, err := s.conn.next()
		switch {
		case err != nil:
			s.conn.close()
			s.conn = nil
			return err
		case e == nil || e.Message != nil && !s.news(e.Message):
		case !yield(e):
			return nil
		}
	}
}

// next reads a line; nil for one that only shows that the agent is there.
func (c *liveConn) next() (*Event, error) {
	c.watch.Reset(feedSilenceMax)
	line, err := c.in.line()
	c.watch.Stop() // a caller that takes its time is no silence of the agent
	if err != nil {
		return nil, c.because(err)
	}
	var b struct {
		Message
		Control    string     `json:"control"`
		From       uint64     `json:"from"`
		To         uint64     `json:"to"`
		Dropped    int        `json:"dropped"`
		Event      string     `json:"event"`
		Subscriber Subscriber `json:"subscriber"`
		Streams    []string   `json:"streams"`
		Error      *errorBody `json:"error"`
	}
	if err := json.Unmarshal(line, &b); err != nil {
		return nil, c.in.broken(err)
	}
	switch b.Control {
	case "":
		return &Event{Message: &b.Message}, nil
	case "gap":
		return &Event{Gap: &Gap{Publisher: b.Publisher, Epoch: b.Epoch, From: b.From, To: b.To}}, nil
	case "overflow":
		return &Event{Overflow: b.Dropped}, nil
	case "presence":
		return &Event{Presence: &Presence{Joined: b.Event == "join", Subscriber: b.Subscriber}}, nil
	case "begin":
		c.kept = b.Streams
	case "cut":
		if b.Error == nil {
			return nil, c.in.broken(errors.New("it was cut for no reason"))
		}
		return nil, b.Error.err()
	}
	return nil, nil
}
