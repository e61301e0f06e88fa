package server

import (
	"context"
	"sync"
)

// readIndexer answers "which index must be applied here before a linearizable read may be
// answered?". All readers that wait at the same moment share one leadership check: a reader joins
// the round that has not begun yet, never the one under way, since that one may have looked at the
// commit index before the reader asked.
type readIndexer struct {
	fetch func(context.Context) (uint64, error)
	kick  chan struct{}   // capacity 1: a round has waiters
	done  <-chan struct{} // closed when the server stops

	// mu protects the following.
	mu   sync.Mutex
	next *readRound // collects waiters; nil when nobody waits
}

type readRound struct {
	done  chan struct{}
	index uint64
	err   error
}

func newReadIndexer(done <-chan struct{}, fetch func(context.Context) (uint64, error)) *readIndexer {
	return &readIndexer{fetch: fetch, kick: make(chan struct{}, 1), done: done}
}

// get joins the next round and waits for it.
func (r *readIndexer) get(ctx context.Context) (uint64, error) {
	r.mu.Lock()
	if r.next == nil {
		r.next = &readRound{done: make(chan struct{})}
	}
	round := r.next
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
			index, err := r.fetch(ctx)
			r.finish(round, index, err)
		}
	}
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
