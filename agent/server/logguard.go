package server

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/agent/server/snapstore"
	"github.com/debros/debros/state/fsm"
)

// logGuard is the log as Raft sees it: a log store, plus the rule of the Raft paper (figure 13, steps
// 6 and 7) that hashicorp/raft 1.8 leaves out when it installs a snapshot (issue 697).
//
// The case: a follower has entries that were never committed, the leader has compacted the indexes
// where the two differ, and so it sends a snapshot that ends at S, somewhere among those entries. Raft
// then either deletes the whole log (store said to be monotonic) and goes on believing in the last
// index it had, or it keeps the entries from S on. In both cases the check of the entry before the next
// one, S, fails, and the leader sends the snapshot again, for ever; a second copy of a snapshot that
// finds good entries after S makes the first way panic.
//
// So the store is never monotonic for Raft, and the guard sees to what follows from that:
//   - S has the term that the restored snapshot gives it, whatever the log has there. The check
//     passes, the entries after S differ in term from the leader's, and Raft deletes them itself.
//   - A log that ends at such an S is emptied before an entry follows, so that nobody is ever sent
//     what was at S.
//   - S is kept while entries follow it, or the check would find nothing.
//   - Raft appends beyond the end only after a snapshot that covers the gap: the old log is emptied
//     first, so that no log has a gap (raft-wal allows none).
//
// One case is out of its reach: when S is the very last entry, Raft compares from memory. The guard then
// empties the log and has the node stopped; after a start the snapshot is all there is, which is right.
//
// A server in that state cannot become leader: those who committed S have entries of a later term.
type logGuard struct {
	raft.LogStore
	restored atomic.Pointer[logMark] // the snapshot that the state was last restored from
	// onDiverged is told, once or more, that this server must not go on.
	onDiverged func(error)
}

// logMark is the last entry that a snapshot holds.
type logMark struct{ index, term uint64 }

// IsMonotonic implements raft.MonotonicLogStore.
func (g *logGuard) IsMonotonic() bool { return false }

// GetLog implements raft.LogStore.
func (g *logGuard) GetLog(index uint64, l *raft.Log) error {
	if err := g.LogStore.GetLog(index, l); err != nil {
		return err
	}
	if m := g.restored.Load(); m != nil && m.index == index && m.term != l.Term {
		*l = raft.Log{Index: index, Term: m.term, Type: raft.LogNoop}
	}
	return nil
}

// StoreLog implements raft.LogStore.
func (g *logGuard) StoreLog(l *raft.Log) error { return g.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (g *logGuard) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	if err := g.refuseDiverged(logs); err != nil {
		return err
	}
	last, err := g.LogStore.LastIndex()
	if err != nil {
		return fmt.Errorf("find the end of the raft log: %w", err)
	}
	if last > 0 {
		stale := logs[0].Index > last+1
		if !stale {
			if stale, err = g.differsAt(last); err != nil {
				return err
			}
		}
		if stale {
			if err := g.empty(last); err != nil {
				return err
			}
		}
	}
	return g.LogStore.StoreLogs(logs)
}

// refuseDiverged stops a server whose state came from a snapshot that the cluster never agreed on: an
// operator's restore writes the snapshot on the leader before a majority knows of it, and a leader
// that dies in between comes back with a state that is its own. The others then commit another entry
// where the snapshot ends.
func (g *logGuard) refuseDiverged(logs []*raft.Log) error {
	m := g.restored.Load()
	if m == nil || m.index < logs[0].Index || m.index > logs[len(logs)-1].Index {
		return nil
	}
	if l := logs[m.index-logs[0].Index]; l.Index != m.index || l.Term == m.term {
		return nil
	}
	err := fmt.Errorf("this server holds a restored snapshot (index %d, term %d) that the cluster did not accept: move its data directory away and start it again, and it takes the cluster's state", m.index, m.term)
	if g.onDiverged != nil {
		g.onDiverged(err)
	}
	return err
}

// differsAt reports whether the log has another entry at index than the restored snapshot says.
func (g *logGuard) differsAt(index uint64) (bool, error) {
	m := g.restored.Load()
	if m == nil || m.index != index {
		return false, nil
	}
	var l raft.Log
	err := g.LogStore.GetLog(index, &l)
	if errors.Is(err, raft.ErrLogNotFound) {
		return false, nil
	}
	return err == nil && l.Term != m.term, err
}

