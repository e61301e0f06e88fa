package server

import (
	"context"
	"sync/atomic"
	"time"
)

// pulseInterval is how often the pulse beats: several times within a leader's lease.
const pulseInterval = 50 * time.Millisecond

// pulse notices that the whole process stood still (a stopped virtual machine, SIGSTOP). Raft's proof of
// leadership counts answers as they arrive, also those that waited in a socket while this server slept
// and another was elected; so after a gap longer than the lease nothing is proven until the buffers
// have been drained and the others have had time to say that there is a new term.
type pulse struct {
	lease time.Duration
	last  atomic.Pointer[time.Time] // of the last beat
	woke  atomic.Pointer[time.Time] // after the last gap longer than lease; nil = never
}

func newPulse(lease time.Duration) *pulse {
	p := &pulse{lease: lease}
	now := time.Now()
	p.last.Store(&now)
	return p
}

func (p *pulse) run(ctx context.Context) {
	tick := time.NewTicker(pulseInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.beat(time.Now())
		case <-ctx.Done():
			return
		}
	}
}

func (p *pulse) beat(now time.Time) {
	if now.Sub(*p.last.Load()) > p.lease {
		p.woke.Store(&now)
	}
	p.last.Store(&now)
}

// steady reports whether the process has run without a gap since at least one lease before now.
func (p *pulse) steady(now time.Time) bool {
	if now.Sub(*p.last.Load()) > p.lease {
		return false
	}
	woke := p.woke.Load()
	return woke == nil || now.Sub(*woke) > p.lease
}
