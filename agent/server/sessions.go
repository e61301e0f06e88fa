package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/go-metrics"

	"github.com/debros/debros/structs"
)

// sessionTTLFactor: a session ends at this many times its TTL without renewal. The holder counts
// its own lease from the last renewal it knows of; the margin covers clocks, scheduling and a
// change of leader, so a holder always gives up before the cluster gives its locks away.
const sessionTTLFactor = 2

// sessionKey names a session across namespaces.
type sessionKey struct {
	ns structs.Namespace
	id string
}

// sessionTimers are the leader's clocks for sessions with a TTL. A new leader starts them all
// anew, so a session may live longer than its TTL, never shorter.
type sessionTimers struct {
	expire func(sessionKey)

	// mu protects the following.
	mu      sync.Mutex
	timers  map[sessionKey]*sessionClock
	ending  map[sessionKey]bool // their clock rang; the command that ends them is on its way
	stopped bool
	wg      sync.WaitGroup
}

// sessionClock is one run of a session's clock: a ring of an earlier run is no ring of this one.
type sessionClock struct{ timer *time.Timer }

func newSessionTimers(expire func(sessionKey)) *sessionTimers {
	return &sessionTimers{expire: expire, timers: make(map[sessionKey]*sessionClock), ending: make(map[sessionKey]bool)}
}

// reset starts a session's clock again; ttl 0 stops it.
func (t *sessionTimers) reset(k sessionKey, ttl time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.resetLocked(k, ttl)
}

func (t *sessionTimers) resetLocked(k sessionKey, ttl time.Duration) {
	if old, ok := t.timers[k]; ok {
		old.timer.Stop()
		delete(t.timers, k)
	}
	if ttl <= 0 || t.stopped {
		return
	}
	clock := &sessionClock{}
	clock.timer = time.AfterFunc(ttl*sessionTTLFactor, func() { t.fire(k, clock) })
	t.timers[k] = clock
}

// ensure starts a session's clock unless it runs or has rung.
func (t *sessionTimers) ensure(k sessionKey, ttl time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, runs := t.timers[k]; !runs && !t.ending[k] {
		t.resetLocked(k, ttl)
	}
}

// renew starts a session's clock again; false when it rang already, so that the session is as good as gone.
func (t *sessionTimers) renew(k sessionKey, ttl time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ending[k] {
		return false
	}
	t.resetLocked(k, ttl)
	return true
}

func (t *sessionTimers) fire(k sessionKey, clock *sessionClock) {
	t.mu.Lock()
	if t.timers[k] != clock || t.stopped {
		t.mu.Unlock()
		return // stopped, or started anew while it rang
	}
	delete(t.timers, k)
	t.ending[k] = true
	t.wg.Add(1)
	t.mu.Unlock()
	defer t.wg.Done()
	t.expire(k)
	t.mu.Lock()
	delete(t.ending, k)
	t.mu.Unlock()
}

// clear stops every clock: this server no longer leads.
func (t *sessionTimers) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, clock := range t.timers {
		clock.timer.Stop()
		delete(t.timers, k)
	}
}

// stop stops every clock for good and waits for those that have just rung.
func (t *sessionTimers) stop() {
	t.clear()
	t.mu.Lock()
	t.stopped = true
	t.mu.Unlock()
	t.wg.Wait()
}

// armSessions starts the clocks of the sessions that have none: all of them when this server begins
// to lead, later those whose creator hung up before it heard that its session exists.
func (s *Server) armSessions() {
	for _, sess := range s.store.SessionsAll() {
		s.ttl.ensure(sessionKey{sess.Namespace, sess.ID}, sess.TTLDuration())
	}
}

// noteSession keeps the clocks true to a session request that was just applied.
func (s *Server) noteSession(r *structs.SessionRequest) {
	k := sessionKey{r.Namespace, r.Session.ID}
	if r.Op == structs.SessionCreate {
		s.ttl.reset(k, r.Session.TTLDuration())
		return
	}
	s.ttl.reset(k, 0)
}

// RenewSession implements rpc.Backend.
func (s *Server) RenewSession(_ context.Context, sess *structs.Session) error {
	if !s.IsLeader() {
		return errNotLeader()
	}
	if !s.ttl.renew(sessionKey{sess.Namespace, sess.ID}, sess.TTLDuration()) {
		return structs.Errorf(structs.KindNotFound, "session %q is ending: its TTL ran out", sess.ID)
	}
	return nil
}

// expireSession ends a session whose clock ran out. If the command cannot be applied, the clock is
// started again, or the session would live for ever under this leader.
func (s *Server) expireSession(k sessionKey) {
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.HoldTimeout)
	defer cancel()
	req := &structs.SessionRequest{
		WriteOptions: structs.WriteOptions{Namespace: k.ns},
		Op:           structs.SessionDestroy, Session: structs.Session{ID: k.id, Namespace: k.ns}, Why: "ttl",
	}
	if _, _, err := s.Apply(ctx, structs.CommandSession, req); err != nil && !errors.Is(err, structs.ErrNotFound) { // gone with its namespace
		s.log.Warn("a session past its TTL was not ended yet", "session", k.id, "namespace", k.ns, "error", err)
		if s.IsLeader() {
			s.ttl.reset(k, structs.SessionTTLMin)
		}
		return
	}
	s.log.Info("session ended: its TTL ran out", "session", k.id, "namespace", k.ns)
	metrics.IncrCounter([]string{"server", "session", "expired"}, 1)
}
