package server

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/go-metrics"
	"github.com/hashicorp/raft"
)

const (
	// entryCostBytes is the least that an entry counts. One of 100 bytes has a database write two pages or more to its log
	// and then to its file, and the next start apply one more. The threshold, which is in entries, means such entries.
	entryCostBytes = 16 << 10
	// snapshotWriteMax is how many times the entries' cost a snapshot may write, so that a state of gigabytes of which little
	// changes is not written every few minutes.
	snapshotWriteMax = 2
	// trailingBytesMax bounds the log behind a snapshot also by bytes: 10240 entries may be ten gigabytes. A follower that
	// lags further is sent a snapshot.
	trailingBytesMax = 256 << 20
	// trailingStepBytes is how exactly that is known.
	trailingStepBytes = 1 << 20
)

// snapshotPolicy decides when a snapshot is due and how much of the log stays behind it. Raft's own rule counts entries:
// small ones then cost a copy of the whole state each time, and large ones fill the disk. The policy counts what the
// entries since the last snapshot have cost, and waits until a snapshot writes at most snapshotWriteMax times of that. It
// sees every entry that is applied, those behind the last snapshot again at each start.
type snapshotPolicy struct {
	mu        sync.Mutex // protects the following
	threshold uint64     // entries
	interval  time.Duration
	keep      uint64 // entries behind a snapshot, at most
	keepBytes uint64 // of them, at most

	cost  uint64 // of the entries applied so far
	taken uint64 // cost at the moment of the last snapshot
	bytes uint64 // of the entries applied so far
	index uint64 // of the last one
	steps []logStep
}

// logStep is a place in the log.
type logStep struct{ index, bytes uint64 }

func newSnapshotPolicy(c *Config) *snapshotPolicy {
	return &snapshotPolicy{threshold: c.SnapshotThreshold, interval: c.SnapshotInterval, keep: c.TrailingLogs, keepBytes: c.trailingBytes}
}

// set changes the settings that are not 0.
func (p *snapshotPolicy) set(threshold uint64, interval time.Duration, keep uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	setUnlessZero(&p.threshold, threshold)
	setUnlessZero(&p.interval, interval)
	setUnlessZero(&p.keep, keep)
}

// applied counts entries.
func (p *snapshotPolicy) applied(logs []*raft.Log) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range logs {
		n := uint64(len(l.Data))
		p.cost += max(n, entryCostBytes)
		p.bytes += n
		p.index = l.Index
		if len(p.steps) == 0 || p.bytes-p.steps[len(p.steps)-1].bytes >= min(trailingStepBytes, p.keepBytes/8) {
			p.steps = append(p.steps, logStep{p.index, p.bytes})
		}
	}
	// One step beyond the bound stays, to tell that there is more.
	for len(p.steps) > 1 && p.bytes-p.steps[1].bytes > p.keepBytes {
		p.steps = p.steps[1:]
	}
}

// due reports whether it is time for a snapshot, of which write says how many bytes it would write.
func (p *snapshotPolicy) due(write func() int64) bool {
	p.mu.Lock()
	cost, least := p.cost-p.taken, p.threshold*entryCostBytes
	p.mu.Unlock()
	return cost >= least && cost*snapshotWriteMax >= uint64(write())
}

// trailing is how many entries may stay behind a snapshot.
func (p *snapshotPolicy) trailing() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.steps) < 2 || p.bytes-p.steps[0].bytes <= p.keepBytes {
		return p.keep
	}
	return max(1, min(p.keep, p.index-p.steps[1].index))
}

// moment is the cost now, for done.
func (p *snapshotPolicy) moment() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cost
}

// done says that the snapshot of a moment is on the disk.
func (p *snapshotPolicy) done(moment uint64) {
	p.mu.Lock()
	p.taken = max(p.taken, moment)
	p.mu.Unlock()
}

// wait is until the next look, at another time on each server: a snapshot takes its disk's time.
func (p *snapshotPolicy) wait() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.interval + rand.N(p.interval)
}

// policedSnapshot is a snapshot that tells the policy.
type policedSnapshot struct {
	raft.FSMSnapshot
	fsm    guardedFSM
	moment uint64
}

// Snapshot implements raft.FSM.
func (f guardedFSM) Snapshot() (raft.FSMSnapshot, error) {
	snap, err := f.replica.snapshot(f.FSM.Snapshot)
	if err != nil {
		return nil, err
	}
	return &policedSnapshot{snap, f, f.policy.moment()}, nil
}

// Persist implements raft.FSMSnapshot. Raft shortens the log next.
func (s *policedSnapshot) Persist(sink raft.SnapshotSink) error {
	before := s.fsm.SnapshotBytes()
	if err := s.FSMSnapshot.Persist(sink); err != nil {
		return err
	}
	metrics.IncrCounter([]string{"server", "snapshot", "bytes"}, float32(s.fsm.SnapshotBytes()-before))
	s.fsm.policy.done(s.moment)
	return s.fsm.setTrailing(s.fsm.policy.trailing())
}

// setTrailing has Raft keep that many entries behind the next snapshots.
func (s *Server) setTrailing(entries uint64) error {
	r := s.running.Load()
	if r == nil { // raft recover
		return nil
	}
	rc := r.ReloadableConfig()
	if rc.TrailingLogs == entries {
		return nil
	}
	rc.TrailingLogs = entries
	return r.ReloadConfig(rc)
}

// followSnapshots takes snapshots when they are due.
func (s *Server) followSnapshots(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(s.snapshots.wait()):
		}
		if s.quarantine.reason() == "" && s.snapshots.due(s.snapshotBytes) {
			_ = s.raft.Snapshot().Error() // Raft has logged it, and the next look tries again
		}
	}
}

// snapshotBytes is about what a snapshot would write now.
func (s *Server) snapshotBytes() int64 { return s.fsm.RowBytes() + s.store.UncopiedBytes() }
