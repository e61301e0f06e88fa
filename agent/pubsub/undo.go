package pubsub

import (
	"slices"
	"sync"
)

// undo is what a subscription has begun and is to end, the last of it first. It may be ended while it still begins.
type undo struct {
	mu    sync.Mutex // protects the following
	steps []func()
	ended bool
}

// add has f called by run, or now when that was called already.
func (u *undo) add(f func()) {
	u.mu.Lock()
	ended := u.ended
	if !ended {
		u.steps = append(u.steps, f)
	}
	u.mu.Unlock()
	if ended {
		f()
	}
}

func (u *undo) run() {
	u.mu.Lock()
	steps := u.steps
	u.steps, u.ended = nil, true
	u.mu.Unlock()
	for _, f := range slices.Backward(steps) {
		f()
	}
}
