package pubsub

import (
	"context"
	"sync"
	"time"

	ps "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/debros/debros/structs"
)

const (
	// subscriptionBuffer is how many frames GossipSub may have for us; it drops what comes beyond, and we ask for it.
	subscriptionBuffer = queueFrames
	inboxBuffer        = 16
	// tracksMax bounds the publishers of a carrier; peer ids cost a dishonest member nothing.
	tracksMax = 16384
	// limboMax and limboBytesMax bound the frames of publishers whose place is being asked for while a carrier is joined.
	limboMax, limboBytesMax = 1024, 32 << 20
	// receivedRingBytesMax is what is kept of others' messages in each carrier, for those who miss them when their publisher is gone.
	receivedRingBytesMax = 2 << 20
)

// inbox is the receiving side of a carrier that is joined. One goroutine orders and delivers; the fields below it are its own.
type inbox struct {
	c   *carrier
	sub *ps.Subscription
	// begun is when the carrier was joined: what was published before is not missing.
	begun  time.Time
	synced chan struct{} // closed when it is known where each publisher stands

	frames chan *frame
	calls  chan func()
	ctx    context.Context
	cancel context.CancelFunc
	ended  chan struct{}
	stop   func() // once

	index      *index
	tracks     map[peer.ID]*track
	held       int      // bytes that wait in tracks
	limbo      []*frame // nil once synced is closed
	limboBytes int
	ring       ring
	timer      *time.Timer
	wake       time.Time // when timer fires
}

func newInbox(c *carrier, sub *ps.Subscription) *inbox {
	in := &inbox{
		c: c, sub: sub, begun: time.Now(), synced: make(chan struct{}),
		frames: make(chan *frame, inboxBuffer), calls: make(chan func()), ended: make(chan struct{}),
		index: newIndex(), tracks: map[peer.ID]*track{}, limbo: []*frame{},
	}
	in.ctx, in.cancel = context.WithCancel(c.bus.ctx)
	in.stop = sync.OnceFunc(func() {
		in.cancel()
		in.sub.Cancel()
	})
	return in
}

// start is false when the bus is closed.
func (in *inbox) start() bool {
	return in.c.bus.spawn(func() {
		defer close(in.ended)
		in.run()
	}) && in.c.bus.spawn(in.feed) && in.c.bus.spawn(in.sync)
}

// feed takes frames from GossipSub. The validator has opened them.
func (in *inbox) feed() {
	defer in.sub.Cancel()
	for {
		m, err := in.sub.Next(in.ctx)
		if err != nil {
			return
		}
		f, ok := m.ValidatorData.(*frame)
		if !ok || f.publisher == in.c.bus.self || in.c.bus.lose != nil && in.c.bus.lose(f) {
			continue
		}
		in.take(f)
	}
}

// take hands a frame to the goroutine; false when that may have ended without it.
func (in *inbox) take(f *frame) bool {
	select {
	case in.frames <- f:
		return in.ctx.Err() == nil // run, which ends later than this, takes it first
	case <-in.ctx.Done():
		return false
	}
}

// do has the goroutine call f, and waits for it; false when it has ended.
func (in *inbox) do(f func()) bool {
	done := make(chan struct{})
	select {
	case in.calls <- func() { f(); close(done) }:
		<-done
		return true
	case <-in.ended:
		return false
	}
}

func (in *inbox) run() {
	in.timer = time.NewTimer(time.Hour)
	in.wake = time.Now().Add(time.Hour)
	defer in.timer.Stop()
	for {
		select {
		case f := <-in.frames:
			in.receive(f)
		case f := <-in.calls:
			f()
		case <-in.timer.C:
			in.look()
		case <-in.ctx.Done():
			in.drain()
			return
		}
	}
}

// drain receives what take has handed over before the end: nobody subscribes any more, but last values are kept.
func (in *inbox) drain() {
	for {
		select {
		case f := <-in.frames:
			in.receive(f)
		default:
			return
		}
	}
}

// receive takes a frame to its place.
func (in *inbox) receive(f *frame) {
	if f.publisher == in.c.bus.self {
		in.deliver(f.messages) // our own outbox sends in order
		return
	}
	t := in.tracks[f.publisher]
	switch {
	case t == nil && in.limbo != nil:
		if len(in.limbo) < limboMax && in.limboBytes < limboBytesMax {
			in.limbo = append(in.limbo, f)
			in.limboBytes += len(f.raw)
		}
		return
	case t == nil && len(in.tracks) >= tracksMax:
		in.refuse(f)
		return
	case t == nil:
		t = newTrack(f, &in.held)
		in.tracks[f.publisher] = t
	case f.epoch < t.epoch:
		in.c.space.counts.replayed.Add(1)
		return
	case f.epoch > t.epoch:
		t = in.restarted(t, f)
	}
	if f.last() < t.next && len(f.messages) > 0 {
		in.c.space.counts.duplicates.Add(1)
	}
	in.offer(t, f)
	in.watch(t)
}

// add begins a subscription, with the last values of its topics. One that is still on its way comes in its turn.
func (in *inbox) add(s *Subscription, patterns []string) {
	in.index.add(s, patterns)
	for _, m := range in.c.retained.match(patterns) {
		if t := in.tracks[m.publisher]; t != nil && (m.Epoch > t.epoch || m.Epoch == t.epoch && m.Seq >= t.next) {
			continue
		}
		s.put(structs.MessageItem{Message: &structs.Message{
			Topic: m.Topic, Publisher: m.Publisher, Epoch: m.Epoch, Seq: m.Seq, Time: m.Time, Headers: m.Headers, Data: m.Data,
			Reply: m.Reply, Retain: true, Retained: true,
		}})
	}
}

// offer gives a frame to its track and delivers what is in order then.
func (in *inbox) offer(t *track, f *frame) {
	if len(f.messages) > 0 && f.last() >= t.next {
		now := time.Now()
		in.ring.add(f, now)
		in.ring.trim(receivedRingBytesMax, now)
	}
	in.deliver(t.offer(f))
}

// restarted begins with a publisher's next epoch. What is missing of the last one is lost with it.
func (in *inbox) restarted(t *track, f *frame) *track {
	for in.giveUp(t) {
	}
	n := &track{publisher: f.publisher, epoch: f.epoch, next: 1, held: &in.held}
	in.tracks[f.publisher] = n
	if in.c.sink != nil {
		in.c.space.presence.forget(f.publisher) // its subscriptions ended with its last run
	}
	return n
}

// heard gives what others have kept of presence to its reader, unless its publisher has restarted since.
func (in *inbox) heard(m *message) {
	if t := in.tracks[m.publisher]; in.c.sink != nil && (t == nil || m.Epoch >= t.epoch) {
		in.c.sink(m)
	}
}

// deliver gives messages to whom they concern.
func (in *inbox) deliver(list []*message) {
	if len(list) == 0 {
		return
	}
	n := 0
	for _, m := range list {
		if m.Retain {
			in.c.retained.keep(m)
		}
		if in.c.sink != nil {
			in.c.sink(m)
		}
		n += in.index.deliver(m, in.c.bus.self)
	}
	in.c.space.delivered(list, n)
}
