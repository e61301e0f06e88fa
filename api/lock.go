package api

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// LockFlag marks a key that is used as a lock; it is Consul's, so its clients and ours respect each
// other's locks.
const LockFlag = 0x2ddccbc058a50c18

// Defaults of LockOptions.
const (
	DefaultLockTTL  = 15 * time.Second
	DefaultLockName = "debros api lock"
)

// ErrLockTaken is what TryLock returns when someone else holds the lock.
var ErrLockTaken = &Error{Kind: KindConflict, Message: "the lock is taken"}

// LockOptions refine a lock. nil means every default.
type LockOptions struct {
	// Session to hold the lock with; it is renewed while the lock is held and never destroyed. ""
	// makes one for each acquisition.
	Session string
	// SessionName is the name of a session made here. Default DefaultLockName.
	SessionName string
	// TTL of a session made here, and how long after the last successful renewal the lock counts as
	// lost. Servers refuse less than 10 s. Default DefaultLockTTL. With a Session of the caller's, its
	// own TTL counts.
	TTL time.Duration
	// LockDelay of a session made here; 0 = the server's 15 s, NoLockDelay = none.
	LockDelay time.Duration
	// Value is stored under the key.
	Value     []byte
	Namespace string // instead of the client's
}

// Lock is a lock on a key. It is held by at most one Lock in the cluster as long as its holder stops
// in time when it is lost; what cannot rely on that remembers the highest fencing token it has seen.
// A Lock serves one holder: Lock, Unlock, Lock again.
type Lock struct {
	c    *Client
	key  string
	opts LockOptions
	held *holding // nil when not held
}

// Lock makes a lock on a key; it takes nothing yet. The key must not be used for other data.
func (c *Client) Lock(key string, o *LockOptions) *Lock {
	l := &Lock{c: c, key: key}
	if o != nil {
		l.opts = *o
	}
	if l.opts.SessionName == "" {
		l.opts.SessionName = DefaultLockName
	}
	if l.opts.TTL == 0 {
		l.opts.TTL = DefaultLockTTL
	}
	return l
}

// Lock waits until the lock is taken or ctx ends.
//
// lost is closed when the lock is no longer held for certain: its key or session was seen to be
// gone, the session's TTL has passed since the last renewal that succeeded began (by the client's
// own clock, however the network behaves), or Unlock was called. fencing is larger than that of
// every earlier holder. The lock is kept after ctx ends.
func (l *Lock) Lock(ctx context.Context) (lost <-chan struct{}, fencing uint64, err error) {
	return l.acquire(ctx, true)
}

// TryLock takes the lock if it is free and returns ErrLockTaken if it is not.
func (l *Lock) TryLock(ctx context.Context) (lost <-chan struct{}, fencing uint64, err error) {
	return l.acquire(ctx, false)
}

func (l *Lock) acquire(ctx context.Context, wait bool) (<-chan struct{}, uint64, error) {
	if l.held != nil {
		if l.held.ctx.Err() == nil {
			return nil, 0, errorf(KindInvalid, "lock %q: it is held already", l.key)
		}
		if err := l.Unlock(ctx); err != nil { // lost meanwhile: clean up first
			return nil, 0, fmt.Errorf("lock %q: give up the lost one: %w", l.key, err)
		}
	}
	h, err := l.c.hold(ctx, &l.opts)
	if err != nil {
		return nil, 0, fmt.Errorf("lock %q: %w", l.key, err)
	}
	fencing, index, err := l.take(ctx, h, wait)
	if err != nil {
		h.end(l.c)
		if errors.Is(err, ErrLockTaken) {
			return nil, 0, err
		}
		return nil, 0, fmt.Errorf("lock %q: %w", l.key, err)
	}
	l.held = h
	h.wg.Go(func() { l.monitor(h, index) })
	return h.ctx.Done(), fencing, nil
}

