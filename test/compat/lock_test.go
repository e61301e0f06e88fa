package compat

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

func newLock(t *testing.T, client *api.Client, o *api.LockOptions) *api.Lock {
	t.Helper()
	if o.Session == "" {
		o.Session = newSession(t, client, nil)
	}
	l, err := client.LockOpts(o)
	must(t, err)
	return l
}

func lost(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func TestLock(t *testing.T) {
	client, p := sharedClient(t)
	l, err := client.LockKey(p + "a") // makes and renews its own session
	must(t, err)
	lostCh, err := l.Lock(nil)
	must(t, err)
	if lostCh == nil || lost(lostCh) {
		t.Fatal("the lock is not held")
	}
	if got := get(t, client.KV(), p+"a"); got.Session == "" || got.Flags != api.LockFlagValue {
		t.Errorf("held: %+v", got)
	}
	if err := l.Destroy(); err != api.ErrLockHeld {
		t.Errorf("destroy of a held lock: %v", err)
	}
	must(t, l.Unlock())
	must(t, l.Destroy())
	if got := get(t, client.KV(), p+"a"); got != nil {
		t.Errorf("destroyed: %+v", got)
	}
}

func TestLockIsHeldByOne(t *testing.T) {
	client, p := sharedClient(t)
	var holders, most atomic.Int32
	var wg sync.WaitGroup
	for range 5 {
		l := newLock(t, client, &api.LockOptions{Key: p + "a"})
		wg.Go(func() {
			if _, err := l.Lock(nil); err != nil {
				t.Errorf("lock: %v", err)
				return
			}
			most.Store(max(most.Load(), holders.Add(1)))
			time.Sleep(20 * time.Millisecond) // long enough for another to come in
			holders.Add(-1)
			if err := l.Unlock(); err != nil {
				t.Errorf("unlock: %v", err)
			}
		})
	}
	wg.Wait()
	if most.Load() != 1 {
		t.Errorf("%d held it at once", most.Load())
	}
}

func TestLockTryOnceGivesUp(t *testing.T) {
	client, p := sharedClient(t)
	held := newLock(t, client, &api.LockOptions{Key: p + "a"})
	_, err := held.Lock(nil)
	must(t, err)
	ch, err := newLock(t, client, &api.LockOptions{Key: p + "a", LockTryOnce: true, LockWaitTime: 200 * time.Millisecond}).Lock(nil)
	if err != nil || ch != nil {
		t.Errorf("try once: %v %v", ch, err)
	}
	must(t, held.Unlock())
}

func TestLockStopsWaitingWhenTold(t *testing.T) {
	client, p := sharedClient(t)
	held := newLock(t, client, &api.LockOptions{Key: p + "a"})
	_, err := held.Lock(nil)
	must(t, err)
	stop := make(chan struct{})
	time.AfterFunc(100*time.Millisecond, func() { close(stop) })
	ch, err := newLock(t, client, &api.LockOptions{Key: p + "a", LockWaitTime: time.Second}).Lock(stop)
	if err != nil || ch != nil {
		t.Errorf("stopped: %v %v", ch, err)
	}
}

// The holder's channel closes when its session or its key goes.
func TestLockIsLostWithItsSession(t *testing.T) {
	client, p := sharedClient(t)
	for name, end := range map[string]func(session, key string) error{
		"session destroyed": func(session, _ string) error { _, err := client.Session().Destroy(session, nil); return err },
		"key deleted":       func(_, key string) error { _, err := client.KV().Delete(key, nil); return err },
	} {
		t.Run(name, func(t *testing.T) {
			session, key := newSession(t, client, nil), p+name
			ch, err := newLock(t, client, &api.LockOptions{Key: key, Session: session, MonitorRetries: 2}).Lock(nil)
			must(t, err)
			must(t, end(session, key))
			select {
			case <-ch:
			case <-time.After(deadline):
				t.Error("the holder was not told")
			}
		})
	}
}

func TestLockRefusesOtherKeys(t *testing.T) {
	client, p := sharedClient(t)
	put(t, client.KV(), p+"a", "no lock")
	s, err := client.SemaphorePrefix(p+"s", 1)
	must(t, err)
	_, err = s.Acquire(nil)
	must(t, err)
	defer s.Release()
	if _, err := newLock(t, client, &api.LockOptions{Key: p + "s/.lock"}).Lock(nil); err != api.ErrLockConflict {
		t.Errorf("lock over a semaphore: %v", err)
	}
}

func TestSemaphore(t *testing.T) {
	client, p := sharedClient(t)
	const limit = 2
	var holders, most atomic.Int32
	var wg sync.WaitGroup
	var all []*api.Semaphore
	for range 5 {
		s, err := client.SemaphoreOpts(&api.SemaphoreOptions{Prefix: p + "s", Limit: limit, Session: newSession(t, client, nil)})
		must(t, err)
		all = append(all, s)
		wg.Go(func() {
			ch, err := s.Acquire(nil)
			if err != nil || ch == nil {
				t.Errorf("acquire: %v", err)
				return
			}
			n := holders.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			time.Sleep(20 * time.Millisecond) // long enough for one too many to come in
			holders.Add(-1)
			if err := s.Release(); err != nil {
				t.Errorf("release: %v", err)
			}
		})
	}
	wg.Wait()
	if n := most.Load(); n < 1 || n > limit {
		t.Errorf("%d held it at once, the limit is %d", n, limit)
	}
	must(t, all[0].Destroy())
	if keys, _, err := client.KV().Keys(p+"s", "", nil); err != nil || len(keys) > 0 {
		t.Errorf("destroyed, but left %v %v", keys, err)
	}
}

func TestSemaphoreSlotIsLostWithItsSession(t *testing.T) {
	client, p := sharedClient(t)
	session := newSession(t, client, nil)
	s, err := client.SemaphoreOpts(&api.SemaphoreOptions{Prefix: p + "s", Limit: 1, Session: session})
	must(t, err)
	ch, err := s.Acquire(nil)
	must(t, err)
	_, err = client.Session().Destroy(session, nil)
	must(t, err)
	select {
	case <-ch:
	case <-time.After(deadline):
		t.Fatal("the holder was not told")
	}
	next, err := client.SemaphoreOpts(&api.SemaphoreOptions{Prefix: p + "s", Limit: 1, Session: newSession(t, client, nil), SemaphoreTryOnce: true, SemaphoreWaitTime: 5 * time.Second})
	must(t, err)
	if ch, err := next.Acquire(nil); err != nil || ch == nil {
		t.Errorf("the slot is not free: %v", err)
	}
}
