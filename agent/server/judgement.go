package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-metrics"

	"github.com/debros/debros/structs"
)

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
