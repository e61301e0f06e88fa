package server

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/debros/debros/internal/acl"
	"github.com/debros/debros/rpc"
	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

var _ rpc.Backend = (*Server)(nil)

const (
	// retryPauseMin and retryPauseMax bound the jittered pause between two looks for a leader.
	retryPauseMin = 20 * time.Millisecond
	retryPauseMax = 80 * time.Millisecond
	// minIndexWaitDefault is how long a read waits for MinIndex when it does not say.
	minIndexWaitDefault = 10 * time.Second
)

// RPC answers a request of the local agent, as if it had come over the network.
func (s *Server) RPC(ctx context.Context, method string, req, reply any) error {
	m, ok := s.table[method]
	if !ok {
		return structs.Errorf(structs.KindUnsupported, "unknown method %q", method)
	}
	// Leadership may move between the look at it and the work: such an answer says that nothing was
	// done, so the request may look again.
	deadline := s.holdUntil(ctx)
	ctx = context.WithValue(ctx, holdKey{}, deadline) // all looks together wait for the hold time once
	out, err := m.Handle(ctx, req)
	for errors.Is(err, structs.ErrNoLeader) && s.pause(ctx, deadline) == nil {
		out, err = m.Handle(ctx, req)
	}
	if err != nil {
		return err
	}
	reflect.ValueOf(reply).Elem().Set(reflect.ValueOf(out).Elem())
	return nil
}

// Stream answers a streaming request of the local agent.
func (s *Server) Stream(ctx context.Context, method string, req any, in io.Reader, out io.Writer) error {
	m, ok := s.stream[method]
	if !ok {
		return structs.Errorf(structs.KindUnsupported, "unknown method %q", method)
	}
	return m.Handle(ctx, req, in, out)
}

// Apply implements rpc.Backend.
func (s *Server) Apply(ctx context.Context, t structs.CommandType, body any) (any, uint64, error) {
	if !s.IsLeader() {
		return nil, 0, errNotLeader()
	}
	if err := s.mayPropose(t, body); err != nil {
		return nil, 0, err
	}
	if err := s.mayGrow(t, body); err != nil {
		return nil, 0, err
	}
	reply, index, err := s.apply(ctx, t, body)
	if r, ok := body.(*structs.SessionRequest); ok && err == nil {
		s.noteSession(r)
	}
	return reply, index, err
}

// apply proposes a command without asking whether the leader is ready; the leader's own work uses it.
func (s *Server) apply(ctx context.Context, t structs.CommandType, body any) (any, uint64, error) {
	res, index, err := s.batch.apply(ctx, t, body)
	if err != nil {
		return nil, 0, err
	}
	if res.Err != nil {
		return nil, index, res.Err
	}
	return res.Reply, index, nil
}

// Forward implements rpc.Backend.
func (s *Server) Forward(ctx context.Context, method string, to rpc.ForwardTo, req, reply any) (bool, error) {
	_, isRead := req.(interface{ Query() *structs.QueryOptions })
	return s.forward(ctx, to, req, func(ctx context.Context, addr string) error {
		err := s.pool.Call(ctx, addr, method, req, reply)
		if isRead {
			err = readLost(err)
		}
		return err
	})
}

// ForwardStream implements rpc.Backend.
func (s *Server) ForwardStream(ctx context.Context, method string, to rpc.ForwardTo, req any, in io.Reader, out io.Writer) (bool, error) {
	touched := &touch{in: in, out: out}
	return s.forward(ctx, to, req, func(ctx context.Context, addr string) error {
		err := s.pool.Stream(ctx, addr, method, req, touched.reader(), touched.writer())
		if in == nil { // a stream that takes nothing changes nothing
			err = readLost(err)
		}
		if err != nil && touched.yes.Load() {
			return &usedStream{err}
		}
		return err
	})
}

// forward finds the leader and calls it, within the hold time. Only answers that say "nothing was
// written" are tried again.
func (s *Server) forward(ctx context.Context, to rpc.ForwardTo, req any, call func(context.Context, string) error) (bool, error) {
	if to.Datacenter != "" && to.Datacenter != s.cfg.Datacenter {
		return true, s.forwardAbroad(ctx, to, req, call)
	}
	if !to.Leader || s.IsLeader() {
		return false, nil
	}
	if to.Forwarded {
		return true, errNotLeader()
	}
	deadline := s.holdUntil(ctx)
	for {
		if id, addr := s.leader(); id != "" && id != s.cfg.NodeID {
			err := call(ctx, addr)
			var used *usedStream
			if errors.As(err, &used) {
				return true, used.error
			}
			if !errors.Is(err, structs.ErrNoLeader) && !errors.Is(err, structs.ErrUnavailable) {
				return true, err
			}
		}
		if err := s.pause(ctx, deadline); err != nil {
			return true, err
		}
		if s.IsLeader() {
			return false, nil
		}
	}
}

// holdKey is the context's key for when a request stops waiting for a leader.
type holdKey struct{}

// holdUntil is when a request stops waiting for a leader: what RPC noted when it began, or the hold time
// from now for one that came over the network.
func (s *Server) holdUntil(ctx context.Context) time.Time {
	if deadline, ok := ctx.Value(holdKey{}).(time.Time); ok {
		return deadline
	}
	return time.Now().Add(s.cfg.HoldTimeout)
}

// pause waits a little before the next look for a leader.
func (s *Server) pause(ctx context.Context, deadline time.Time) error {
	d := retryPauseMin + rand.N(retryPauseMax-retryPauseMin)
	if time.Now().Add(d).After(deadline) {
		return structs.Errorf(structs.KindNoLeader, "no cluster leader").
			WithHint("a majority of the servers must be running and reach each other: see `debros operator raft list-peers -stale`")
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ctx.Done():
		return errStopping()
	}
}

// State implements rpc.Backend; it is also how tests look at one server's own state.
func (s *Server) State() *state.Store { return s.store }

// LeaderInfo implements rpc.Backend.
func (s *Server) LeaderInfo() (bool, time.Duration) {
	if s.IsLeader() {
		return true, 0
	}
	last := s.raft.LastContact()
	if last.IsZero() {
		return s.LeaderKnown(), 0
	}
	return s.LeaderKnown(), time.Since(last)
}

// CaughtUp implements rpc.Backend. Entries that no FSM sees count as missing until a command follows, which each leader
// proposes when it begins.
func (s *Server) CaughtUp() bool { return s.fsm.AppliedIndex() >= s.raft.CommitIndex() }

// Authorize implements rpc.Backend. Every token may do everything until access control lands.
func (s *Server) Authorize(string) (acl.Authorizer, error) { return acl.AllowAll(), nil }

// Limits implements rpc.Backend.
func (s *Server) Limits() rpc.Limits { return *s.limits.Load() }

// SetLimits changes the limits in force.
func (s *Server) SetLimits(l rpc.Limits) { s.limits.Store(&l) }

// Datacenter implements rpc.Backend.
func (s *Server) Datacenter() string { return s.cfg.Datacenter }

// ShutdownCh implements rpc.Backend.
func (s *Server) ShutdownCh() <-chan struct{} { return s.ctx.Done() }

func errNotLeader() error { return structs.Errorf(structs.KindNoLeader, "no cluster leader") }
