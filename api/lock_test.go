package api_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
)

// locker is a Lock or a Semaphore.
type locker interface {
	Lock(context.Context) (<-chan struct{}, uint64, error)
	TryLock(context.Context) (<-chan struct{}, uint64, error)
}

func lockIt(t *testing.T, l locker) (<-chan struct{}, uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), agenttest.Patience)
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
// the lock is lost no later than a TTL after its last successful renewal, and not before; and until
// then nobody else has it.
func TestLockIsLostByItsOwnClockWhenTheNetworkHangs(t *testing.T) {
	const ttl = 10 * time.Second // servers refuse less
	for name, locked := range map[string]func(*api.Client) locker{
		"lock": func(c *api.Client) locker { return c.Lock("l", &api.LockOptions{TTL: ttl, LockDelay: api.NoLockDelay}) },
		"semaphore": func(c *api.Client) locker {
			return c.Semaphore("l", 1, &api.LockOptions{TTL: ttl, LockDelay: api.NoLockDelay})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, f := newFrontedClient(t)
			lost, _ := lockIt(t, locked(client))
			// Held for longer than a TTL while the agent answers: it is renewed.
			select {
			case <-lost:
				t.Fatal("lost while the agent answered")
			case <-time.After(ttl + ttl/10):
			}
			f.Stall()
			stalled := time.Now()
			select {
			case <-lost:
			case <-time.After(ttl + agenttest.Patience):
				t.Fatal("still believed to be held long after its TTL")
			}
			if took := time.Since(stalled); took > ttl+ttl/2 {
				t.Errorf("noticed after %s, more than a TTL of %s", took, ttl)
			}
			other := namespaced(t, shared.Node().API.Address(), f.namespace)
			if _, _, err := locked(other).TryLock(t.Context()); !errors.Is(err, api.ErrLockTaken) {
				t.Errorf("another holder as soon as it was lost: %v", err)
			}
		})
	}
}

func TestLockIsLostWhenItsSessionOrKeyGoes(t *testing.T) {
	for name, lose := range map[string]func(*api.Client) error{
		"session ends": func(c *api.Client) error {
			p, _, err := c.KV().Get(t.Context(), "l", nil)
			if err != nil {
				return err
			}
			_, err = c.Session().Destroy(t.Context(), p.Session, nil)
			return err
		},
		"key deleted": func(c *api.Client) error { _, err := c.KV().Delete(t.Context(), "l", nil); return err },
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t)
			lock := client.Lock("l", &api.LockOptions{TTL: time.Hour, LockDelay: api.NoLockDelay})
			lost, _ := lockIt(t, lock)
			if isClosed(lost) {
				t.Fatal("lost at once")
			}
			if err := lose(client); err != nil {
				t.Fatal(err)
			}
			select {
			case <-lost:
			case <-time.After(agenttest.Patience): // by itself it would take the TTL
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
	client := newClient(t)
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
	client := newClient(t)
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
	client := newClient(t)
	lockIt(t, client.Lock("l", nil))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, _, err := client.Lock("l", nil).Lock(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
}

func TestLockRefusesAKeyThatHoldsSomethingElse(t *testing.T) {
	client := newClient(t)
	if _, err := client.KV().Put(t.Context(), &api.KVPair{Key: "l", Value: []byte("data")}, nil); err != nil {
		t.Fatal(err)
	}
	_, _, err := client.Lock("l", nil).TryLock(t.Context())
	if !errors.Is(err, api.ErrConflict) || errors.Is(err, api.ErrLockTaken) {
		t.Fatalf("got %v", err)
	}
}

func TestRenewPeriodicGivesUpWhenTheTTLHasPassed(t *testing.T) {
	client, f := newFrontedClient(t)
	id, _, err := client.Session().Create(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.Stall()
	ctx, cancel := context.WithTimeout(t.Context(), agenttest.Patience)
	defer cancel()
	if err := client.Session().RenewPeriodic(ctx, id, 200*time.Millisecond, nil); !errors.Is(err, api.ErrNotFound) {
		t.Fatalf("got %v", err)
	}
}
