package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
)

// SemaphoreFlag marks the keys of a semaphore; it is Consul's.
const SemaphoreFlag = 0xe0f69a2baa414de0

// semaphoreKey is the key below the prefix that names the holders; each contender has a key beside
// it, named by its session and locked by it. The layout is Consul's.
const semaphoreKey = ".lock"

// Semaphore lets at most so many holders in at a time. It serves one holder, as Lock does.
type Semaphore struct {
	c      *Client
	prefix string
	limit  int
	opts   LockOptions
	held   *holding
}

// semaphoreState is the value of the key.
type semaphoreState struct {
	Limit   int
	Holders map[string]bool // by session
}

// Semaphore makes a semaphore on a prefix; it takes nothing yet. All must name the same limit.
func (c *Client) Semaphore(prefix string, limit int, o *LockOptions) *Semaphore {
	l := c.Lock(prefix, o) // for the defaults
	return &Semaphore{c: c, prefix: prefix, limit: limit, opts: l.opts}
}

// Lock waits for a place or until ctx ends. The results are those of Lock.Lock; fencing grows with
// every change of the holders.
func (s *Semaphore) Lock(ctx context.Context) (lost <-chan struct{}, fencing uint64, err error) {
	return s.acquire(ctx, true)
}

// TryLock takes a place if there is one and returns ErrLockTaken if there is none.
func (s *Semaphore) TryLock(ctx context.Context) (lost <-chan struct{}, fencing uint64, err error) {
	return s.acquire(ctx, false)
}

func (s *Semaphore) key() string { return path.Join(s.prefix, semaphoreKey) }

func (s *Semaphore) acquire(ctx context.Context, wait bool) (<-chan struct{}, uint64, error) {
	if s.limit < 1 {
		return nil, 0, errorf(KindInvalid, "semaphore %q: the limit is %d", s.prefix, s.limit)
	}
	if s.held != nil {
		if s.held.ctx.Err() == nil {
			return nil, 0, errorf(KindInvalid, "semaphore %q: a place is held already", s.prefix)
		}
		if err := s.Unlock(ctx); err != nil {
			return nil, 0, fmt.Errorf("semaphore %q: give up the lost place: %w", s.prefix, err)
		}
	}
	h, err := s.c.hold(ctx, &s.opts)
	if err != nil {
		return nil, 0, fmt.Errorf("semaphore %q: %w", s.prefix, err)
	}
	fencing, index, err := s.take(ctx, h, wait)
	if err != nil {
		h.end(s.c)
		if errors.Is(err, ErrLockTaken) {
			return nil, 0, err
		}
		return nil, 0, fmt.Errorf("semaphore %q: %w", s.prefix, err)
	}
	s.held = h
	h.wg.Go(func() { s.monitor(h, index) })
	return h.ctx.Done(), fencing, nil
}

// take enters as a contender and then writes itself among the holders by compare-and-set.
func (s *Semaphore) take(ctx context.Context, h *holding, wait bool) (fencing, index uint64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(h.ctx, func() { cancel(errors.New("the session ended")) })()
	w := &WriteOptions{Namespace: s.opts.Namespace}
	contender := &KVPair{Key: path.Join(s.prefix, h.session), Flags: SemaphoreFlag, Value: s.opts.Value, Session: h.session}
	if ok, _, err := s.c.KV().Acquire(ctx, contender, w); err != nil || !ok {
		return 0, 0, errors.Join(err, refusedContender(ok))
	}
	q := &QueryOptions{Namespace: s.opts.Namespace}
	for {
		pair, state, m, err := s.read(ctx, q)
		if err != nil {
			return 0, 0, err
		}
		if state.Holders[h.session] {
			return pair.ModifyIndex, m.Index, nil
		}
		if len(state.Holders) < s.limit {
			state.Holders[h.session] = true
			if err := s.store(ctx, pair, state); err != nil && !errors.Is(err, ErrUnknownResult) {
				return 0, 0, err
			}
			q.Index = 0 // see who was first
			continue
		}
		if !wait {
			return 0, 0, ErrLockTaken
		}
		q.Index = nextIndex(q.Index, m.Index)
	}
}

