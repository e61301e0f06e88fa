package pubsub

import (
	"context"
	"sync"

	"github.com/debros/debros/structs"
)

const (
	// queueMessagesDefault may wait for Next. More than queueBytesMax of them never do.
	queueMessagesDefault = 16384
	queueMessagesMax     = 1 << 20
	queueBytesMax        = 16 << 20
	patternsMax          = 256
)

// Subscription is one reader's queue. Its methods are safe for concurrent use.
type Subscription struct {
	space *space
	opts  structs.SubscribeOptions
	max   int
	close func() // once

	mu      sync.Mutex // protects the following
	queue   []structs.MessageItem
	bytes   int
	dropped int           // behind what is in queue
	ready   chan struct{} // capacity 1
	ended   bool
}

func checkOptions(o *structs.SubscribeOptions) error {
	if len(o.Patterns) == 0 {
		return structs.Errorf(structs.KindInvalid, "there is no topic to subscribe to")
	}
	if len(o.Patterns) > patternsMax {
		return structs.Errorf(structs.KindTooLarge, "%d topics in one subscription; the limit is %d", len(o.Patterns), patternsMax).
			WithHint("a pattern with * or > names many topics")
	}
	for _, p := range o.Patterns {
		if err := structs.CheckTopicPattern(p); err != nil {
			return err
		}
	}
	if o.Group != "" && !structs.ValidToken(o.Group) {
		return structs.Errorf(structs.KindInvalid, "%q is no name of a group", o.Group).WithHint("up to 64 of A-Z, a-z, 0-9, _ and -")
	}
	if o.Quiet && (o.Group != "" || o.Presence) {
		return structs.Errorf(structs.KindInvalid, "a quiet subscription has no group and no presence")
	}
	if o.QueueMessages < 0 || o.QueueMessages > queueMessagesMax {
		return structs.Errorf(structs.KindInvalid, "a queue of %d messages", o.QueueMessages).WithHint("1 to %d", queueMessagesMax)
	}
	return nil
}

// Next waits for items and gives all that are there, in order. It ends with ctx, and with structs.KindUnavailable when
// the subscription is closed.
func (s *Subscription) Next(ctx context.Context) ([]structs.MessageItem, error) {
	for {
		s.mu.Lock()
		s.tellDropped()
		items, ended := s.queue, s.ended
		s.queue, s.bytes = nil, 0
		s.mu.Unlock()
		if len(items) > 0 {
			return items, nil
		}
		if ended {
			return nil, structs.Errorf(structs.KindUnavailable, "the subscription has ended")
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close ends the subscription; what waits in it is lost. It may be called twice.
func (s *Subscription) Close() { s.close() }

// put never waits: a reader that is too slow loses messages, and is told how many.
func (s *Subscription) put(it structs.MessageItem) {
	size := messageOverhead
	if it.Message != nil {
		size += it.Message.Bytes()
	}
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	// What is no message is small and rare, and matters more: it always has room for a while.
	room := s.max
	if it.Message == nil {
		room *= 2
	}
	if len(s.queue) >= room || s.bytes+size > queueBytesMax && len(s.queue) > 0 {
		s.dropped++
		s.space.counts.overflow.Add(1)
		s.mu.Unlock()
		return
	}
	s.tellDropped()
	s.queue = append(s.queue, it)
	s.bytes += size
	s.mu.Unlock()
	s.wake()
}

// tellDropped puts behind the queue how many messages found no room there. s.mu is held.
func (s *Subscription) tellDropped() {
	if s.dropped == 0 {
		return
	}
	s.queue = append(s.queue, structs.MessageItem{Overflow: s.dropped})
	s.space.meter("overflow", s.dropped)
	s.dropped = 0
}

func (s *Subscription) wake() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

func (s *Subscription) end() {
	s.mu.Lock()
	s.ended = true
	s.queue = nil
	s.mu.Unlock()
	s.wake()
}
