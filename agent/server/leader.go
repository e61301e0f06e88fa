package server

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/go-metrics"

	"github.com/debros/debros/structs"
)

const (
	// expiryTick is how often the leader looks for keys past their TTL.
	expiryTick = 250 * time.Millisecond
	// secondTick is how often the leader looks for sessions without a clock, and repeats what failed.
	secondTick = time.Second
	// expiryRowsMax bounds one expiry command, so that it delays others little.
	expiryRowsMax = 512
	// tombstoneTick is how often the leader notes the index, and so the grain of TombstoneTTL.
	tombstoneTick = time.Minute
	// establishRetry is the pause after a failed attempt to take office.
	establishRetry = 500 * time.Millisecond
)

// followLeadership runs lead while Raft says that this server leads.
func (s *Server) followLeadership(notifyCh <-chan bool) {
	stop := func() {}
	defer func() { stop() }()
	for {
		select {
		case leads := <-notifyCh:
			stop()
			stop = func() {}
			if leads {
				stop = s.startLeading()
			}
		case <-s.ctx.Done():
			return
		}
	}
}

// startLeading runs lead in a goroutine; the function returned ends it and waits.
func (s *Server) startLeading() (stop func()) {
	ctx, cancel := context.WithCancel(s.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.lead(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// lead is the leader's office: what it holds is given back when ctx ends.
func (s *Server) lead(ctx context.Context) {
	why, wrong := s.quarantine.state()
	if why != nil {
		s.log.Warn("this server was elected, but its state is wrong: it hands leadership over")
		poke(s.healCh)
		return
	}
	s.log.Info("this server leads the cluster")
	defer s.log.Info("this server no longer leads the cluster")
	// No clock of an earlier office may go on: another leader renewed sessions meanwhile.
	s.ttl.clear()
	defer s.ttl.clear()
	s.edges.begin(time.Now())
	s.strangers.clear()
	defer s.strangers.clear()
	defer s.leadingTerm.Store(0)
	if !s.establish(ctx) {
		return
	}
	s.autopilot.Start(ctx)
	defer func() { <-s.autopilot.Stop() }()

	defer s.startComparing(ctx)()

	reconciled := s.reconcileAll(ctx)
	reconcile := time.NewTicker(s.cfg.ReconcileInterval)
	defer reconcile.Stop()
	expiry := time.NewTicker(expiryTick)
	defer expiry.Stop()
	second := time.NewTicker(secondTick)
	defer second.Stop()
	tombstones := time.NewTicker(tombstoneTick)
	defer tombstones.Stop()
	reaper := tombstoneReaper{ttl: s.cfg.TombstoneTTL}
	for {
		select {
		case <-ctx.Done():
			return
		case <-wrong:
			return
		case <-s.reconcileCh:
			reconciled = s.reconcileAll(ctx)
		case <-reconcile.C:
			reconciled = s.reconcileAll(ctx)
		case <-s.reloadCh:
			s.ttl.clear()
			s.armSessions()
		case <-second.C:
			s.armSessions()
			s.trimStreams(ctx)
			s.checkEdges(ctx)
			if !reconciled {
				reconciled = s.reconcileAll(ctx)
			}
		case <-expiry.C:
			s.expireKeys(ctx)
		case now := <-tombstones.C:
			if index := reaper.note(now, s.store.Index()); index > 0 {
				s.leaderApply(ctx, structs.CommandTombstoneReap, &structs.TombstoneReapRequest{Index: index})
			}
		}
	}
}

// establish makes the state ready to be served: a command of this term is applied, which puts
// everything before it into the state; the sessions' clocks run; this server is in the nodes table.
func (s *Server) establish(ctx context.Context) bool {
	start := time.Now()
	for {
		term := s.raft.CurrentTerm()
		err := s.takeOffice(ctx)
		if err == nil && s.raft.CurrentTerm() == term {
			s.leadingTerm.Store(term)
			metrics.MeasureSince([]string{"server", "leader", "establish"}, start)
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if err != nil {
			s.log.Warn("not ready to lead yet", "error", err)
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(establishRetry):
		}
	}
}

func (s *Server) takeOffice(ctx context.Context) error {
	if _, _, err := s.apply(ctx, structs.CommandNone, &struct{}{}); err != nil {
		return err
	}
	if _, conf := s.store.Autopilot(nil); conf == nil {
		if _, _, err := s.apply(ctx, structs.CommandAutopilot, &structs.AutopilotRequest{Config: s.cfg.Autopilot}); err != nil {
			return err
		}
	}
	if err := s.dropUploads(ctx); err != nil {
		return err
	}
	s.armSessions()
	if m, ok := s.member(s.cfg.NodeID); ok {
		return s.reconcileMember(ctx, m)
	}
	return nil
}

// dropUploads ends uploads of an earlier office or of a state that was restored: nobody goes on with them.
func (s *Server) dropUploads(ctx context.Context) error {
	for _, up := range s.store.SQLUploads() {
		r := &structs.SQLUploadRequest{Op: structs.SQLUploadDrop, ID: structs.UploadID(up.Name)}
		r.Namespace = up.Namespace
		if _, _, err := s.apply(ctx, structs.CommandSQLUpload, r); err != nil && !errors.Is(err, structs.ErrNotFound) {
			return err
		}
	}
	return nil
}

// leaderApply proposes housekeeping; a failure is logged, the next round tries again.
func (s *Server) leaderApply(ctx context.Context, t structs.CommandType, body any) (any, bool) {
	reply, _, err := s.apply(ctx, t, body)
	if err != nil && ctx.Err() == nil {
		s.log.Warn("the leader's housekeeping was not applied", "command", t, "error", err)
	}
	return reply, err == nil
}

// expireKeys deletes what is past its TTL, by the leader's clock, as committed commands.
func (s *Server) expireKeys(ctx context.Context) {
	for {
		next, ok := s.store.NextExpiry()
		if !ok || next > time.Now().UnixNano() {
			return
		}
		reply, ok := s.leaderApply(ctx, structs.CommandKVExpire, &structs.KVExpireRequest{Limit: expiryRowsMax})
		if r, is := reply.(*structs.KVExpireReply); !ok || !is || r.Deleted == 0 {
			return
		}
	}
}

// trimStreams takes away messages that have become too old where nothing is published.
func (s *Server) trimStreams(ctx context.Context) {
	if at, ok := s.store.NextAging(); ok && at <= time.Now().UnixNano() {
		s.leaderApply(ctx, structs.CommandStream, &structs.StreamRequest{Op: structs.StreamTrim})
	}
}

// tombstoneReaper remembers which index stood at which time, so that deletions older than ttl are forgotten.
type tombstoneReaper struct {
	ttl   time.Duration
	marks []tombstoneMark
}

type tombstoneMark struct {
	at    time.Time
	index uint64
}

// note takes the present index and returns the highest one older than ttl, 0 for none.
func (r *tombstoneReaper) note(now time.Time, index uint64) (old uint64) {
	if n := len(r.marks); n == 0 || r.marks[n-1].index != index {
		r.marks = append(r.marks, tombstoneMark{now, index})
	}
	for len(r.marks) > 0 && now.Sub(r.marks[0].at) >= r.ttl {
		old = r.marks[0].index
		r.marks = r.marks[1:]
	}
	return old
}
