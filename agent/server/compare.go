package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-metrics"
	"github.com/hashicorp/raft"

	"github.com/debros/debros/rpc/transport"
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

// judgement is one comparison on the leader.
type judgement struct {
	s    *Server
	at   uint64
	when time.Time

	// mu protects the following, while gather runs.
	mu      sync.Mutex
	answers []*replicaAnswer
}

// show makes a report of what is known.
func (j *judgement) show(outcome structs.VerifyOutcome, differences []*structs.VerifyDifference) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := &structs.VerifyReport{Index: j.at, Outcome: outcome, Time: j.when, Differences: differences}
	for _, a := range j.answers {
		row := *a.row
		r.Servers = append(r.Servers, &row)
	}
	j.s.showReport(r)
}

// same reports whether there is nothing to look at closely.
func (j *judgement) same() bool {
	first := ""
	for _, a := range j.answers {
		switch {
		case !a.compared():
		case a.hash.Damaged, first != "" && a.hash.Hash != first:
			return false
		default:
			first = a.hash.Hash
		}
	}
	return true
}

// gather asks all servers until each has said what it has to say.
func (j *judgement) gather(ctx context.Context, parts bool) {
	var wg sync.WaitGroup
	for _, a := range j.answers {
		if a.compared() {
			wg.Go(func() { j.ask(ctx, a, parts) })
		}
	}
	wg.Wait()
}

// ask asks one server until its answer is final.
func (j *judgement) ask(ctx context.Context, a *replicaAnswer, parts bool) {
	began := time.Now()
	heard := began
	for ctx.Err() == nil {
		h, err := j.s.askHash(ctx, a.row.ID, a.row.Address, &structs.ReplicaHashRequest{At: j.at, Wait: hashWait, Parts: parts})
		silent := time.Since(heard) > silenceMax
		switch {
		case err != nil && (silent || errors.Is(err, errOldServers)):
			j.note(a, nil, "it does not answer: "+structs.AsError(err).Message)
			return
		case err != nil:
			_ = j.s.sleep(ctx, hashWait/4) // the loop looks at ctx
			continue
		case h.State == structs.ReplicaAbsent && h.Applied >= j.at:
			j.note(a, h, "it was started, or took another's state, since the comparison began")
			return
		case h.State == structs.ReplicaAbsent && silent:
			j.note(a, h, fmt.Sprintf("it is behind: it stands at %d", h.Applied))
			return
		case h.State == structs.ReplicaFailed:
			j.note(a, h, h.Error)
			return
		case h.State != structs.ReplicaDone && time.Since(began) > hashMax:
			j.note(a, h, fmt.Sprintf("it has not come to an end within %s", hashMax))
			return
		}
		if h.State != structs.ReplicaAbsent {
			heard = time.Now()
		}
		j.note(a, h, "")
		if h.State == structs.ReplicaDone {
			return
		}
	}
}

// note keeps what a server said; a reason is why it cannot be compared.
func (j *judgement) note(a *replicaAnswer, h *structs.ReplicaHash, reason string) {
	j.mu.Lock()
	if h != nil {
		a.hash = h
		row := a.row
		row.Hash, row.Databases, row.DatabasesDone, row.Took, row.Build, row.Quarantine = h.Hash, h.Databases, h.DatabasesDone, structs.ReadableDuration(h.Took), h.Build, h.Quarantine
	}
	if reason != "" {
		a.row.Verdict, a.row.Error = structs.VerdictNotCompared, reason
	}
	j.mu.Unlock()
	j.show(structs.VerifyRunning, nil)
}

// announce says what was found, to people and to who watches the gauges.
func (s *Server) announce(j *judgement, outcome structs.VerifyOutcome, differences []*structs.VerifyDifference) {
	wrong := 0
	for _, a := range j.answers {
		switch a.row.Verdict {
		case structs.VerdictDifferent, structs.VerdictDamaged, structs.VerdictUndecided:
			wrong++
		case structs.VerdictNotCompared:
			s.log.Warn("a server was not compared with the others", "node", a.row.Node, "id", a.row.ID, "index", j.at, "reason", a.row.Error)
		}
	}
	metrics.SetGauge([]string{"replica", "divergent"}, float32(wrong))
	for _, d := range differences {
		s.log.Error("THE SERVERS DO NOT HOLD THE SAME", "part", d.Part, "index", j.at, "majority", d.Right, "servers", fmt.Sprint(d.Hashes))
	}
	switch outcome {
	case structs.VerifyUndecided:
		s.log.Error("no majority says which servers are right, so nothing is done about it: look at their data, choose one, and have the others take its state",
			"index", j.at, "hint", "debros operator raft transfer-leader -id=RIGHT, then debros operator verify -reinstall=WRONG")
	default:
		s.log.Info("compared the states of the servers", "index", j.at, "outcome", outcome)
	}
}

