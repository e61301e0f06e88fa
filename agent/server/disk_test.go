package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/metrics"

	"github.com/debros/debros/state/fsm"
	"github.com/debros/debros/structs"
)

var backends = []LogBackend{LogWAL, LogBoltDB}

// eachBackend runs a test with both log stores.
func eachBackend(t *testing.T, f func(t *testing.T, b LogBackend)) {
	for _, b := range backends {
		t.Run(string(b), func(t *testing.T) { f(t, b) })
	}
}

// diskCluster runs servers that keep their log in directories of the test.
func diskCluster(t *testing.T, servers int, adjust func(*Config)) *cluster {
	t.Helper()
	var dirs []string // they go after the servers have stopped
	for range servers {
		dirs = append(dirs, t.TempDir())
	}
	c := &cluster{t: t, roster: &roster{members: map[structs.NodeID]structs.Member{}}, adjust: adjust}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			n.stop()
		}
	})
	for i := range servers {
		c.nodes = append(c.nodes, c.start(structs.NodeID(fmt.Sprintf("id%d", i)), dirs[i], servers))
	}
	c.changed()
	return c
}

// kill stops a server as a crash does, as far as the others can tell.
func (c *cluster) kill(n *node) {
	n.KeepLeadership()
	n.stop()
	c.roster.status(n.id, structs.MemberFailed)
	c.drop(n)
}

// back starts a stopped server again on its directory, at its address if that is free: hashicorp/raft 1.8 has a data race
// where a server's address changes while something is sent to it.
func (c *cluster) back(n *node) *node {
	c.t.Helper()
	again := c.startAt(n.cfg.Address, n.id, n.dir, 0)
	c.nodes = append(c.nodes, again)
	c.changed()
	return again
}

func TestAllServersComeBackFromDisk(t *testing.T) {
	eachBackend(t, func(t *testing.T, b LogBackend) {
		c := diskCluster(t, 3, func(cfg *Config) { cfg.LogBackend = b })
		acked := newLedger()
		stop := acked.write(c.nodes)
		eventually(t, "200 writes", func() bool { return acked.len() >= 200 })
		if err := c.leader().raft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "400 writes", func() bool { return acked.len() >= 400 })
		all := append([]*node{}, c.nodes...)
		for _, n := range all { // in the middle of the writes
			c.kill(n)
		}
		stop()
		for _, n := range all {
			c.back(n)
		}
		acked.check(t, c.leader())
	})
}

func TestALogOfTheOtherBackendIsRefused(t *testing.T) {
	c := diskCluster(t, 1, func(cfg *Config) { cfg.LogBackend = LogWAL })
	n := c.leader()
	c.kill(n)
	cfg := n.cfg
	cfg.LogBackend = LogBoltDB
	s, err := New(cfg, n.pool)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(n.trans.RaftLayer(nil, nil), c.roster); err == nil || !strings.Contains(err.Error(), `"wal"`) {
		s.Close()
		t.Fatalf("a log of raft-wal was opened as BoltDB: %v", err)
	}
}

