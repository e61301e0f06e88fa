package api_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/debros/debros/api"
	"github.com/debros/debros/test/fakeagent"
)

func newClient(t *testing.T) (*api.Client, *fakeagent.Agent) {
	t.Helper()
	f, server := fakeagent.New()
	client, err := api.New(api.Config{Address: server.URL, Retry: api.RetryPolicy{Max: 3, WaitMin: time.Millisecond, WaitMax: 5 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.CloseClientConnections(); server.Close() })
	return client, f
}

func lockIt(t *testing.T, l interface {
	Lock(context.Context) (<-chan struct{}, uint64, error)
}) (<-chan struct{}, uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	lost, fencing, err := l.Lock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return lost, fencing
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// The promise that a lock stands on: when the agent stops answering altogether, the holder knows that
// the lock is lost no later than a TTL after its last successful renewal, and not before.
func TestLockIsLostByItsOwnClockWhenTheNetworkHangs(t *testing.T) {
	const ttl = 2 * time.Second // long enough that a busy machine's pauses are no lost renewals
	for name, make := range map[string]func(*api.Client) interface {
		Lock(context.Context) (<-chan struct{}, uint64, error)
	}{
		"lock": func(c *api.Client) interface {
			Lock(context.Context) (<-chan struct{}, uint64, error)
		} {
			return c.Lock("l", &api.LockOptions{TTL: ttl})
		},
		"semaphore": func(c *api.Client) interface {
			Lock(context.Context) (<-chan struct{}, uint64, error)
		} {
			return c.Semaphore("l", 2, &api.LockOptions{TTL: ttl})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, f := newClient(t)
			lost, _ := lockIt(t, make(client))
			// Held for longer than a TTL while the agent answers: it is renewed.
			select {
			case <-lost:
				t.Fatal("lost while the agent answered")
			case <-time.After(ttl + ttl/2):
			}
			f.Set(func() { f.Stalled = true })
			stalled := time.Now()
			select {
			case <-lost:
			case <-time.After(ttl + 5*time.Second):
				t.Fatal("still believed to be held long after its TTL")
			}
			if took := time.Since(stalled); took > ttl+ttl/2 {
				t.Errorf("noticed after %s, more than a TTL of %s", took, ttl)
			}
			f.Set(func() { f.Stalled = false })
		})
	}
}

func TestLockIsLostWhenItsSessionOrKeyGoes(t *testing.T) {
	for name, lose := range map[string]func(*fakeagent.Agent){
		"session ends": func(f *fakeagent.Agent) {
			for id := range f.Sessions {
				f.EndSession(id)
			}
		},
		"key deleted": func(f *fakeagent.Agent) { delete(f.Pairs, "l"); f.Bump() },
	} {
		t.Run(name, func(t *testing.T) {
			client, f := newClient(t)
			lock := client.Lock("l", nil)
			lost, _ := lockIt(t, lock)
			if isClosed(lost) {
				t.Fatal("lost at once")
			}
			f.Set(func() { lose(f) })
			select {
			case <-lost:
			case <-time.After(5 * time.Second):
				t.Fatal("not noticed")
			}
			// The same Lock can be taken again.
			if lost, _ := lockIt(t, lock); isClosed(lost) {
				t.Fatal("lost at once")
			}
			if err := lock.Unlock(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestLockHasOneHolderAndGrowingTokens(t *testing.T) {
	client, _ := newClient(t)
	const rounds, workers = 5, 4
	var mu sync.Mutex
	holders, last := 0, uint64(0)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			lock := client.Lock("l", &api.LockOptions{LockDelay: api.NoLockDelay})
			for range rounds {
				_, fencing, err := lock.Lock(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if holders++; holders > 1 {
					t.Error("two holders")
				}
				if fencing <= last {
					t.Errorf("fencing token %d after %d", fencing, last)
				}
				last = fencing
				holders--
				mu.Unlock()
				if err := lock.Unlock(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestSemaphoreNeverHasMoreHoldersThanItsLimit(t *testing.T) {
	client, _ := newClient(t)
	const limit = 2
	var mu sync.Mutex
	holders, most := 0, 0
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			s := client.Semaphore("s", limit, nil)
			for range 4 {
				if _, _, err := s.Lock(t.Context()); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				holders++
				most = max(most, holders)
				mu.Unlock()
				mu.Lock()
				holders--
				mu.Unlock()
				if err := s.Unlock(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if most > limit {
		t.Errorf("%d holders at a time, limit %d", most, limit)
	}
	_, _, err := client.Semaphore("s", limit+1, nil).TryLock(t.Context())
	if !errors.Is(err, api.ErrConflict) {
		t.Errorf("another limit: %v", err)
	}
}

func TestLockWaitEndsWithItsContext(t *testing.T) {
	client, _ := newClient(t)
	lockIt(t, client.Lock("l", nil))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, _, err := client.Lock("l", nil).Lock(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
}

func TestLockRefusesAKeyThatHoldsSomethingElse(t *testing.T) {
	client, _ := newClient(t)
	if _, err := client.KV().Put(t.Context(), &api.KVPair{Key: "l", Value: []byte("data")}, nil); err != nil {
		t.Fatal(err)
	}
	_, _, err := client.Lock("l", nil).TryLock(t.Context())
	if !errors.Is(err, api.ErrConflict) || errors.Is(err, api.ErrLockTaken) {
		t.Fatalf("got %v", err)
	}
}

func TestRenewPeriodicGivesUpWhenTheTTLHasPassed(t *testing.T) {
	client, f := newClient(t)
	id, _, err := client.Session().Create(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.Set(func() { f.Stalled = true })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := client.Session().RenewPeriodic(ctx, id, 200*time.Millisecond, nil); !errors.Is(err, api.ErrNotFound) {
		t.Fatalf("got %v", err)
	}
}
