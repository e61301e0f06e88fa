package server

import (
	"bytes"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/structs"
)

func TestThreeServersBootstrapOnce(t *testing.T) {
	c := newCluster(t, 3, nil)
	leader := c.leader()
	mustPut(t, leader, "a", "1")
	for _, n := range c.nodes { // the third server may lag behind the majority
		eventually(t, "three voters on "+string(n.id), func() bool { return n.voters() == 3 })
	}
}

func TestServersWithDifferentExpectDoNotBootstrap(t *testing.T) {
	c := newCluster(t, 2, nil)
	c.leader()
	c.roster.set(structs.Member{ID: "odd", Name: "odd", Role: structs.RoleServer, Status: structs.MemberAlive, Datacenter: "dc1", Expect: 5})
	late := c.start("id9", "", 2)
	defer late.stop()
	if servers, why := late.candidates(); why == "" {
		t.Fatalf("candidates despite a member with another bootstrap_expect: %v", servers)
	}
}

func TestAServerPromisesItselfToOneClaimant(t *testing.T) {
	stable := raft.NewInmemStore()
	book := &claimBook{stable: stable}
	now := time.Now()
	if ok, _, err := book.grant("a", now); !ok {
		t.Fatalf("first claim refused: %v", err)
	}
	book = &claimBook{stable: stable} // the server restarts
	if ok, holder, err := book.grant("b", now.Add(claimLease-time.Millisecond)); ok || holder != "a" {
		t.Fatalf("second claimant: %v, holder %s, %v", ok, holder, err)
	}
	if ok, _, err := book.grant("b", now.Add(claimLease)); !ok {
		t.Fatalf("claim refused after the lease: %v", err)
	}
	if claimUse+claimTimeout >= claimLease {
		t.Fatal("a claimant could use promises that have run out")
	}
}

func TestLinearizableReadOnEveryServerSeesTheLastWrite(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.leader()
	for i := range 60 {
		writer, reader := c.nodes[i%3], c.nodes[(i+1)%3]
		mustPut(t, writer, "k", num(i))
		wantGet(t, reader, "k", num(i))
	}
}

func TestWritesAreForwardedOnceAndCoalesced(t *testing.T) {
	c := newCluster(t, 3, nil)
	before := c.leader().raft.LastIndex()
	const writers, each = 64, 20
	var wg sync.WaitGroup
	errs := make(chan error, writers)
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := settled(func() error { return put(c.nodes[w%3], "k"+num(w)+"/"+num(i), "v") }); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	leader := c.leader()
	entries := leader.raft.LastIndex() - before
	if entries >= writers*each {
		t.Errorf("%d writes took %d log entries: nothing was coalesced", writers*each, entries)
	}
	_, n := leader.store.KVCount(nil, structs.DefaultNamespace, "k")
	if n != writers*each {
		t.Errorf("%d keys, want %d", n, writers*each)
	}
}

func TestTwoWritesOfOneKeyNeverShareAnIndex(t *testing.T) {
	c := newCluster(t, 1, nil)
	leader := c.leader()
	var mu sync.Mutex
	seen := map[uint64]bool{}
	var wg sync.WaitGroup
	for w := range 32 {
		wg.Go(func() {
			var rep structs.KVReply
			req := &structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: "hot", Value: []byte(num(w))}}
			if err := leader.RPC(t.Context(), "KV.Apply", req, &rep); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if seen[rep.Index] {
				t.Errorf("index %d was given to two writes of one key", rep.Index)
			}
			seen[rep.Index] = true
		})
	}
	wg.Wait()
}

func TestLeaderLossElectsAnotherAndLosesNothing(t *testing.T) {
	c := newCluster(t, 3, nil)
	leader := c.leader()
	for i := range 50 {
		mustPut(t, leader, "k"+num(i), num(i))
	}
	c.roster.status(leader.id, structs.MemberFailed)
	leader.stop()
	c.drop(leader)
	next := c.leader()
	for i := range 50 {
		wantGet(t, next, "k"+num(i), num(i))
	}
	mustPut(t, next, "after", "yes")
}

func TestWriteWithoutQuorumIsNotAcknowledged(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) { cfg.HoldTimeout = time.Second })
	leader := c.leader()
	mustPut(t, leader, "a", "1")
	eventually(t, "the write to be applied", func() bool { // at once, unless leadership moved
		_, err := get(leader, "a", structs.QueryOptions{Consistency: structs.Stale})
		return err == nil
	})
	for _, n := range append([]*node{}, c.nodes...) {
		if n != leader {
			n.stop()
			c.drop(n)
		}
	}
	err := put(leader, "a", "2")
	if !errors.Is(err, structs.ErrNoLeader) && !errors.Is(err, structs.ErrUnknownResult) {
		t.Fatalf("write without quorum: %v", err)
	}
	if v, err := get(leader, "a", structs.QueryOptions{}); err == nil {
		t.Fatalf("linearizable read without quorum answered %q", v)
	}
	if v, err := get(leader, "a", structs.QueryOptions{Consistency: structs.Stale}); err != nil || v != "1" {
		t.Fatalf("stale read without quorum: %q, %v", v, err)
	}
}

