package fsm

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestWaitReturnsAtOnceWhenAlreadyThere(t *testing.T) {
	var a applied
	a.set(7)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // not looked at
	for _, want := range []uint64{0, 1, 7} {
		if err := a.wait(ctx, want); err != nil {
			t.Errorf("wait(%d): %v", want, err)
		}
	}
	if n := testing.AllocsPerRun(100, func() { _ = a.wait(ctx, 7) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestSetWakesExactlyTheSatisfied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a applied
		var mu sync.Mutex
		woken := map[uint64]int{}
		ctx, cancel := context.WithCancel(t.Context())
		for i := range uint64(300) {
			go func() {
				want := 1 + i%100
				err := a.wait(ctx, want)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					woken[want]++
				}
			}()
		}
		synctest.Wait()
		a.set(40)
		synctest.Wait()
		for want := uint64(1); want <= 100; want++ {
			if n := woken[want]; (want <= 40) != (n == 3) || n != 0 && n != 3 {
				t.Fatalf("at 40, %d of 3 waiters for %d were woken", n, want)
			}
		}
		cancel()
		synctest.Wait()
		if len(woken) != 40 || len(a.waiters) != 0 {
			t.Fatalf("after cancel %d indexes woken, %d waiters left", len(woken), len(a.waiters))
		}
	})
}

func TestWaitGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a applied
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.wait(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error %v", err)
		}
		if len(a.waiters) != 0 {
			t.Fatal("the waiter stayed behind")
		}
	})
}

// Each waiter races with the set that satisfies it; none may sleep on.
func TestNoWakeUpIsLost(t *testing.T) {
	var a applied
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := uint64(1); i <= 5000; i++ {
				if err := a.wait(ctx, i); err != nil {
					t.Errorf("waiter %d at %d: %v", w, i, err)
					return
				}
			}
		})
	}
	for i := uint64(1); i <= 5000; i++ {
		a.set(i)
	}
	wg.Wait()
}