func refusedContender(ok bool) error {
	if ok {
		return nil
	}
	return errorf(KindConflict, "the contender's key is locked by another session")
}

// read reads the holders that are still there: a session that ended left its key unlocked.
func (s *Semaphore) read(ctx context.Context, q *QueryOptions) (*KVPair, *semaphoreState, *QueryMeta, error) {
	pairs, m, err := s.c.KV().List(ctx, s.prefix+"/", q)
	if err != nil {
		return nil, nil, nil, err
	}
	state := &semaphoreState{Limit: s.limit, Holders: map[string]bool{}}
	own := &KVPair{Key: s.key()}
	alive := map[string]bool{}
	for _, p := range pairs {
		if p.Key == own.Key {
			own = p
		} else if p.Session != "" {
			alive[p.Session] = true
		}
	}
	if own.ModifyIndex == 0 {
		return own, state, m, nil
	}
	stored := semaphoreState{}
	if own.Flags != SemaphoreFlag || json.Unmarshal(own.Value, &stored) != nil {
		return nil, nil, nil, errorf(KindConflict, "the key %s holds something else than a semaphore", own.Key)
	}
	if stored.Limit != s.limit {
		return nil, nil, nil, errorf(KindConflict, "the semaphore was made for %d holders, not %d", stored.Limit, s.limit)
	}
	for id := range stored.Holders {
		if alive[id] {
			state.Holders[id] = true
		}
	}
	return own, state, m, nil
}

// store writes the holders if nobody else has meanwhile; whether it did is for the next read to say.
func (s *Semaphore) store(ctx context.Context, old *KVPair, state *semaphoreState) error {
	value, err := json.Marshal(state)
	if err != nil {
		return err
	}
	_, _, err = s.c.KV().CAS(ctx, &KVPair{Key: s.key(), Flags: SemaphoreFlag, Value: value, ModifyIndex: old.ModifyIndex},
		&WriteOptions{Namespace: s.opts.Namespace})
	return err
}

// monitor ends h when its session is no longer among the holders.
func (s *Semaphore) monitor(h *holding, index uint64) {
	q := &QueryOptions{Namespace: s.opts.Namespace, Index: index}
	for failures := 0; h.ctx.Err() == nil; {
		_, state, m, err := s.read(h.ctx, q)
		if err != nil && temporary(err) { // says nothing about the place: the lease decides
			if sleep(h.ctx, s.c.retry.pause(failures)) != nil {
				return
			}
			failures++
			continue
		}
		if err != nil || !state.Holders[h.session] {
			h.cancel()
			return
		}
		failures = 0
		q.Index = nextIndex(q.Index, m.Index)
	}
}

// Unlock gives the place up and closes its lost channel. Without one it does nothing. When it fails,
// the session's TTL frees the place later.
func (s *Semaphore) Unlock(ctx context.Context) error {
	h := s.held
	if h == nil {
		return nil
	}
	s.held = nil
	h.stop()
	defer h.end(s.c)
	for {
		pair, state, _, err := s.read(ctx, &QueryOptions{Namespace: s.opts.Namespace})
		if err != nil {
			return fmt.Errorf("unlock semaphore %q: %w", s.prefix, err)
		}
		if !state.Holders[h.session] {
			break
		}
		delete(state.Holders, h.session)
		if err := s.store(ctx, pair, state); err != nil && !errors.Is(err, ErrUnknownResult) {
			return fmt.Errorf("unlock semaphore %q: %w", s.prefix, err)
		}
	}
	_, err := s.c.KV().Delete(ctx, path.Join(s.prefix, h.session), &WriteOptions{Namespace: s.opts.Namespace})
	if err != nil {
		return fmt.Errorf("unlock semaphore %q: %w", s.prefix, err)
	}
	return nil
}
