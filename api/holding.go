package api

import (
	"context"
	"sync"
	"time"
)

// holding is a session that is kept alive for a lock or a semaphore.
type holding struct {
	session string
	own     bool               // made here, so destroyed here
	ctx     context.Context    // ends when the lock is lost or given up
	cancel  context.CancelFunc // ends ctx
	wg      sync.WaitGroup     // the goroutines below
	ns      string
}

// hold makes a session, or takes the caller's, and keeps it alive until stop. The two goroutines
// are apart because a renewal may hang for as long as it likes: the clock must not wait for it.
func (c *Client) hold(ctx context.Context, o *LockOptions) (*holding, error) {
	h := &holding{session: o.Session, ns: o.Namespace}
	ttl := o.TTL
	began := now()
	if h.session == "" {
		id, _, err := c.Session().Create(ctx, &SessionEntry{
			Name: o.SessionName, TTL: o.TTL.String(), LockDelay: o.LockDelay, Behavior: SessionRelease,
		}, &WriteOptions{Namespace: o.Namespace})
		if err != nil {
			return nil, err
		}
		h.session, h.own = id, true
	} else {
		e, _, err := c.Session().Renew(ctx, h.session, &WriteOptions{Namespace: o.Namespace})
		if err != nil {
			return nil, err
		}
		if e == nil {
			return nil, errorf(KindNotFound, "session %q does not exist", h.session)
		}
		if ttl, err = time.ParseDuration(e.TTL); err != nil {
			ttl = 0 // lives as long as its node: nothing to renew, no clock
		}
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	if ttl > 0 {
		l := newLease(ttl)
		l.renewed(began)
		h.wg.Go(func() { h.renew(c, l) })
		h.wg.Go(func() { h.watchClock(l) })
	}
	return h, nil
}

// renew renews at a third of the TTL, each attempt at most for what is left of the lease.
func (h *holding) renew(c *Client, l *lease) {
	pause := l.ttl / 3
	for sleep(h.ctx, pause) == nil {
		began := now()
		attempt, cancel := context.WithTimeout(h.ctx, max(l.ttl/3, time.Millisecond))
		e, _, err := c.Session().Renew(attempt, h.session, &WriteOptions{Namespace: h.ns})
		cancel()
		switch {
		case err == nil && e == nil:
			h.cancel() // the session is gone, and the lock with it
			return
		case err == nil:
			l.renewed(began)
			pause = l.ttl / 3
		default:
			pause = min(l.ttl/10, time.Second)
		}
	}
}

// watchClock ends the holding when the lease has run out.
func (h *holding) watchClock(l *lease) {
	for {
		left := l.left()
		if left <= 0 {
			h.cancel()
			return
		}
		// Not all at once: a timer stands still while the machine sleeps, the wall clock does not.
		if sleep(h.ctx, min(left, max(l.ttl/10, time.Millisecond))) != nil {
			return
		}
	}
}

// stop ends the holding and waits for its goroutines.
func (h *holding) stop() {
	h.cancel()
	h.wg.Wait()
}

// endTimeout bounds the farewell of a session; its TTL does the same later.
const endTimeout = 2 * time.Second

// end stops, and destroys a session made here; whatever it still holds is let go with it.
func (h *holding) end(c *Client) {
	h.stop()
	if !h.own {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	_, _ = c.Session().Destroy(ctx, h.session, &WriteOptions{Namespace: h.ns}) // the TTL ends it otherwise
}