func TestKeyExpiresAsACommittedCommand(t *testing.T) {
	c := newCluster(t, 3, nil)
	leader := c.leader()
	for key, ttl := range map[string]time.Duration{"long": time.Hour, "short": 300 * time.Millisecond} {
		req := &structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: key}, TTL: int64(ttl)}
		if err := settled(func() error { return leader.RPC(t.Context(), "KV.Apply", req, new(structs.KVReply)) }); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range c.nodes {
		wantGet(t, n, "long", "")
		eventually(t, "the key to expire on "+string(n.id), func() bool {
			_, err := get(n, "short", structs.QueryOptions{Consistency: structs.Stale})
			return errors.Is(err, structs.ErrNotFound)
		})
		wantGet(t, n, "long", "")
	}
}

func TestSnapshotSaveAndRestoreOverTheCluster(t *testing.T) {
	c := newCluster(t, 3, nil)
	leader := c.leader()
	mustPut(t, leader, "old", "1")
	var archive bytes.Buffer
	if err := settled(func() error {
		archive.Reset()
		return leader.Stream(t.Context(), "Snapshot.Save", &structs.SnapshotRequest{}, nil, &archive)
	}); err != nil {
		t.Fatal(err)
	}
	mustPut(t, leader, "old", "2")
	mustPut(t, leader, "new", "x")
	damaged := bytes.Clone(archive.Bytes())
	damaged[len(damaged)/2] ^= 0x10
	restore := func(archive []byte) error {
		return settled(func() error {
			return c.follower().Stream(t.Context(), "Snapshot.Restore", &structs.SnapshotRequest{}, bytes.NewReader(archive), new(bytes.Buffer))
		})
	}
	if err := restore(damaged); !errors.Is(err, structs.ErrInvalid) {
		t.Fatalf("damaged archive: %v", err)
	}
	wantGet(t, leader, "old", "2")
	if err := restore(archive.Bytes()); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.nodes {
		wantGet(t, n, "old", "1")
		if _, err := settledGet(n, "new"); !errors.Is(err, structs.ErrNotFound) {
			t.Fatalf("%s still has what came after the snapshot: %v", n.id, err)
		}
	}
}

func TestANewServerIsStabilisedAndADeadOneRemoved(t *testing.T) {
	c := newCluster(t, 3, nil)
	leader := c.leader()
	fourth := c.start("id3", "", 0)
	c.nodes = append(c.nodes, fourth)
	c.changed()
	eventually(t, "the new server to vote", func() bool { return leader.voters() == 4 })
	var dead *node
	for _, n := range c.nodes {
		if n != leader && n != fourth {
			dead = n
		}
	}
	dead.stop()
	c.drop(dead)
	c.roster.status(dead.id, structs.MemberFailed)
	eventually(t, "the dead server to be removed", func() bool { return leader.voters() == 3 })
}

func TestTheRaftConfigurationHasItsIndex(t *testing.T) {
	dir := t.TempDir()
	c := newCluster(t, 0, nil)
	leader := c.join("id0", dir, 1)
	index := func(n *node) uint64 {
		t.Helper()
		var rep structs.RaftConfigReply
		if err := n.RPC(t.Context(), "Operator.RaftConfiguration", &structs.QueryRequest{QueryOptions: structs.QueryOptions{Consistency: structs.Stale}}, &rep); err != nil {
			t.Fatal(err)
		}
		if rep.Index != rep.ConfigIndex {
			t.Errorf("the reply's index is %d, the configuration's %d", rep.Index, rep.ConfigIndex)
		}
		return rep.ConfigIndex
	}
	c.leader()
	if got := index(leader); got != 1 { // the bootstrap entry
		t.Fatalf("after bootstrap: %d", got)
	}
	mustPut(t, leader, "a", "1")
	second := c.join("id1", "", 0)
	eventually(t, "the second server to vote", func() bool { return leader.voters() == 2 })
	eventually(t, "both to stand at one index", func() bool { return index(leader) > 1 && index(leader) == index(second) })
	removed, err := leader.Raft().RemovePeer(t.Context(), second.id, "")
	if err != nil || index(leader) != removed {
		t.Fatalf("removed at %d, %v; the configuration stands at %d", removed, err, index(leader))
	}
	c.roster.status(second.id, structs.MemberLeft) // or the leader would add it again
	mustPut(t, leader, "a", "2")
	_, rc, err := leader.takeSnapshot() // after a start, the entry is before what is applied
	if err != nil {
		t.Fatal(err)
	}
	rc.Close()
	leader.stop()
	c.drop(leader)
	again := c.join("id0", dir, 1)
	if c.leader() != again || index(again) != removed {
		t.Fatalf("after a restart it stands at %d, want %d", index(again), removed)
	}
}

// TestWithoutALeaderARequestWaitsForTheHoldTimeOnce: several layers look for a leader.
func TestWithoutALeaderARequestWaitsForTheHoldTimeOnce(t *testing.T) {
	const hold = 10 * time.Second // long, so that a slow machine does not look like a second wait
	c := newCluster(t, 0, func(cfg *Config) { cfg.HoldTimeout = hold })
	n := c.join("id0", "", 3)
	var wg sync.WaitGroup
	for i := range 16 { // which layer gives up first is a matter of luck
		wg.Go(func() {
			began := time.Now()
			err := put(n, "k"+num(i), "v")
			if took := time.Since(began); !errors.Is(err, structs.ErrNoLeader) || took < hold/2 || took >= hold*19/10 {
				t.Errorf("%v after %s", err, took)
			}
		})
	}
	wg.Wait()
}
