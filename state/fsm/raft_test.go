package fsm

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

const raftWait = time.Minute

// node is one Raft server over in-memory stores that outlive it.
type node struct {
	*raft.Raft
	fsm   *FSM
	log   *raft.InmemStore
	snaps raft.SnapshotStore
}

func startRaft(t *testing.T, log *raft.InmemStore, snaps raft.SnapshotStore) *node {
	t.Helper()
	addr, trans := raft.NewInmemTransport("")
	c := raft.DefaultConfig()
	c.LocalID = "one"
	c.Logger = hclog.NewNullLogger()
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	c.CommitTimeout, c.BatchApplyCh, c.TrailingLogs = time.Millisecond, true, 3
	n := &node{fsm: New(state.New(), nil), log: log, snaps: snaps}
	if has, err := raft.HasExistingState(log, log, snaps); err != nil {
		t.Fatal(err)
	} else if !has {
		if err := raft.BootstrapCluster(c, log, log, snaps, trans, raft.Configuration{
			Servers: []raft.Server{{ID: c.LocalID, Address: addr}}}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := raft.NewRaft(c, n.fsm, log, log, snaps, trans)
	if err != nil {
		t.Fatal(err)
	}
	n.Raft = r
	t.Cleanup(func() { n.stop(t) })
	select {
	case <-r.LeaderCh():
	case <-time.After(raftWait):
		t.Fatal("no leader")
	}
	return n
}

func (n *node) stop(t *testing.T) {
	t.Helper()
	if err := n.Shutdown().Error(); err != nil {
		t.Error(err)
	}
}

// put commits one entry and returns its index.
func (n *node) put(t *testing.T, key, value string) uint64 {
	t.Helper()
	data := encodeEntry(t, &structs.Entry{Time: time.Now().UnixNano(), Commands: []structs.Command{set(t, key, value)}})
	future := n.Apply(data, raftWait)
	if err := future.Error(); err != nil {
		t.Fatal(err)
	}
	rs, ok := future.Response().([]structs.CommandResult)
	if !ok || len(rs) != 1 || rs[0].Err != nil {
		t.Fatalf("response %+v", future.Response())
	}
	if reply, ok := rs[0].Reply.(*structs.KVReply); !ok || reply.Index != future.Index() {
		t.Fatalf("reply %+v to entry %d", rs[0].Reply, future.Index())
	}
	return future.Index()
}

func (n *node) get(key string) string {
	_, e := n.fsm.Store().KVGet(nil, structs.DefaultNamespace, key)
	if e == nil {
		return ""
	}
	return string(e.Value)
}

func newRaft(t *testing.T) *node {
	t.Helper()
	return startRaft(t, raft.NewInmemStore(), raft.NewInmemSnapshotStore())
}

func TestUnderRaftConfigurationsCountAsApplied(t *testing.T) {
	n := newRaft(t)
	if err := n.AddNonvoter("two", "nowhere", 0, raftWait).Error(); err != nil {
		t.Fatal(err)
	}
	if err := n.fsm.WaitApplied(t.Context(), n.put(t, "a", "1")); err != nil {
		t.Fatal(err)
	}
	if err := n.RemoveServer("two", 0, raftWait).Error(); err != nil {
		t.Fatal(err)
	}
	if err := n.Barrier(raftWait).Error(); err != nil {
		t.Fatal(err)
	}
	if got, want := n.fsm.AppliedIndex(), n.LastIndex()-1; got != want { // the barrier is the last
		t.Fatalf("applied %d, the configuration is at %d", got, want)
	}
}

func TestUnderRaftRestartGoesOnFromSnapshotAndLog(t *testing.T) {
	n := newRaft(t)
	for i := range 20 {
		n.put(t, fmt.Sprint("key-", i%7), fmt.Sprint(i))
	}
	if err := n.Raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	last := n.put(t, "after", "x")
	want := stream(t, n.fsm)
	n.stop(t)

	m := startRaft(t, n.log, n.snaps)
	if err := m.fsm.WaitApplied(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	if err := m.Barrier(raftWait).Error(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(stream(t, m.fsm), want) {
		t.Fatal("the state differs after a restart")
	}
}

// A user's restore brings an older index into a log that goes on: what follows must still be applied.
func TestUnderRaftRestoreOfOlderStateGoesOn(t *testing.T) {
	n := newRaft(t)
	n.put(t, "a", "old")
	if err := n.Raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	meta, data := latest(t, n)
	n.put(t, "a", "new")
	before := n.put(t, "b", "new")
	abandoned := n.fsm.Store().AbandonCh()

	if err := n.Raft.Restore(meta, bytes.NewReader(data), raftWait); err != nil {
		t.Fatal(err)
	}
	select {
	case <-abandoned:
	default:
		t.Error("watches of the old state sleep on")
	}
	if n.get("a") != "old" || n.get("b") != "" {
		t.Fatalf("a=%q b=%q after the restore", n.get("a"), n.get("b"))
	}
	after := n.put(t, "b", "again")
	if after <= before || n.fsm.AppliedIndex() < after || n.get("b") != "again" {
		t.Fatalf("entry %d after %d: applied %d, b=%q", after, before, n.fsm.AppliedIndex(), n.get("b"))
	}
	if meta, _ := latest(t, n); meta.Index <= before {
		t.Fatalf("the restored snapshot is at %d", meta.Index)
	}
}

func latest(t *testing.T, n *node) (*raft.SnapshotMeta, []byte) {
	t.Helper()
	list, err := n.snaps.List()
	if err != nil || len(list) == 0 {
		t.Fatalf("%d snapshots, %v", len(list), err)
	}
	meta, r, err := n.snaps.Open(list[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := Verify(bytes.NewReader(data)); err != nil || s.Index > meta.Index {
		t.Fatalf("summary %+v in a snapshot at %d, %v", s, meta.Index, err)
	}
	return meta, data
}
