package server

import (
	"context"
	"fmt"
	"time"

	"github.com/debros/debros/structs"
)

// ReadReady implements rpc.Backend.
func (s *Server) ReadReady(ctx context.Context, o *structs.QueryOptions) error {
	if err := s.Sound(); err != nil {
		return err
	}
	if o.MinIndex > 0 {
		if err := s.waitMinIndex(ctx, o); err != nil {
			return err
		}
	}
	if o.Consistency != structs.Linearizable {
		return nil
	}
	deadline := s.holdUntil(ctx)
	for {
		index, err := s.reads.get(ctx)
		if err == nil {
			return s.waitRead(ctx, index, deadline)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := s.pause(ctx, deadline); err != nil {
			return err
		}
	}
}

// waitRead waits for a read index to be applied here, at most until the deadline.
func (s *Server) waitRead(ctx context.Context, index uint64, deadline time.Time) error {
	if s.fsm.AppliedIndex() >= index { // as a rule; a context with a deadline would cost more than the read
		return s.Sound() // it may have been found wrong meanwhile
	}
	wctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	err := s.fsm.WaitApplied(wctx, index)
	if err == nil {
		return s.Sound()
	}
	if ctx.Err() == nil {
		return structs.Errorf(structs.KindUnavailable, "this server is behind: it stands at %d, the read needs %d", s.fsm.AppliedIndex(), index).
			WithHint("ask another server, or read with -stale")
	}
	return err
}

func (s *Server) waitMinIndex(ctx context.Context, o *structs.QueryOptions) error {
	wait := o.MinWait
	if wait <= 0 {
		wait = minIndexWaitDefault
	}
	wctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	err := s.fsm.WaitApplied(wctx, o.MinIndex)
	if err != nil && ctx.Err() == nil {
		return structs.Errorf(structs.KindUnavailable, "index %d is not applied here after %s; this server stands at %d", o.MinIndex, wait, s.fsm.AppliedIndex())
	}
	return err
}

// fetchReadIndex is one round of the read indexer: locally on the leader, else asked of the leader.
func (s *Server) fetchReadIndex(ctx context.Context) (uint64, error) {
	if s.IsLeader() {
		return s.verifiedCommitIndex()
	}
	id, addr := s.leader()
	if id == "" || id == s.cfg.NodeID {
		return 0, errNotLeader()
	}
	ctx, cancel := context.WithTimeout(ctx, readIndexTimeout)
	defer cancel()
	var reply structs.ReadIndexReply
	if err := s.pool.Call(ctx, addr, "Status.ReadIndex", &structs.ReadIndexRequest{}, &reply); err != nil {
		return 0, fmt.Errorf("ask %s for a read index: %w", id, err)
	}
	return reply.Index, nil
}

// readIndexTimeout bounds one round, so that a leader that hangs costs a retry and not the request.
const readIndexTimeout = 2 * time.Second

// verifiedCommitIndex reads the commit index first and then proves, with a quorum, that this server
// still led after that: everything acknowledged before is at or below the index. The term is
// compared as well: a server that lost and regained leadership in between has a commit index that
// may lag until its new term has committed something.
func (s *Server) verifiedCommitIndex() (uint64, error) {
	term := s.leadingTerm.Load()
	if term == 0 || s.raft.CurrentTerm() != term {
		return 0, errNotLeader()
	}
	if !s.pulse.steady(time.Now()) {
		return 0, errNotLeader()
	}
	index := s.raft.CommitIndex()
	if err := waitFuture(s.raft.VerifyLeader(), readIndexTimeout); err != nil {
		return 0, errNotLeader()
	}
	if s.raft.CurrentTerm() != term || !s.pulse.steady(time.Now()) {
		return 0, errNotLeader()
	}
	return index, nil
}
