package fsm

import (
	"container/heap"
	"context"
	"sync"
	"sync/atomic"
)

// applied is the index up to which the FSM has applied, and who waits for it to grow. One goroutine
// calls set; any number call get and wait.
type applied struct {
	index atomic.Uint64

	mu      sync.Mutex // protects the following
	waiters waiterHeap // lowest index first, so that set touches only those it wakes
}

type waiter struct {
	index   uint64
	readyCh chan struct{} // closed when reached
	pos     int           // in the heap, -1 when woken
}

func (a *applied) get() uint64 { return a.index.Load() }

// set moves the index, forward by applying or anywhere by a restore, and wakes whom it satisfies.
func (a *applied) set(index uint64) {
	a.index.Store(index)
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.waiters) > 0 && a.waiters[0].index <= index {
		close(heap.Pop(&a.waiters).(*waiter).readyCh)
	}
}

// wait returns nil once the index was at least want, or ctx's error.
func (a *applied) wait(ctx context.Context, want uint64) error {
	if a.get() >= want {
		return nil
	}
	w := &waiter{index: want, readyCh: make(chan struct{})}
	a.mu.Lock()
	if a.get() >= want { // set stores before it locks, so nothing is missed in between
		a.mu.Unlock()
		return nil
	}
	heap.Push(&a.waiters, w)
	a.mu.Unlock()

	select {
	case <-w.readyCh:
		return nil
	case <-ctx.Done():
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if w.pos < 0 {
		return nil // reached at the last moment
	}
	heap.Remove(&a.waiters, w.pos)
	return ctx.Err()
}

// waiterHeap implements heap.Interface and keeps each waiter's position.
type waiterHeap []*waiter

func (h waiterHeap) Len() int           { return len(h) }
func (h waiterHeap) Less(i, j int) bool { return h[i].index < h[j].index }
func (h waiterHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}

func (h *waiterHeap) Push(x any) {
	w := x.(*waiter)
	w.pos = len(*h)
	*h = append(*h, w)
}

func (h *waiterHeap) Pop() any {
	old := *h
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	w.pos = -1
	return w
}
