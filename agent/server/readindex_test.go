package server

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/debros/debros/structs"
)

func TestAReaderNeverJoinsARoundThatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		var rounds atomic.Uint64
		release := make(chan struct{})
		r := newReadIndexer(ctx.Done(), func(context.Context) (uint64, error) {
			n := rounds.Add(1) // it looks at the commit index here
			<-release
			return n, nil
		})
		go r.run(ctx)
		got := make(chan uint64, 100)
		ask := func() {
			i, err := r.get(ctx)
			if err != nil {
				t.Error(err)
			}
			got <- i
		}
		go ask()
		synctest.Wait() // round 1 runs
		for range 50 {
			go ask()
		}
		synctest.Wait()
		release <- struct{}{}
		synctest.Wait()
		if i := <-got; i != 1 || len(got) != 0 {
			t.Fatalf("round 1 answered the first reader with %d, and %d readers that came after it began", i, len(got))
		}
		release <- struct{}{}
		synctest.Wait()
		if len(got) != 50 {
			t.Fatalf("%d of 50 readers were answered", len(got))
		}
		for range 50 {
			if i := <-got; i != 2 {
				t.Fatalf("a reader got the index of round %d", i)
			}
		}
		if n := rounds.Load(); n != 2 {
			t.Errorf("51 readers took %d leadership checks, want 2", n)
		}
	})
}

// TestReadersThatAskAgainShareEveryRound: without waiting for them they would be two groups that take turns.
func TestReadersThatAskAgainShareEveryRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		const takes, readers, reads = time.Millisecond, 64, 20
		rounds := 0
		r := newReadIndexer(ctx.Done(), func(context.Context) (uint64, error) {
			rounds++
			time.Sleep(takes)
			return 1, nil
		})
		go r.run(ctx)
		start := time.Now()
		var wg sync.WaitGroup
		for range readers {
			wg.Go(func() {
				for range reads {
					if _, err := r.get(ctx); err != nil {
						t.Error(err)
					}
					time.Sleep(takes / 20) // what becomes of the answer, and the next request
				}
			})
		}
		wg.Wait()
		if rounds > reads*5/4 { // one of the first round may stay out of step
			t.Errorf("%d readers took %d rounds for %d reads each", readers, rounds, reads)
		}
		if took := time.Since(start); took > reads*takes*5/4 {
			t.Errorf("%d reads in turn took %s", reads, took)
		}
	})
}

// TestAFewReadersWaitForNobody: a round of theirs follows at once.
func TestAFewReadersWaitForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		r := newReadIndexer(ctx.Done(), func(context.Context) (uint64, error) {
			time.Sleep(time.Millisecond)
			return 1, nil
		})
		go r.run(ctx)
		start := time.Now()
		for range 10 {
			var wg sync.WaitGroup
			for range gatherMin - 1 {
				wg.Go(func() { _, _ = r.get(ctx) })
			}
			wg.Wait()
		}
		if took := time.Since(start); took > 20*time.Millisecond {
			t.Errorf("10 reads in turn took %s", took)
		}
	})
}

func TestAFailedRoundFailsItsReadersOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		fail := true
		r := newReadIndexer(ctx.Done(), func(context.Context) (uint64, error) {
			if fail {
				return 0, errNotLeader()
			}
			return 7, nil
		})
		go r.run(ctx)
		if _, err := r.get(ctx); !errors.Is(err, structs.ErrNoLeader) {
			t.Fatalf("a failed round: %v", err)
		}
		fail = false
		if i, err := r.get(ctx); i != 7 || err != nil {
			t.Fatalf("the round after it: %d, %v", i, err)
		}
	})
}

func TestAReaderLeavesWithItsContextAndWithTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(context.Background())
		r := newReadIndexer(ctx.Done(), func(ctx context.Context) (uint64, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		go r.run(ctx)
		mine, leave := context.WithCancel(context.Background())
		errs := make(chan error, 2)
		go func() { _, err := r.get(mine); errs <- err }()
		synctest.Wait()
		leave()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("a reader that left got %v", err)
		}
		go func() { _, err := r.get(context.Background()); errs <- err }()
		synctest.Wait()
		stop()
		if err := <-errs; err == nil {
			t.Error("a stopping server answered a reader")
		}
	})
}