// TestFollowerWithConflictingEntriesTakesSnapshot is hashicorp/raft issue 697: a follower whose log
// has entries that were never committed, at indexes which the leader has compacted since, must take
// the leader's snapshot and go on from there. Without logGuard it rejects what follows the snapshot and
// is sent the snapshot for ever, whether the log store is said to be monotonic or not.
func TestFollowerWithConflictingEntriesTakesSnapshot(t *testing.T) {
	eachBackend(t, func(t *testing.T, b LogBackend) {
		const conflicting = 400
		trailing := uint64(1) // what the later leader keeps behind its snapshot
		c := diskCluster(t, 3, func(cfg *Config) {
			cfg.LogBackend, cfg.TrailingLogs = b, trailing
			cfg.Autopilot.CleanupDeadServers = false // it would be a new server, without a log
		})
		var odd *node
		var last uint64
		eventually(t, "a leader that is stopped while it leads", func() (ok bool) {
			odd = c.leader()
			mustPut(t, odd, "k", "1")
			term := odd.leadingTerm.Load()
			c.kill(odd)
			if last, ok = appendUncommitted(t, odd, term, conflicting); !ok {
				c.back(odd)
			}
			return ok
		})
		others := append([]*node{}, c.nodes...)
		for _, n := range others {
			c.kill(n)
		}
		for _, n := range others {
			c.back(n)
		}
		leader := c.leader()
		large := strings.Repeat("x", 200<<10) // raft-wal deletes whole segments only, here of 1 MiB
		for range 20 {
			mustPut(t, leader, "k", large)
		}
		for _, n := range c.nodes { // both: whoever leads then must send a snapshot
			eventually(t, "all to be applied", func() bool { return n.fsm.AppliedIndex() >= leader.raft.LastIndex() })
			if err := n.raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
		}
		// A new leader has prepared nothing for the follower from the entries that are gone.
		eventually(t, "another leader", func() bool { return c.leader().raft.LeadershipTransfer().Error() == nil })
		leader = c.leader()
		first, _ := leader.logs.FirstIndex()
		if first <= last || leader.raft.LastIndex() >= last+conflicting {
			t.Fatalf("the leader's log runs from %d to %d: it must begin after %d and end before %d for this test",
				first, leader.raft.LastIndex(), last, last+conflicting)
		}
		trailing = 10240
		again := c.back(odd)
		mustPut(t, leader, "k", "last")
		index := leader.raft.CommitIndex()
		eventually(t, "the follower to catch up", func() bool { return again.fsm.AppliedIndex() >= index })
		if stats := again.raft.Stats(); stats["last_snapshot_index"] == "0" {
			t.Fatal("the follower was sent no snapshot: this test shows nothing")
		}
		wantGet(t, again, "k", "last")
		if v, err := get(again, "lost", structs.QueryOptions{Consistency: structs.Stale}); !errors.Is(err, structs.ErrNotFound) {
			t.Fatalf("an entry that was never committed was applied: %q, %v", v, err)
		}
		mustPut(t, again, "k", "and on")
		if n := again.raft.LastIndex(); n >= last+conflicting {
			t.Fatalf("the log still ends at %d", n)
		}
	})
}