// emptyIfItEndsInConflict empties a log whose last entry is another than the restored snapshot says.
func (g *logGuard) emptyIfItEndsInConflict() (bool, error) {
	last, err := g.LogStore.LastIndex()
	if err != nil || last == 0 {
		return false, err
	}
	differs, err := g.differsAt(last)
	if err != nil || !differs {
		return false, err
	}
	return true, g.empty(last)
}

func (g *logGuard) empty(last uint64) error {
	first, err := g.LogStore.FirstIndex()
	if err != nil {
		return fmt.Errorf("find the begin of the raft log: %w", err)
	}
	return g.LogStore.DeleteRange(first, last)
}

// DeleteRange implements raft.LogStore.
func (g *logGuard) DeleteRange(first, last uint64) error {
	if m := g.restored.Load(); m != nil && m.index == last {
		end, err := g.LogStore.LastIndex()
		if err != nil {
			return fmt.Errorf("find the end of the raft log: %w", err)
		}
		if end > last {
			if last--; last < first {
				return nil
			}
		}
	}
	return g.LogStore.DeleteRange(first, last)
}

// guardedSnapshots makes snapshots say, when they are read, which entry they end with.
type guardedSnapshots struct{ raft.SnapshotStore }

// markedSnapshot is an open snapshot with its mark.
type markedSnapshot struct {
	io.ReadCloser
	mark        *logMark
	configIndex uint64 // of the Raft configuration that belongs to it
	id          string
}

// marked finds the snapshot that we opened under what Raft wraps around it; nil when there is none.
func marked(rc io.ReadCloser) *markedSnapshot {
	for {
		switch r := rc.(type) {
		case *markedSnapshot:
			return r
		case raft.ReadCloserWrapper:
			rc = r.WrappedReadCloser()
		default:
			return nil
		}
	}
}

// Open implements raft.SnapshotStore.
func (s guardedSnapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, rc, err := s.SnapshotStore.Open(id)
	if err != nil {
		return nil, nil, err
	}
	return meta, &markedSnapshot{rc, &logMark{meta.Index, meta.Term}, meta.ConfigurationIndex, id}, nil
}

// guardedFSM tells the guard that the state is now what the snapshot says. Before that the guard must
// not vouch for an entry that this server has not applied. It also notes where the Raft configuration
// stands in the log, which hashicorp/raft 1.8 tells nobody but the FSM and its snapshots.
type guardedFSM struct {
	*fsm.FSM
	guard       *logGuard
	configIndex *atomic.Uint64
	onStale     func(error)
	policy      *snapshotPolicy
	setTrailing func(uint64) error
	replica     *replicaGuard
}

// ApplyBatch implements raft.BatchingFSM.
func (f guardedFSM) ApplyBatch(logs []*raft.Log) []any {
	responses := f.FSM.ApplyBatch(logs)
	f.policy.applied(logs)
	for _, l := range logs {
		if l.Type == raft.LogConfiguration {
			f.configIndex.Store(l.Index)
		}
	}
	return responses
}

// Restore implements raft.FSM.
func (f guardedFSM) Restore(rc io.ReadCloser) error { return f.restore(rc, f.RestoreLocal) }

// Resume is Restore for a start whose databases were left behind.
func (f guardedFSM) Resume(rc io.ReadCloser) error { return f.restore(rc, f.ResumeLocal) }

func (f guardedFSM) restore(rc io.ReadCloser, into func(fsm.Local) error) error {
	snap := marked(rc)
	if snap == nil {
		return errors.New("a snapshot is to be restored that nobody opened") // a fault of ours, before any entry relies on it
	}
	if err := f.replica.mayRestore(snap.mark.index, f.guard); err != nil {
		return err
	}
	from := fsm.Local{Stream: rc}
	if s, ok := snap.ReadCloser.(*snapstore.Snapshot); ok {
		from = s.Local() // whose files the next snapshot can share
	}
	stood := f.AppliedIndex()
	if err := into(from); err != nil {
		return err
	}
	f.replica.restored(stood)
	if err := f.Store().NoteSnapshot(snap.id); err != nil {
		return err
	}
	f.policy.done(f.policy.moment())
	m := snap.mark
	f.guard.restored.Store(m)
	f.configIndex.Store(snap.configIndex)
	emptied, err := f.guard.emptyIfItEndsInConflict()
	if err == nil && emptied {
		// Raft remembers the entry and compares without asking the log; only a start makes it look again.
		f.onStale(fmt.Errorf("the raft log ended, at index %d, in an entry that was never committed and where a snapshot was just installed; it was removed: start this node again", m.index))
	}
	return err
}
