package server

import (
	"context"
	"errors"
	"time"

	"github.com/debros/debros/structs"
)

// leaveWait is how long a leaving server waits to see itself out of the configuration.
const leaveWait = 5 * time.Second

// MayLeave refuses, with the reason, when the cluster could not go on without this server.
func (s *Server) MayLeave() error {
	conf, err := s.configuration()
	if err != nil {
		return err
	}
	voters, alive := 0, 0
	for _, srv := range conf.Servers {
		id := structs.NodeID(srv.ID)
		if srv.Suffrage != 0 || id == s.cfg.NodeID {
			continue
		}
		voters++
		if m, ok := s.member(id); ok && m.Status == structs.MemberAlive {
			alive++
		}
	}
	switch {
	case voters == 0:
		return structs.Errorf(structs.KindConflict, "this is the last server: if it leaves, the cluster and its state are gone").
			WithHint("stop it instead, or use -force")
	case alive < voters/2+1:
		return structs.Errorf(structs.KindConflict, "only %d of the other %d servers are alive: if this one leaves, the cluster has no quorum", alive, voters).
			WithHint("bring the others back first, or use -force")
	}
	return nil
}

// Leave takes this server out of the Raft configuration: leadership is handed over first, then the
// new leader removes it, and it waits until it sees that. With force, failures do not stop it.
func (s *Server) Leave(ctx context.Context, force bool) error {
	if s.removed() {
		return nil // an earlier attempt got this far
	}
	if err := s.MayLeave(); err != nil && !force {
		return err
	}
	if s.voters() <= 1 {
		return nil
	}
	if err := s.handOver(ctx); err != nil && !force {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.HoldTimeout)
	defer cancel()
	req := &structs.RaftPeerRequest{ID: s.cfg.NodeID}
	var reply structs.WriteReply
	if err := s.RPC(ctx, "Operator.RaftRemovePeer", req, &reply); err != nil && !errors.Is(err, structs.ErrNotFound) && !force {
		return err
	}
	s.waitRemoved()
	return nil
}

// handOver gives leadership to another server. One attempt fails easily: raft gives the chosen server
// one election timeout, and a busy one needs longer.
func (s *Server) handOver(ctx context.Context) error {
	deadline := time.Now().Add(s.cfg.HoldTimeout)
	for s.IsLeader() {
		err := waitFuture(s.raft.LeadershipTransfer(), s.cfg.transferTimeout())
		if err == nil || !s.IsLeader() { // lost otherwise is as good
			return nil
		}
		if s.pause(ctx, deadline) != nil {
			return structs.Errorf(structs.KindUnavailable, "leadership could not be handed over: %v", err)
		}
	}
	return nil
}

// removed reports whether the configuration that this server knows is one without it.
func (s *Server) removed() bool {
	_, err := s.findServer(s.cfg.NodeID, "")
	return err != nil && s.voters() > 0
}

// waitRemoved waits a little until this server sees that it is no longer in the configuration, so
// that it goes on serving the last entries meanwhile; the leader may have cut it off before.
func (s *Server) waitRemoved() {
	deadline := time.Now().Add(leaveWait)
	for time.Now().Before(deadline) {
		if s.removed() {
			return
		}
		select {
		case <-time.After(retryPauseMax):
		case <-s.ctx.Done():
			return
		}
	}
}