// appendUncommitted leaves a stopped leader's log as if it had crashed before the entries reached
// anybody: only the leader of a term makes entries of it, so these conflict with no others of their
// term. It returns the index before them; false when the server had lost its office.
func appendUncommitted(t *testing.T, n *node, term uint64, count int) (last uint64, ok bool) {
	t.Helper()
	logs, err := openLogStore(filepath.Join(n.dir, "raft"), &n.cfg, hclog.NewNullLogger(), &metrics.NoOpCollector{}, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	last, err = logs.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	var newest raft.Log
	if err := logs.GetLog(last, &newest); err != nil {
		t.Fatal(err)
	}
	if newest.Term != term {
		return 0, false
	}
	entries := make([]*raft.Log, count)
	for i := range entries {
		entries[i] = &raft.Log{Index: last + 1 + uint64(i), Term: term, Type: raft.LogCommand, Data: entryThatPuts(t, "lost", num(i))}
	}
	if err := logs.StoreLogs(entries); err != nil {
		t.Fatal(err)
	}
	return last, true
}

func entryThatPuts(t *testing.T, key, value string) []byte {
	t.Helper()
	body, err := structs.Encode(&structs.KVRequest{
		WriteOptions: structs.WriteOptions{Namespace: structs.DefaultNamespace},
		Op:           structs.KVSet, KV: structs.KVPair{Key: key, Value: []byte(value)},
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := fsm.EncodeEntry(&structs.Entry{Time: time.Now().UnixNano(), Commands: []structs.Command{{Type: structs.CommandKV, Body: body}}})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRecoverAfterTwoOfThreeServersAreLost(t *testing.T) {
	eachBackend(t, func(t *testing.T, b LogBackend) {
		c := diskCluster(t, 3, func(cfg *Config) { cfg.LogBackend, cfg.HoldTimeout = b, time.Second })
		acked := newLedger()
		stop := acked.write(c.nodes)
		eventually(t, "100 writes", func() bool { return acked.len() >= 100 })
		stop()
		left := c.follower()
		index := c.leader().raft.CommitIndex()
		eventually(t, "the survivor to have it all", func() bool { return left.raft.LastIndex() >= index })
		for _, n := range append([]*node{}, c.nodes...) {
			c.kill(n)
		}
		// Started as it is, the survivor can do nothing.
		alone := c.back(left)
		if err := put(alone, "k", "v"); err == nil {
			t.Fatal("one of three servers acknowledged a write")
		}
		c.kill(alone)
		cfg := alone.cfg
		if err := Recover(cfg, []RecoverPeer{{ID: left.id, Address: cfg.Address, Voter: true}}); err != nil {
			t.Fatal(err)
		}
		again := c.back(left)
		acked.check(t, again)
		mustPut(t, again, "after", "recovery")
		if n := again.voters(); n != 1 {
			t.Fatalf("%d voters after recovery", n)
		}
	})
}

// fullDisk fails every write to the log once it is full.
type fullDisk struct {
	backend
	full *atomic.Bool
}

func (d fullDisk) StoreLogs(logs []*raft.Log) error {
	if d.full.Load() {
		return &os.PathError{Op: "write", Path: "log", Err: syscall.ENOSPC}
	}
	return d.backend.StoreLogs(logs)
}

func TestAFullDiskStopsTheLeaderAndLosesNothing(t *testing.T) {
	eachBackend(t, func(t *testing.T, b LogBackend) {
		full := map[structs.NodeID]*atomic.Bool{}
		c := diskCluster(t, 3, func(cfg *Config) {
			cfg.LogBackend = b
			flag := new(atomic.Bool)
			full[cfg.NodeID] = flag
			cfg.wrapLog = func(below backend) backend { return fullDisk{below, flag} }
		})
		leader := c.leader()
		acked := newLedger()
		stop := acked.write(c.nodes)
		defer stop()
		eventually(t, "100 writes", func() bool { return acked.len() >= 100 })
		full[leader.id].Store(true)
		select {
		case err := <-leader.Fatal():
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("the node stops because of %v", err)
			}
		case <-time.After(patience):
			t.Fatal("the node with the full disk goes on")
		}
		c.kill(leader) // what the agent does
		before := acked.len()
		eventually(t, "the others to go on", func() bool { return acked.len() >= before+50 })
		stop()
		again := c.back(leader)
		index := c.leader().raft.CommitIndex()
		eventually(t, "the node to catch up when it has room", func() bool { return again.fsm.AppliedIndex() >= index })
		acked.check(t, again)
	})
}

// ledger knows what was acknowledged.
type ledger struct {
	// mu protects the following.
	mu    sync.Mutex
	acked []string
}

func newLedger() *ledger { return &ledger{} }

func (l *ledger) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// writersPerNode make a slow disk's hundred writes a matter of seconds: they share its fsyncs.
const writersPerNode = 4

// write puts a key after the other through all nodes until stop, which may be called twice. A write
// that fails is not in the ledger.
func (l *ledger) write(nodes []*node) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for w := range writersPerNode * len(nodes) {
		n := nodes[w%len(nodes)]
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				key := fmt.Sprintf("ledger/%d/%d", w, i)
				if put(n, key, key) != nil {
					time.Sleep(5 * time.Millisecond) // the node may be down
					continue
				}
				l.mu.Lock()
				l.acked = append(l.acked, key)
				l.mu.Unlock()
			}
		})
	}
	return sync.OnceFunc(func() { close(done); wg.Wait() })
}

// check reads every acknowledged key back.
func (l *ledger) check(t *testing.T, n *node) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range l.acked {
		if got, err := settledGet(n, key); err != nil || got != key {
			t.Fatalf("%s was acknowledged (one of %d) and is %q on %s: %v", key, len(l.acked), got, n.id, err)
		}
	}
}
