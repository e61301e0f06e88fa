package server

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-metrics"
	"github.com/hashicorp/raft"

	"github.com/debros/debros/structs"
)

const (
	// compareTick is how often the leader looks whether a comparison is due, or has begun.
	compareTick = time.Second
	// hashWait is how long one question for a hash waits; it is asked again until the hash is there.
	hashWait = 2 * time.Second
	// silenceMax is how long a server may answer nothing, or stand before the entry, and still be waited for.
	silenceMax = 20 * time.Second
	// hashMax bounds the whole, so that a server whose disk hangs does not keep the others from being compared.
	hashMax = 2 * time.Hour
	// condemnTries is how often a server is told that its state is wrong. The next comparison finds it again.
	condemnTries = 10
)

// compareOffice is the leader's part in comparing the replicas, and what it remembers of it.
type compareOffice struct {
	soonCh chan struct{} // capacity 1: compare now
	newCh  chan struct{} // capacity 1: a comparison has begun

	// mu protects the following.
	mu     sync.Mutex
	report *structs.VerifyReport // of the newest comparison that this server judged; replaced, never changed
}

// compareSoon has the leader compare the replicas as soon as it can.
func (s *Server) compareSoon() { poke(s.compare.soonCh) }

// watchReplicas compares the replicas while this server leads: every VerifyInterval, when it is asked to, and what an earlier
// leader began.
func (s *Server) watchReplicas(ctx context.Context) {
	defer metrics.SetGauge([]string{"replica", "divergent"}, 0) // only the leader knows
	tick := time.NewTicker(compareTick)
	defer tick.Stop()
	var judged uint64
	if r := s.currentReport(); r != nil && r.Outcome != structs.VerifyRunning {
		judged = r.Index // by an earlier leader, to its end
	}
	began := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.compare.newCh:
		case <-s.compare.soonCh:
			s.propose(ctx)
		case <-tick.C:
			if s.comparisonDue(began, time.Now()) {
				s.propose(ctx)
			}
		}
		if r := s.comparer.latest(); r != nil && r.At > judged {
			s.judgeAll(ctx, r.At, r.Time)
			judged = r.At
		}
	}
}

// startComparing runs watchReplicas in a goroutine; the function returned ends it and waits.
func (s *Server) startComparing(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.watchReplicas(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// comparisonDue goes by what the log says of the last one, so that many changes of the leader do not put it off for ever.
func (s *Server) comparisonDue(began, now time.Time) bool {
	_, c := s.store.Cluster(nil)
	if s.cfg.VerifyInterval <= 0 || c == nil {
		return false
	}
	last := began
	if c.VerifyTime != 0 {
		last = time.Unix(0, c.VerifyTime)
	}
	return now.Sub(last) >= s.cfg.VerifyInterval
}

func (s *Server) propose(ctx context.Context) {
	if _, err := s.beginComparison(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, errOldServers) {
		s.log.Warn("the states of the servers were not compared", "error", err)
	}
}

// errOldServers is why a comparison waits for an upgrade.
var errOldServers = &structs.Error{Kind: structs.KindUnsupported}

// beginComparison has every server hash its state at one entry, whose index it returns; one that is under way is as good.
func (s *Server) beginComparison(ctx context.Context) (uint64, error) {
	if r := s.currentReport(); r != nil && r.Outcome == structs.VerifyRunning {
		return r.Index, nil
	}
	if _, c := s.store.Cluster(nil); c == nil {
		return 0, structs.Errorf(structs.KindUnavailable, "the cluster has no id yet").WithHint("try again in a few seconds")
	}
	old, err := s.olderThan(structs.FSMVersionVerify)
	if err != nil {
		return 0, err
	}
	if old != "" {
		return 0, structs.Errorf(structs.KindUnsupported, "server %s has a build that cannot compare its state, or is not seen", old).
			WithHint("upgrade every server, or take the lost one out with `debros operator raft remove-peer`")
	}
	_, index, err := s.apply(ctx, structs.CommandVerify, &structs.VerifyRequest{})
	if err == nil {
		poke(s.compare.newCh)
	}
	return index, err
}

// currentReport is the newest report; nil for none.
func (s *Server) currentReport() *structs.VerifyReport {
	s.compare.mu.Lock()
	defer s.compare.mu.Unlock()
	return s.compare.report
}

// showReport keeps a report, unless there is a newer one or all is said about its index.
func (s *Server) showReport(r *structs.VerifyReport) {
	s.compare.mu.Lock()
	defer s.compare.mu.Unlock()
	have := s.compare.report
	if have == nil || r.Index > have.Index || r.Index == have.Index && have.Outcome == structs.VerifyRunning {
		s.compare.report = r
	}
}

// spread gives the report to the others: one of them may lead next, and a server that was healed has nothing to be judged by
// a second time.
func (s *Server) spread(j *judgement) {
	ctx, cancel := context.WithTimeout(s.ctx, hashWait)
	defer cancel()
	report := s.currentReport()
	var wg sync.WaitGroup
	for _, a := range j.answers {
		if a.row.ID != s.cfg.NodeID {
			wg.Go(func() {
				if err := s.pool.Call(ctx, a.row.Address, "Replica.Report", report, &structs.QuarantineReply{}); err != nil {
					s.log.Debug("a server did not take the report of the comparison", "id", a.row.ID, "error", err)
				}
			})
		}
	}
	wg.Wait()
}

// judgeAll waits for what all servers say of one entry, judges, and sees to those that are wrong.
func (s *Server) judgeAll(ctx context.Context, at uint64, when time.Time) {
	answers, err := s.jury()
	if err != nil {
		s.log.Warn("the states of the servers were not compared", "error", err)
		return
	}
	j := &judgement{s: s, at: at, when: when, answers: answers}
	j.show(structs.VerifyRunning, nil)
	if j.gather(ctx, false); ctx.Err() == nil && !j.same() {
		j.gather(ctx, true)
	}
	if ctx.Err() != nil {
		return
	}
	outcome, differences, right := judge(answers)
	j.show(outcome, differences)
	s.announce(j, outcome, differences)
	s.sentence(ctx, j, right)
	s.spread(j)
}

// jury is the servers of the Raft configuration, the leader last.
func (s *Server) jury() (all []*replicaAnswer, err error) {
	conf, err := s.configuration()
	if err != nil {
		return nil, err
	}
	for _, srv := range conf.Servers {
		row := &structs.VerifyServer{
			ID: structs.NodeID(srv.ID), Node: unknownNode, Address: s.addressOf(srv), Leader: structs.NodeID(srv.ID) == s.cfg.NodeID,
			Voter: srv.Suffrage == raft.Voter, Verdict: structs.VerdictWaiting,
		}
		if m, ok := s.member(row.ID); ok {
			row.Node = m.Name
		}
		all = append(all, &replicaAnswer{row: row})
	}
	slices.SortFunc(all, func(a, b *replicaAnswer) int {
		return strings.Compare(a.row.Node+string(a.row.ID), b.row.Node+string(b.row.ID))
	})
	return all, nil
}
