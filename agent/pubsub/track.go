package pubsub

import (
	"cmp"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	// repairDelay is how long messages are thought to be only late: parallel validation and several paths reorder them.
	repairDelay = 20 * time.Millisecond
	// repairTimeout is how long what is missing is asked for, while asking brings nothing.
	repairTimeout  = 4 * time.Second
	repairPauseMax = time.Second
	// laterBytesMax bounds what waits, of each publisher, for something that is missing. What comes beyond it is asked for again.
	laterBytesMax = 4 << 20
	// laterAllMax bounds it for all publishers of a carrier together, whose ids cost a dishonest member nothing.
	laterAllMax = 64 << 20
)

// track is what a carrier knows of one publisher: what was delivered, and what is missing.
type track struct {
	publisher peer.ID
	epoch     uint64
	next      uint64   // the number that is delivered next
	head      uint64   // the highest number that the publisher is known to have sent
	later     []*frame // beyond next, by number
	bytes     int      // of later
	held      *int     // of later, in all tracks of the carrier
	// begin is set while it is not known which numbers were sent before the carrier was joined: the publisher is asked then. Old frames still go
	// round in the mesh.
	begin bool

	since  time.Time // when something began to be missing, or asking last helped; zero = nothing is missing
	due    time.Time // when to ask
	tries  int
	asking bool
}

// newTrack is of a publisher that was not known when the carrier was joined.
func newTrack(f *frame, held *int) *track {
	return &track{publisher: f.publisher, epoch: f.epoch, next: 1, begin: true, held: held}
}

// offer takes a frame of this epoch and gives the messages that are in order now.
func (t *track) offer(f *frame) (out []*message) {
	t.head = max(t.head, f.last())
	switch {
	case len(f.messages) == 0 || f.last() < t.next:
		return nil // nothing in it, or a duplicate
	case f.first > t.next || t.begin:
		t.keep(f)
		return nil
	}
	return append(t.advance(f), t.drain()...)
}

// advance delivers a frame that begins at next or before it.
func (t *track) advance(f *frame) []*message {
	out := f.messages[t.next-f.first:]
	t.next = f.last() + 1
	return out
}

// keep holds a frame back until those before it are there.
func (t *track) keep(f *frame) {
	i, there := slices.BinarySearchFunc(t.later, f.first, func(o *frame, n uint64) int { return cmp.Compare(o.first, n) })
	if there || len(t.later) > 0 && (t.bytes+len(f.raw) > laterBytesMax || *t.held+len(f.raw) > laterAllMax) {
		return
	}
	t.later = slices.Insert(t.later, i, f)
	t.count(len(f.raw))
}

func (t *track) count(bytes int) {
	t.bytes += bytes
	*t.held += bytes
}

// drain delivers what was held back and is next now.
func (t *track) drain() (out []*message) {
	for len(t.later) > 0 && t.later[0].first <= t.next {
		f := t.later[0]
		t.later[0] = nil
		t.later = t.later[1:]
		t.count(-len(f.raw))
		if f.last() >= t.next {
			out = append(out, t.advance(f)...)
		}
	}
	return out
}

// missing is what is not there, up to the first frame that is; false when nothing is missing. To begin with, where to begin is.
func (t *track) missing() (from, to uint64, ok bool) {
	to = t.head
	if len(t.later) > 0 {
		to = t.later[0].first - 1
	}
	return t.next, to, to >= t.next || t.begin
}

// look sets when to ask for what is missing.
func (t *track) look(now time.Time) {
	switch _, _, missing := t.missing(); {
	case !missing:
		t.since, t.due, t.tries = time.Time{}, time.Time{}, 0
	case t.since.IsZero():
		t.since, t.due, t.tries = now, now.Add(repairDelay), 0
		if t.begin {
			t.due = now
		}
	}
}

// again says when to ask once more after an answer that did not bring everything, or that it is no use.
func (t *track) again(now time.Time, progress bool) (giveUp bool) {
	t.asking = false
	if progress {
		t.since, t.due, t.tries = now, now, 0
		t.look(now)
		return false
	}
	t.tries++
	t.due = now.Add(min(repairPauseMax, 50*time.Millisecond<<min(t.tries, 10)))
	return !t.since.IsZero() && now.Sub(t.since) > repairTimeout
}

// startAt ends begin: what is before a number was published before the carrier was joined. It gives what follows.
func (t *track) startAt(n uint64) []*message {
	t.next, t.begin = max(t.next, n), false
	for len(t.later) > 0 && t.later[0].last() < t.next {
		t.count(-len(t.later[0].raw))
		t.later = t.later[1:]
	}
	return t.drain()
}

// skip goes on behind what is missing and gives what follows.
func (t *track) skip() []*message {
	_, to, ok := t.missing()
	if !ok {
		return nil
	}
	t.next, t.begin = to+1, false
	t.since = time.Time{}
	return t.drain()
}
