package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/structs"
)

// askTimeout bounds the question whether a server is there: one that was killed is refused at once, so
// only one whose machine is gone or stands still makes somebody wait.
const askTimeout = 2 * time.Second

// MayLeave refuses, with the reason, when the cluster could not go on without this server.
func (s *Server) MayLeave(ctx context.Context) error {
	err := s.keepsQuorum(ctx, s.cfg.NodeID)
	var e *structs.Error
	if errors.As(err, &e) {
		return e.WithHint("%s, or use -force", e.Hint)
	}
	return err
}

// keepsQuorum refuses the removal of a server that those who remain could not agree to: it would
// never be committed, and the leader, which counts by the new configuration at once, would lose its
// office over it. They are asked, since gossip takes seconds to notice a death. One that dies after its
// answer is beyond what anybody can know.
func (s *Server) keepsQuorum(ctx context.Context, without structs.NodeID) error {
	conf, err := s.configuration()
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	actx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan bool, len(conf.Servers))
	voters := 0
	for _, srv := range conf.Servers {
		id := structs.NodeID(srv.ID)
		if srv.Suffrage != raft.Voter || id == without {
			continue
		}
		voters++
		wg.Go(func() {
			_, err := s.askStats(actx, id, s.addressOf(srv), askTimeout*time.Duration(s.cfg.RaftMultiplier))
			answers <- err == nil
		})
	}
	if voters == 0 {
		return structs.Errorf(structs.KindConflict, "server %s is the last server: without it the cluster and its state are gone", without).
			WithHint("stop it instead")
	}
	here, need := 0, voters/2+1
	for range voters {
		if <-answers {
			here++
		}
		if here == need {
			return nil
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return structs.Errorf(structs.KindConflict, "only %d of the %d servers that would remain answer: without server %s the cluster would have no quorum", here, voters, without).
		WithHint("bring the others back first")
}

// Leave takes this server out of the Raft configuration: leadership is handed over first, then the
// new leader removes it. Its word that this is committed is all there is to wait for: the leader sends
// nothing more to a server that it removed, which may never see the configuration without itself.
// With force, failures do not stop it.
func (s *Server) Leave(ctx context.Context, force bool) error {
	if s.removed() {
		return nil // an earlier attempt got this far
	}
	if err := s.MayLeave(ctx); err != nil && !force {
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
	s.gone.remove(s.cfg.NodeID, time.Now())
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

// removed reports whether this server was taken out: it left a moment ago, or it has seen the
// configuration without itself.
func (s *Server) removed() bool {
	if s.gone.justRemoved(s.cfg.NodeID, time.Now()) {
		return true
	}
	_, err := s.findServer(s.cfg.NodeID, "")
	return err != nil && s.voters() > 0
}
