package pubsub

import (
	"context"
	"sync"
	"time"
)

const (
	// frameBytes is about the size of a frame under load: signing and flooding cost by the frame, and large ones hold up what is behind them.
	frameBytes = 64 << 10
	// frameInterval is the least time between frames that are not full. The first message after a pause waits for nothing.
	frameInterval = time.Millisecond
	// waitingBytesMax bounds what publishers have handed in and was not sent; they wait then.
	waitingBytesMax = 4 << 20
	// ownRingBytesMax is what an agent keeps of its own messages in each carrier, and more of those that are younger than freshAge.
	ownRingBytesMax = 8 << 20
	freshAge        = 5 * time.Second
	// youngAge is how long a message is kept in any case: who lost it asks within that. A publisher that is too fast for it waits.
	youngAge = time.Second
	// ringBytesMax is what an agent keeps of its own messages in all, and ringBytesMin what each carrier may have beyond that.
	ringBytesMax, ringBytesMin = 64 << 20, 1 << 20
	// dropPause is how long a publisher waits when the mesh does not keep up.
	dropPause = 2 * time.Millisecond
	// Who is behind by more than lagBytes when it asks has the publisher wait for holdTime; and that must be freeTime ago, so
	// that a receiver which never keeps up slows it down, and does not stop it.
	lagBytes           = 4 << 20
	holdTime, freeTime = 100 * time.Millisecond, 20 * time.Millisecond
	// ringAge is how long messages are kept for those who missed them.
	ringAge = 5 * time.Minute
)

// beats are the pauses after the last frame at which its number is told again, to those who lost it. Whoever was cut off for longer asks when it is back.
var beats = []time.Duration{
	50 * time.Millisecond, 200 * time.Millisecond, time.Second, 2 * time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 10 * time.Second, 30 * time.Second,
}

// outbox numbers what this agent publishes in a carrier, packs it into frames, sends them and keeps the last of them.
type outbox struct {
	c *carrier

	mu      sync.Mutex // protects the following
	waiting []*message
	bytes   int           // of waiting
	room    chan struct{} // closed when something was taken from waiting
	kick    chan struct{} // capacity 1: something is waiting
	next    uint64        // number of the next message; the first is 1
	head    uint64        // number of the last that was sent
	running bool
	ring    ring
	held    time.Time // until when it waits for somebody who is behind
}

func newOutbox(c *carrier) *outbox {
	return &outbox{c: c, next: 1, room: make(chan struct{}), kick: make(chan struct{}, 1)}
}

// put numbers messages and has them sent. All of the list have numbers in a row. It waits while too much is waiting already.
func (o *outbox) put(ctx context.Context, list []*message) error {
	size := 0
	for _, m := range list {
		size += m.size()
	}
	o.mu.Lock()
	for o.bytes > 0 && o.bytes+size > waitingBytesMax {
		room := o.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		case <-o.c.bus.ctx.Done():
			return errClosed()
		}
		o.mu.Lock()
	}
	defer o.mu.Unlock()
	for _, m := range list {
		m.publisher, m.Publisher, m.Epoch, m.Seq = o.c.bus.self, o.c.bus.node, o.c.bus.cfg.Epoch, o.next
		o.next++
	}
	o.waiting = append(o.waiting, list...)
	o.bytes += size
	if !o.running {
		if !o.c.bus.spawn(o.run) {
			return errClosed()
		}
		o.running = true
	}
	select {
	case o.kick <- struct{}{}:
	default:
	}
	return nil
}

// take is the next frame's messages. full says that there is more than one frame waiting. A retained message has a frame of its own, which is kept.
func (o *outbox) take() (list []*message, full bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, size := 0, 0
	for n < len(o.waiting) && n < frameMessagesMax {
		m := o.waiting[n]
		if n > 0 && (size+m.size() > frameBytes || m.Retain || o.waiting[0].Retain) {
			break
		}
		size += m.size()
		n++
	}
	if n == 0 {
		return nil, false
	}
	list = o.waiting[:n:n]
	if o.waiting = o.waiting[n:]; len(o.waiting) == 0 {
		o.waiting = nil
	}
	o.bytes -= size
	close(o.room)
	o.room = make(chan struct{})
	return list, len(o.waiting) > 0
}

