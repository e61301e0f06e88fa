package api

import (
	"sync"
	"time"
)

// lease is the client's own view of a session's TTL. The server's TTL runs from when it handled a
// renewal, which is after the client began it; so a lease that counts from the beginning of the last
// successful renewal is never longer than the server's. A machine that was suspended must not
// believe in a lease either, so time is measured by both clocks and the longer one counts.
type lease struct {
	ttl time.Duration

	mu   sync.Mutex // protects the following
	last instant
}

// instant is a moment on both clocks; time.Time's monotonic one stops while a machine sleeps.
type instant struct {
	mono time.Time
	wall time.Time
}

func now() instant {
	t := time.Now()
	return instant{t, t.Round(0)}
}

func (i instant) since() time.Duration {
	n := now()
	return max(n.mono.Sub(i.mono), n.wall.Sub(i.wall))
}

func newLease(ttl time.Duration) *lease { return &lease{ttl: ttl, last: now()} }

// renewed records a renewal that began at the given moment and succeeded.
func (l *lease) renewed(began instant) {
	l.mu.Lock()
	l.last = began
	l.mu.Unlock()
}

// left is how much of the lease is left; never more than the TTL.
func (l *lease) left() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ttl - l.last.since()
}
