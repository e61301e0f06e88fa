package server

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/structs"
)

const (
	// healPauseMin and healPauseMax bound the jittered, growing pause between two attempts to get a right state.
	healPauseMin = 200 * time.Millisecond
	healPauseMax = 15 * time.Second
	// reinstallTimeout bounds one attempt: a snapshot of the leader's state, its way here and its installation.
	reinstallTimeout = time.Hour
	// healedSnapshotTries is how often the snapshot that buries the wrong ones is tried.
	healedSnapshotTries = 3
)

// condemn puts this server into quarantine: what it holds is wrong.
func (s *Server) condemn(why structs.Quarantine) error {
	begun, err := s.quarantine.begin(why)
	if err != nil {
		return err
	}
	s.quarantineGauge()
	if !begun {
		return nil
	}
	s.log.Error("THE STATE OF THIS SERVER IS WRONG: it answers no reads and does not lead until it has taken the state of another server",
		"index", why.Index, "reason", why.Reason, "right", why.Right)
	poke(s.healCh)
	// A start that finds the file of the quarantine trusts no database either. This is for one whose file an operator took away.
	return s.store.DistrustDatabases()
}

// healWhenWrong gets this server out of quarantine, whenever it is in there, until ctx ends.
func (s *Server) healWhenWrong(ctx context.Context) {
	pause := healPauseMin
	for ctx.Err() == nil {
		why, began := s.quarantine.state()
		if why == nil {
			pause = healPauseMin
			select {
			case <-began:
			case <-ctx.Done():
			}
			continue
		}
		err := s.heal(ctx, *why)
		if err == nil || ctx.Err() != nil {
			continue
		}
		log := s.log.Warn
		if pause == healPauseMin { // leadership has just been handed over, as a rule
			log = s.log.Debug
		}
		log("the state of this server is wrong, and no right one was installed yet; it is tried again", "error", err)
		select {
		case <-time.After(pause + rand.N(pause/2)):
		case <-s.healCh: // there is news
		case <-ctx.Done():
		}
		pause = min(2*pause, healPauseMax)
	}
}

// heal has the leader install its state here, and ends the quarantine. Each step may be the last before a crash: the
// file of the quarantine is still there, and the next start begins again.
func (s *Server) heal(ctx context.Context, why structs.Quarantine) error {
	if s.raft.State() == raft.Leader {
		if err := waitFuture(s.raft.LeadershipTransfer(), s.cfg.transferTimeout()); err != nil {
			return fmt.Errorf("hand leadership over: %w", err)
		}
	}
	if _, replaced := s.quarantine.mustReach(); !replaced {
		if err := s.askForState(ctx, why); err != nil {
			return err
		}
	}
	index, replaced := s.quarantine.mustReach()
	if !replaced {
		return errors.New("the leader says that it installed its state here, but nothing came")
	}
	if err := s.fsm.WaitApplied(ctx, index); err != nil { // what Raft applied to the old state it applies to the new one
		return err
	}
	if err := s.quarantine.end(s.trustDatabases); err != nil {
		return err
	}
	s.quarantineGauge()
	s.log.Warn("the state of this server was replaced by that of the leader; it answers again", "index", s.fsm.AppliedIndex(), "was", why.Reason)
	s.buryOldSnapshots()
	return nil
}

// askForState returns when the leader has installed its state here, through Raft.
func (s *Server) askForState(ctx context.Context, why structs.Quarantine) error {
	// A snapshot of the wrong state that is still being written would end up beside the right one.
	if err := s.snapshotting.idle(ctx); err != nil {
		return err
	}
	id, addr := s.leader()
	if id == "" || id == s.cfg.NodeID {
		return errNotLeader()
	}
	ctx, cancel := context.WithTimeout(ctx, reinstallTimeout)
	defer cancel()
	var rep structs.ReinstallReply
	if err := s.pool.Call(ctx, addr, "Replica.Reinstall", &structs.ReinstallRequest{ID: s.cfg.NodeID, Quarantine: why}, &rep); err != nil {
		return fmt.Errorf("ask %s for its state: %w", id, err)
	}
	return nil
}

// trustDatabases lets the next start use the files again: all of them are of the new state.
func (s *Server) trustDatabases() error {
	if s.cfg.DataDir == "" {
		return nil
	}
	return s.store.TrustDatabases(bootID())
}

// buryOldSnapshots takes a snapshot of the right state, so that those of the wrong one, which Raft falls back on when it cannot read
// the newest, are removed. The newest one is right already, so that it fails is no harm.
func (s *Server) buryOldSnapshots() {
	for range healedSnapshotTries {
		err := s.raft.Snapshot().Error()
		if err == nil || errors.Is(err, raft.ErrNothingNewToSnapshot) || errors.Is(err, raft.ErrRaftShutdown) {
			return
		}
		s.log.Debug("no snapshot of the new state yet", "error", err)
		select {
		case <-time.After(time.Second):
		case <-s.ctx.Done():
			return
		}
	}
}

// reinstall is the leader's part: it sends its own state to a server whose state is wrong, as Raft sends it to a follower
// that is far behind. The follower then applies what its log has behind it, as ever.
func (s *Server) reinstall(ctx context.Context, req *structs.ReinstallRequest) (uint64, error) {
	srv, err := s.findServer(req.ID, "")
	if err != nil {
		return 0, err
	}
	if !s.IsLeader() || req.ID == s.cfg.NodeID {
		return 0, errNotLeader()
	}
	if !slices.Contains(req.Quarantine.Right, s.cfg.NodeID) {
		s.compareSoon()
		return 0, structs.Errorf(structs.KindUnavailable, "this leader was not among the servers whose state was found right; the states are compared again")
	}
	if !s.reinstalling.TryLock() {
		return 0, structs.Errorf(structs.KindUnavailable, "another server is taking the leader's state just now")
	}
	defer s.reinstalling.Unlock()
	term := s.leadingTerm.Load()
	// The snapshot must be newer than any that the other server has of its own.
	if _, _, err := s.apply(ctx, structs.CommandNone, &struct{}{}); err != nil {
		return 0, err
	}
	meta, rc, err := s.takeSnapshot()
	if err != nil {
		return 0, err
	}
	defer rc.Close()
	s.log.Warn("installing this server's state on one whose state is wrong", "id", req.ID, "index", meta.Index, "bytes", meta.Size)
	self := s.trans.EncodePeer(raft.ServerID(s.cfg.NodeID), s.trans.LocalAddr())
	msg := &raft.InstallSnapshotRequest{
		RPCHeader:       raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(s.cfg.NodeID), Addr: self},
		SnapshotVersion: meta.Version, Term: term, Leader: self,
		LastLogIndex: meta.Index, LastLogTerm: meta.Term, Peers: meta.Peers, Size: meta.Size,
		Configuration: raft.EncodeConfiguration(meta.Configuration), ConfigurationIndex: meta.ConfigurationIndex,
	}
	var resp raft.InstallSnapshotResponse
	if err := s.trans.InstallSnapshot(srv.ID, srv.Address, msg, &resp, rc); err != nil {
		return 0, structs.Errorf(structs.KindUnavailable, "the state was not installed: %v", err)
	}
	if !resp.Success {
		return 0, structs.Errorf(structs.KindUnavailable, "the state was refused: this server led in term %d, the other one is in term %d", term, resp.Term)
	}
	// The follower applies its log from there on when it hears that more is committed.
	if _, _, err := s.apply(ctx, structs.CommandNone, &struct{}{}); err != nil {
		return 0, err
	}
	return meta.Index, nil
}