// run sends until nothing has been published for a while.
func (o *outbox) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	beat := 0
	for {
		list, full := o.take()
		if list != nil {
			began := time.Now()
			o.send(list)
			beat = 0
			if full {
				continue
			}
			timer.Reset(frameInterval - time.Since(began))
			select {
			case <-timer.C:
				continue
			case <-o.c.bus.ctx.Done():
				return
			}
		}
		timer.Reset(beats[beat])
		select {
		case <-o.kick:
		case <-timer.C:
			o.announce()
			if beat++; beat == len(beats) && o.rest() {
				return
			}
		case <-o.c.bus.ctx.Done():
			return
		}
	}
}

// rest ends run unless something came meanwhile.
func (o *outbox) rest() bool {
	o.mu.Lock()
	o.running = len(o.waiting) > 0
	rested := !o.running
	o.mu.Unlock()
	if rested {
		o.c.idle()
	}
	return rested
}

// send makes a frame of messages and gives it to the mesh, to this agent's own subscriptions, and to the ring.
func (o *outbox) send(list []*message) {
	f := o.frame(list[0].Seq, list)
	o.keep(f)
	before := o.c.bus.dropped.Load()
	o.c.publish(f)
	if o.c.bus.dropped.Load() != before {
		o.c.bus.pause(dropPause)
	}
	for _, m := range list {
		if m.sent != nil {
			close(m.sent)
		}
	}
}

// keep has a frame ready for who will ask for it. It waits while that would drive out others that somebody may be about to ask for, and
// for those who are behind.
func (o *outbox) keep(f *frame) {
	b := o.c.bus
	for {
		now := time.Now()
		o.mu.Lock()
		bytes := o.ring.bytes
		o.ring.trim(ownRingBytesMax, now.Add(-freshAge))
		if excess := int(b.kept.Load()) + o.ring.bytes - bytes - ringBytesMax; excess > 0 {
			o.ring.trim(max(ringBytesMin, o.ring.bytes-excess), now.Add(-youngAge))
		}
		b.kept.Add(int64(o.ring.bytes - bytes))
		if hold := o.held.Sub(now); hold > 0 {
			o.mu.Unlock()
			b.pause(hold)
			continue
		}
		if b.kept.Load() <= ringBytesMax || o.ring.bytes <= ringBytesMin || b.ctx.Err() != nil {
			o.ring.add(f, now)
			b.kept.Add(int64(len(f.raw)))
			o.head = f.last()
			o.mu.Unlock()
			return
		}
		wait := youngAge - now.Sub(o.ring.at[0])
		o.mu.Unlock()
		b.pause(max(wait, time.Millisecond))
	}
}

// announce tells the number of the last message.
func (o *outbox) announce() {
	o.mu.Lock()
	next := o.head + 1
	o.mu.Unlock()
	o.c.flood(o.frame(next, nil))
}

func (o *outbox) frame(first uint64, list []*message) *frame {
	b := o.c.bus
	f := &frame{carrier: o.c.wire, publisher: b.self, epoch: b.cfg.Epoch, first: first, time: time.Now().UnixNano(), messages: list}
	f.seal(b.cfg.Key)
	if len(list) > 0 && list[0].Retain {
		list[0].frame = f
	}
	return f
}

// find answers a question about this agent's own messages.
func (o *outbox) find(q *question, bytesMax int) (frames []*frame, begin uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	behind := 0
	for i := len(o.ring.frames) - 1; i >= 0 && o.ring.frames[i].first > q.from; i-- {
		behind += len(o.ring.frames[i].raw)
	}
	if now := time.Now(); behind > lagBytes && o.running && now.Sub(o.held) > freeTime {
		o.held = now.Add(holdTime)
	}
	if begin = o.ring.begin(q); begin == 0 && q.epoch == o.c.bus.cfg.Epoch {
		begin = o.head + 1 // it is long since anything was sent
	}
	return o.ring.find(q, bytesMax), begin
}

// busy says that something is on its way, or is still being told of.
func (o *outbox) busy() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.running
}

func (o *outbox) sent() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.head
}

func (o *outbox) expire(before time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	bytes := o.ring.bytes
	o.ring.expire(before)
	o.c.bus.kept.Add(int64(o.ring.bytes - bytes))
}