// take tries to lock the key with h's session until it has it. It returns the fencing token and the
// index at which it was seen to be held.
func (l *Lock) take(ctx context.Context, h *holding, wait bool) (fencing, index uint64, err error) {
	// What ends the session ends the waiting too.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(h.ctx, func() { cancel(errors.New("the session ended")) })()
	w := &WriteOptions{Namespace: l.opts.Namespace}
	q := &QueryOptions{Namespace: l.opts.Namespace}
	for {
		pair, m, err := l.c.KV().Get(ctx, l.key, q)
		if err != nil {
			return 0, 0, err
		}
		if pair != nil && pair.Flags != LockFlag {
			return 0, 0, errorf(KindConflict, "the key holds something else than a lock (flags %#x)", pair.Flags)
		}
		if pair != nil && pair.Session == h.session {
			fencing = pair.FencingToken
			if fencing == 0 { // an agent that knows no tokens; the index grows as well
				fencing = pair.ModifyIndex
			}
			return fencing, m.Index, nil
		}
		taken := pair != nil && pair.Session != ""
		if !taken {
			ok, _, err := l.c.KV().Acquire(ctx, &KVPair{Key: l.key, Flags: LockFlag, Value: l.opts.Value, Session: h.session}, w)
			if err != nil && !errors.Is(err, ErrUnknownResult) {
				return 0, 0, err
			}
			q.Index = 0 // read at once: the pair has the fencing token, and shows who was first
			if ok || err != nil || !wait {
				if !ok && err == nil {
					return 0, 0, ErrLockTaken
				}
				continue
			}
			// Free and yet refused: a lock-delay is running, whose end changes nothing to wait for.
			if err := sleep(ctx, l.c.retry.WaitMin+l.opts.TTL/30); err != nil {
				return 0, 0, context.Cause(ctx)
			}
			continue
		}
		if !wait {
			return 0, 0, ErrLockTaken
		}
		q.Index = nextIndex(q.Index, m.Index)
	}
}

// monitor ends h when the key is no longer locked by its session.
func (l *Lock) monitor(h *holding, index uint64) {
	q := &QueryOptions{Namespace: l.opts.Namespace, Index: index}
	for failures := 0; h.ctx.Err() == nil; {
		pair, m, err := l.c.KV().Get(h.ctx, l.key, q)
		if err != nil { // says nothing about the lock: the lease decides
			if sleep(h.ctx, l.c.retry.pause(failures)) != nil {
				return
			}
			failures++
			continue
		}
		failures = 0
		if pair == nil || pair.Session != h.session {
			h.cancel()
			return
		}
		q.Index = nextIndex(q.Index, m.Index)
	}
}

// Unlock gives the lock up and closes its lost channel. Without a lock it does nothing. When it
// fails, the session's TTL frees the lock later.
func (l *Lock) Unlock(ctx context.Context) error {
	h := l.held
	if h == nil {
		return nil
	}
	l.held = nil
	h.stop()
	_, _, err := l.c.KV().Release(ctx, &KVPair{Key: l.key, Flags: LockFlag, Value: l.opts.Value, Session: h.session}, &WriteOptions{Namespace: l.opts.Namespace})
	h.end(l.c)
	if err != nil {
		return fmt.Errorf("unlock %q: %w", l.key, err)
	}
	return nil
}

// Destroy deletes the lock's key if nobody holds it.
func (l *Lock) Destroy(ctx context.Context) error {
	pair, _, err := l.c.KV().Get(ctx, l.key, &QueryOptions{Namespace: l.opts.Namespace})
	if err != nil || pair == nil {
		return err
	}
	if pair.Flags != LockFlag {
		return errorf(KindConflict, "destroy lock %q: the key holds something else than a lock", l.key)
	}
	if pair.Session != "" {
		return ErrLockTaken
	}
	ok, _, err := l.c.KV().DeleteCAS(ctx, pair, &WriteOptions{Namespace: l.opts.Namespace})
	if err == nil && !ok {
		return ErrLockTaken
	}
	return err
}
