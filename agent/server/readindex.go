package server

import (
	"context"
	"sync"
	"time"
)

const (
	// gatherMin: after a round of so many readers, their next requests are worth waiting for.
	gatherMin = 8
	// gatherShare of what a round takes is how long, and never longer than gatherMax.
	gatherShare = 4
	gatherMax   = 500 * time.Microsecond
)

// readIndexer answers "which index must be applied here before a linearizable read may be
// answered?". All readers that wait at the same moment share one leadership check: a reader joins
// the round that has not begun yet, never the one under way, since that one may have looked at the
// commit index before the reader asked.
type readIndexer struct {
	fetch func(context.Context) (uint64, error)
	kick  chan struct{}   // capacity 1: a round has waiters
	full  chan struct{}   // capacity 1: the next round has as many readers as gather waits for
	done  <-chan struct{} // closed when the server stops
	takes mean            // how long a round takes

	// mu protects the following.
	mu     sync.Mutex
	next   *readRound // collects waiters; nil when nobody waits
	enough int        // readers of next for which gather waits; 0 = it does not
}

type readRound struct {
	done    chan struct{}
	readers int
	index   uint64
	err     error
}

func newReadIndexer(done <-chan struct{}, fetch func(context.Context) (uint64, error)) *readIndexer {
	return &readIndexer{fetch: fetch, kick: make(chan struct{}, 1), full: make(chan struct{}, 1), done: done}
}

// get joins the next round and waits for it.
func (r *readIndexer) get(ctx context.Context) (uint64, error) {
	r.mu.Lock()
	if r.next == nil {
		r.next = &readRound{done: make(chan struct{})}
	}
	round := r.next
	round.readers++
	if round.readers == r.enough {
		poke(r.full)
	}
	r.mu.Unlock()
	poke(r.kick)
	select {
	case <-round.done:
		return round.index, round.err
	case <-r.done:
		return 0, errStopping()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// run makes one round after the other until ctx ends.
func (r *readIndexer) run(ctx context.Context) {
	for {
		select {
		case <-r.kick:
		case <-ctx.Done():
			return
		}
		if round := r.begin(); round != nil {
			start := time.Now()
			index, err := r.fetch(ctx)
			r.takes.add(time.Since(start))
			r.finish(round, index, err)
			r.gather(ctx, round.readers)
		}
	}
}

// gather waits a moment, after a round of many readers, for as many of the next one. Callers that ask again and again
// come back just after their round; without this they would form two groups that take turns, each waiting for half a
// round of the other, at twice the number of leadership checks.
func (r *readIndexer) gather(ctx context.Context, readers int) {
	if readers < gatherMin {
		return
	}
	select {
	case <-r.full: // of the last time
	default:
	}
	r.mu.Lock()
	there := r.next != nil && r.next.readers >= readers
	r.enough = readers
	r.mu.Unlock()
	if !there {
		timer := time.NewTimer(min(r.takes.get()/gatherShare, gatherMax))
		defer timer.Stop()
		select {
		case <-r.full:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	r.mu.Lock()
	r.enough = 0
	r.mu.Unlock()
}

func (r *readIndexer) begin() *readRound {
	r.mu.Lock()
	defer r.mu.Unlock()
	round := r.next
	r.next = nil
	return round
}

func (r *readIndexer) finish(round *readRound, index uint64, err error) {
	if round == nil {
		return
	}
	round.index, round.err = index, err
	close(round.done)
}
