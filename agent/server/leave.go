package server

import (
	"context"
	"time"

	"github.com/debros/debros/structs"
)

// leaveWait is how long a leaving server waits to see itself out of the configuration.
const leaveWait = 5 * time.Second

// MayLeave refuses, with the reason, when the cluster could not go on without this server.
func (s *Server) MayLeave() error {
	conf, _, err := s.configuration()
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
	if err := s.MayLeave(); err != nil && !force {
		return err
	}
	if s.voters() <= 1 {
		return nil
	}
	if s.IsLeader() {
		if err := waitFuture(s.raft.LeadershipTransfer(), s.cfg.transferTimeout()); err != nil && !force {
			return structs.Errorf(structs.KindUnavailable, "leadership could not be handed over: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.HoldTimeout)
	defer cancel()
	req := &structs.RaftPeerRequest{ID: s.cfg.NodeID}
	var reply structs.WriteReply
	if err := s.RPC(ctx, "Operator.RaftRemovePeer", req, &reply); err != nil && !force {
		return err
	}
	s.waitRemoved()
	return nil
}

// waitRemoved waits a little until this server sees that it is no longer in the configuration, so
// that it goes on serving the last entries meanwhile; the leader may have cut it off before.
func (s *Server) waitRemoved() {
	deadline := time.Now().Add(leaveWait)
	for time.Now().Before(deadline) {
		if _, err := s.findServer(s.cfg.NodeID, ""); err != nil {
			return
		}
		select {
		case <-time.After(retryPauseMax):
		case <-s.ctx.Done():
			return
		}
	}
}
