package server

import (
	"errors"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/metrics"
)

// guarded is a real log with entries 1 to last, all of the given term, under a guard.
func guarded(t *testing.T, b LogBackend, last, term uint64) *logGuard {
	t.Helper()
	cfg := &Config{LogBackend: b, SegmentSizeBytes: 1 << 20}
	l, err := openLogStore(t.TempDir(), cfg, hclog.NewNullLogger(), &metrics.NoOpCollector{}, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	cache, err := raft.NewLogCache(8, l)
	if err != nil {
		t.Fatal(err)
	}
	g := &logGuard{LogStore: cache}
	store(t, g, 1, last, term)
	return g
}

func store(t *testing.T, g *logGuard, first, last, term uint64) {
	t.Helper()
	var logs []*raft.Log
	for i := first; i <= last; i++ {
		logs = append(logs, &raft.Log{Index: i, Term: term, Data: []byte("x")})
	}
	if err := g.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
}

func wantTerm(t *testing.T, g *logGuard, index, term uint64) {
	t.Helper()
	var l raft.Log
	err := g.GetLog(index, &l)
	if term == 0 {
		if !errors.Is(err, raft.ErrLogNotFound) {
			t.Fatalf("entry %d: term %d, %v; want none", index, l.Term, err)
		}
		return
	}
	if err != nil || l.Term != term || l.Index != index {
		t.Fatalf("entry %d: %+v, %v; want term %d", index, l, err, term)
	}
}

func TestGuardVouchesForTheRestoredSnapshotOnly(t *testing.T) {
	eachBackend(t, func(t *testing.T, b LogBackend) {
		g := guarded(t, b, 20, 2)
		wantTerm(t, g, 10, 2)
		g.restored.Store(&logMark{10, 3})
		wantTerm(t, g, 9, 2)
		wantTerm(t, g, 10, 3)
		wantTerm(t, g, 11, 2)
		// What Raft does: it finds that 11 differs, deletes from there, and appends.
		if err := g.DeleteRange(11, 20); err != nil {
			t.Fatal(err)
		}
		store(t, g, 11, 15, 3)
		wantTerm(t, g, 10, 0) // nobody may be sent the entry that was never committed
		wantTerm(t, g, 11, 3)
		wantTerm(t, g, 15, 3)
	})
}

func TestGuardKeepsTheSnapshotsEntryWhileOthersFollow(t *testing.T) {
	eachBackend(t, func(t *testing.T, b LogBackend) {
		g := guarded(t, b, 20, 2)
		g.restored.Store(&logMark{10, 2})
		if err := g.DeleteRange(1, 10); err != nil {
			t.Fatal(err)
		}
		wantTerm(t, g, 10, 2)
		if first, _ := g.FirstIndex(); first != 10 {
			t.Fatalf("the log begins at %d", first)
		}
		if err := g.DeleteRange(10, 20); err != nil {
			t.Fatal(err)
		}
		wantTerm(t, g, 10, 0)
	})
}

func TestGuardLeavesNoGap(t *testing.T) {
	eachBackend(t, func(t *testing.T, b LogBackend) {
		g := guarded(t, b, 20, 2)
		g.restored.Store(&logMark{100, 3})
		store(t, g, 101, 105, 3)
		if first, _ := g.FirstIndex(); first != 101 {
			t.Fatalf("the log begins at %d", first)
		}
		wantTerm(t, g, 20, 0)
	})
}

func TestGuardEmptiesALogThatEndsInTheConflict(t *testing.T) {
	eachBackend(t, func(t *testing.T, b LogBackend) {
		g := guarded(t, b, 10, 2)
		g.restored.Store(&logMark{10, 2})
		if emptied, err := g.emptyIfItEndsInConflict(); emptied || err != nil {
			t.Fatalf("a log that agrees was emptied: %v, %v", emptied, err)
		}
		g.restored.Store(&logMark{10, 3})
		if emptied, err := g.emptyIfItEndsInConflict(); !emptied || err != nil {
			t.Fatalf("a log that ends in the conflict: %v, %v", emptied, err)
		}
		if last, _ := g.LastIndex(); last != 0 {
			t.Fatalf("the log still ends at %d", last)
		}
	})
}