// sentence tells the servers that are wrong, this one last, so that it leads until the others know.
func (s *Server) sentence(ctx context.Context, j *judgement, right []structs.NodeID) {
	if len(right) == 0 {
		if slices.ContainsFunc(j.answers, func(a *replicaAnswer) bool { return a.row.Verdict == structs.VerdictDamaged }) {
			s.log.Error("a server cannot read all it holds, and there is no other whose state it could take",
				"hint", "stop it, remove sql/ in its data directory and start it: it makes the databases again from its own snapshot and log")
		}
		return
	}
	answers := slices.Clone(j.answers)
	slices.SortStableFunc(answers, func(a, b *replicaAnswer) int {
		switch {
		case a.row.Leader == b.row.Leader:
			return 0
		case a.row.Leader:
			return 1
		}
		return -1
	})
	for _, a := range answers {
		why := structs.Quarantine{Index: j.at, Since: time.Now().UTC(), Right: right}
		switch {
		case a.row.Verdict == structs.VerdictDamaged:
			why.Reason = fmt.Sprintf("a part of it cannot be read, at index %d", j.at)
		case a.row.Verdict == structs.VerdictDifferent:
			why.Reason = fmt.Sprintf("it holds something else than the majority, at index %d", j.at)
		case a.row.Quarantine != "" && a.row.Verdict == structs.VerdictRight:
			why.Reason = a.row.Quarantine // it may have got right by a start; only another's state ends it, and it must know whose
		default:
			continue
		}
		if err := s.tellWrong(ctx, a.row.ID, a.row.Address, &why); err != nil {
			s.log.Error("a server whose state is wrong could not be told", "node", a.row.Node, "id", a.row.ID, "error", err)
		}
	}
}

// tellWrong puts a server into quarantine.
func (s *Server) tellWrong(ctx context.Context, id structs.NodeID, addr string, why *structs.Quarantine) (err error) {
	if id == s.cfg.NodeID {
		return s.condemn(*why)
	}
	for range condemnTries {
		call, cancel := context.WithTimeout(ctx, silenceMax)
		err = s.pool.Call(call, addr, "Replica.Quarantine", why, &structs.QuarantineReply{})
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		if err := s.sleep(ctx, compareTick); err != nil {
			return err
		}
	}
	return err
}

func (s *Server) sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// askHash asks a server for its own hash; this one answers itself.
func (s *Server) askHash(ctx context.Context, id structs.NodeID, addr string, req *structs.ReplicaHashRequest) (*structs.ReplicaHash, error) {
	if id == s.cfg.NodeID {
		return s.ownHash(ctx, req), nil
	}
	ctx, cancel := context.WithTimeout(ctx, req.Wait+silenceMax/2)
	defer cancel()
	rep := &structs.ReplicaHash{}
	return rep, s.pool.Call(ctx, addr, "Replica.Hash", req, rep)
}

// ownHash is what this server says of itself.
func (s *Server) ownHash(ctx context.Context, req *structs.ReplicaHashRequest) *structs.ReplicaHash {
	applied := s.fsm.AppliedIndex() // first: what is applied then was noted
	h := s.comparer.await(ctx, req.At, min(max(req.Wait, 0), hashWait))
	h.Applied, h.Quarantine = applied, s.quarantine.reason()
	if !req.Parts {
		h.Parts = nil
	}
	return &h
}

// replicaMethods are what servers ask of each other's states.
func (s *Server) replicaMethods() []transport.Method {
	methods := []transport.Method{
		transport.Unary("Replica.Hash", func(ctx context.Context, req *structs.ReplicaHashRequest, rep *structs.ReplicaHash) error {
			*rep = *s.ownHash(ctx, req)
			return nil
		}),
		transport.Unary("Replica.Quarantine", func(_ context.Context, req *structs.Quarantine, _ *structs.QuarantineReply) error {
			return s.condemn(*req)
		}),
		transport.Unary("Replica.Reinstall", func(ctx context.Context, req *structs.ReinstallRequest, rep *structs.ReinstallReply) (err error) {
			rep.Index, err = s.reinstall(ctx, req)
			return err
		}),
	}
	methods = append(methods, transport.Unary("Replica.Report", func(_ context.Context, req *structs.VerifyReport, _ *structs.QuarantineReply) error {
		s.showReport(req)
		return nil
	}))
	for i := range methods {
		methods[i].ServersOnly = true
	}
	return methods
}

// Verify implements rpc.RaftOps.
func (o raftOps) Verify(ctx context.Context, reinstall structs.NodeID) (uint64, error) {
	if !o.s.IsLeader() {
		return 0, errNotLeader()
	}
	if reinstall == "" {
		return o.s.beginComparison(ctx)
	}
	srv, err := o.s.findServer(reinstall, "")
	if err != nil {
		return 0, err
	}
	if reinstall == o.s.cfg.NodeID {
		return 0, structs.Errorf(structs.KindInvalid, "server %s leads: its state is what the others take", reinstall).
			WithHint("hand leadership to a server whose state is right: `debros operator raft transfer-leader -id=…`")
	}
	why := structs.Quarantine{Index: o.s.store.Index(), Since: time.Now().UTC(), Right: []structs.NodeID{o.s.cfg.NodeID}, Reason: "an operator said so"}
	return why.Index, o.s.tellWrong(ctx, reinstall, o.s.addressOf(srv), &why)
}

// VerifyReport implements rpc.RaftOps.
func (o raftOps) VerifyReport(at uint64) (*structs.VerifyReport, error) {
	if !o.s.IsLeader() {
		return nil, errNotLeader()
	}
	r := o.s.currentReport()
	if r == nil {
		r = &structs.VerifyReport{Outcome: structs.VerifyNone}
	}
	switch {
	case at > r.Index:
		if latest := o.s.comparer.latest(); latest != nil && latest.At >= at {
			return &structs.VerifyReport{Index: at, Outcome: structs.VerifyRunning}, nil // the leader comes to it
		}
		return nil, structs.Errorf(structs.KindNotFound, "the leader knows of no comparison at index %d", at).WithHint("begin another one")
	case at != 0 && at < r.Index:
		return nil, structs.Errorf(structs.KindNotFound, "a later comparison has taken the place of that at index %d: its index is %d", at, r.Index)
	}
	return r, nil
}
