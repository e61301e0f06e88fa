package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/structs"
)

// nobody is whose state a server may take that is to stay in quarantine until the test is done with it: the leader does not
// give its own to it, and compares again instead.
func nobody(c *cluster) structs.Quarantine {
	return structs.Quarantine{Index: c.leader().store.Index(), Reason: "the test said so", Since: time.Now()}
}

// TestAServerInQuarantineAnswersNothing of its state, however it is asked, and goes on with writes.
func TestAServerInQuarantineAnswersNothing(t *testing.T) {
	c := rottingCluster(t, nil)
	bad := c.follower()
	mustPut(t, bad, "k", "v")
	for _, n := range c.nodes { // nobody gives it a state while the test looks
		n.reinstalling.Lock()
		defer n.reinstalling.Unlock()
	}
	blocked := make(chan error, 1)
	var watched structs.KVGetReply
	if err := bad.RPC(t.Context(), "KV.Get", &structs.KeyRequest{Key: "k"}, &watched); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := get(bad, "k", structs.QueryOptions{Index: watched.Index, Wait: patience})
		blocked <- err
	}()
	if err := bad.condemn(structs.Quarantine{Index: 1, Reason: "the test said so", Right: []structs.NodeID{c.leader().id}}); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, err error) {
		t.Helper()
		var e *structs.Error
		if !errors.As(err, &e) || e.Kind != structs.KindUnavailable || !strings.Contains(e.Message, "the test said so") || e.Hint == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, o := range []structs.QueryOptions{{}, {Consistency: structs.Stale}, {MinIndex: 1}} {
		_, err := get(bad, "k", o)
		refused(fmt.Sprintf("a read with %+v", o), err)
		refused("a query", bad.Stream(t.Context(), "SQL.Query", &structs.SQLQueryRequest{QueryOptions: o, SQLStatement: structs.SQLStatement{SQL: "select 1"}}, nil, new(bytes.Buffer)))
		refused("a backup", bad.Stream(t.Context(), "Snapshot.Save", &structs.SnapshotRequest{QueryOptions: o}, nil, new(bytes.Buffer)))
	}
	if _, err := get(bad, "k", structs.QueryOptions{Consistency: structs.Leader}); err != nil {
		t.Errorf("a read of the leader's: %v", err)
	}
	mustPut(t, bad, "k", "w") // and wakes the watcher
	select {
	case err := <-blocked:
		refused("a read that had begun to wait", err)
	case <-time.After(patience):
		t.Error("a read waits for ever")
	}
	if err := bad.raft.Snapshot().Error(); err == nil {
		t.Error("a snapshot was taken of a state that is wrong")
	}
	peers, err := c.leader().Raft().Configuration(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range peers.Servers {
		if (p.Quarantine != "") != (p.ID == bad.id) {
			t.Errorf("list-peers: %+v", p)
		}
	}
	eventually(t, "autopilot to call it unhealthy", func() bool {
		h, err := c.leader().Raft().AutopilotHealth(t.Context())
		if err != nil {
			return false
		}
		for _, s := range h.Servers {
			if s.ID == bad.id {
				return !s.Healthy
			}
		}
		return false
	})
}

// TestAServerInQuarantineDoesNotLead even when it is elected.
func TestAServerInQuarantineDoesNotLead(t *testing.T) {
	c := rottingCluster(t, nil)
	leader, bad := c.leader(), c.follower()
	for _, n := range c.nodes {
		n.reinstalling.Lock()
		defer n.reinstalling.Unlock()
	}
	if err := bad.condemn(nobody(c)); err != nil {
		t.Fatal(err)
	}
	if err := waitFuture(leader.raft.LeadershipTransferToServer(raft.ServerID(bad.id), raft.ServerAddress(bad.cfg.Address)), patience); err != nil {
		t.Logf("hand leadership to the server in quarantine: %v", err) // it may be handed back before this is over
	}
	eventually(t, "another leader", func() bool {
		if bad.IsLeader() {
			t.Fatal("a server in quarantine leads")
		}
		return c.leader() != bad && bad.raft.State() != raft.Leader
	})
	mustPut(t, bad, "k", "w")
}

// TestADifferenceInMemoryIsFoundAndHealed: a pair, a session, anything that is in no database.
func TestADifferenceInMemoryIsFoundAndHealed(t *testing.T) {
	c := newCluster(t, 3, nil) // in memory, too
	mustPut(t, c.leader(), "k", "right")
	c.level()
	bad := c.follower()
	tx := bad.store.Begin(structs.Stamp{Index: bad.store.Index(), Time: bad.store.Time()})
	if _, refusal := tx.KV(&structs.KVRequest{WriteOptions: structs.WriteOptions{Namespace: structs.DefaultNamespace}, Op: structs.KVSet, KV: structs.KVPair{Key: "k", Value: []byte("wrong")}}); refusal != nil {
		t.Fatal(refusal)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if v, err := get(bad, "k", structs.QueryOptions{Consistency: structs.Stale}); err != nil || v != "wrong" {
		t.Fatalf("before: %q, %v", v, err)
	}
	r := c.verify()
	if r.Outcome != structs.VerifyDifferent || verdicts(r)[bad.id] != structs.VerdictDifferent || r.Differences[0].Part != "table kv" {
		t.Fatalf("%s, %v, %+v", r.Outcome, verdicts(r), r.Differences)
	}
	eventually(t, "the right value", func() bool {
		v, err := get(bad, "k", structs.QueryOptions{Consistency: structs.Stale})
		return err == nil && v == "right"
	})
	c.agree()
}

// TestAPageThatCannotBeReadIsHealed, also where there is no majority: of two servers one can be read.
func TestAPageThatCannotBeReadIsHealed(t *testing.T) {
	c := diskCluster(t, 2, nil)
	sqlSettled(t, c.leader(), "create table t(a)", fmt.Sprintf("insert into t values('%s')", rotten))
	c.level()
	bad := c.follower()
	good := sqlText(t, bad, rottingRows)
	ruin(t, bad.dir)
	r := c.verify()
	if r.Outcome != structs.VerifyDifferent || verdicts(r)[bad.id] != structs.VerdictDamaged {
		t.Fatalf("%s, %v", r.Outcome, verdicts(r))
	}
	eventually(t, "the rows", func() bool { return !bad.quarantined() && sqlText(t, bad, rottingRows) == good })
	sqlSettled(t, bad, "insert into t values('after')")
	c.agree()
}

// ruin makes the pages of the rotten value pages of no kind.
func ruin(t *testing.T, dir string) {
	t.Helper()
	const page = 4096
	change(t, dir, func(data []byte, at int, log bool) {
		begin := at / page * page
		if log {
			begin = 32 + 24 + (at-32)/(page+24)*(page+24)
		}
		data[begin] = 77
	})
}

// TestTwoServersThatDifferWaitForAnOperator: nobody knows which of them is right.
func TestTwoServersThatDifferWaitForAnOperator(t *testing.T) {
	c := diskCluster(t, 2, nil)
	sqlSettled(t, c.leader(), "create table t(a)", fmt.Sprintf("insert into t values('%s')", rotten))
	c.level()
	leader, bad := c.leader(), c.follower()
	good := sqlText(t, bad, rottingRows)
	rot(t, bad.dir)
	r := c.verify()
	if r.Outcome != structs.VerifyUndecided || len(r.Differences) != 1 || r.Differences[0].Right != "" {
		t.Fatalf("%s, %v, %+v", r.Outcome, verdicts(r), r.Differences)
	}
	if bad.quarantined() || leader.quarantined() {
		t.Fatal("a server is in quarantine although nobody knows which is wrong")
	}
	reinstall := func(id structs.NodeID) error {
		return bad.RPC(t.Context(), "Operator.Verify", &structs.VerifyRequest{Reinstall: id}, new(structs.VerifyReply))
	}
	if err := reinstall(leader.id); !errors.Is(err, structs.ErrInvalid) {
		t.Errorf("the leader takes its own state: %v", err)
	}
	if err := reinstall("unknown"); !errors.Is(err, structs.ErrNotFound) {
		t.Errorf("a server that is none: %v", err)
	}
	if err := settled(func() error { return reinstall(bad.id) }); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the rows", func() bool { return !bad.quarantined() && sqlText(t, bad, rottingRows) == good })
	c.agree()
}

// TestAQuarantineOutlivesACrash: the file is written first and removed last, so a crash at any step in between leaves a
// server that answers nothing until it has another's state. Its own files and snapshots are not asked.
func TestAQuarantineOutlivesACrash(t *testing.T) {
	for _, c := range []struct {
		name  string
		crash func(t *testing.T, c *cluster, bad *node)
	}{
		{"before a state was asked for", func(t *testing.T, c *cluster, bad *node) {
			for _, n := range c.nodes {
				n.reinstalling.Lock()
				defer n.reinstalling.Unlock()
			}
			rot(t, bad.dir)
			c.verify()
			eventually(t, "the quarantine", bad.quarantined)
			c.kill(bad)
		}},
		{"after the state was installed", func(t *testing.T, c *cluster, bad *node) {
			rot(t, bad.dir)
			c.verify()
			eventually(t, "the server to be healed", func() bool { return !isRotten(t, bad.dir) && !bad.quarantined() })
			c.kill(bad)
			kept := quarantine{file: filepath.Join(bad.dir, quarantineFile), began: make(chan struct{})}
			if _, err := kept.begin(structs.Quarantine{Index: 1, Reason: "it was wrong", Right: []structs.NodeID{c.leader().id}}); err != nil {
				t.Fatal(err)
			}
		}},
		{"with a snapshot of the wrong state on the disk", func(t *testing.T, c *cluster, bad *node) {
			for _, n := range c.nodes {
				n.reinstalling.Lock()
				defer n.reinstalling.Unlock()
			}
			rot(t, bad.dir)
			if err := bad.raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
			c.verify()
			eventually(t, "the quarantine", bad.quarantined)
			c.kill(bad)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := rottingCluster(t, func(cfg *Config) { cfg.TrailingLogs = 1 })
			bad := cl.follower()
			good := sqlText(t, bad, rottingRows)
			acked := newLedger()
			stop := acked.write(cl.nodes)
			defer stop()
			eventually(t, "some writes", func() bool { return acked.len() > 20 })
			c.crash(t, cl, bad)
			again := cl.back(bad)
			if _, err := get(again, "k", structs.QueryOptions{Consistency: structs.Stale}); err == nil && again.quarantined() {
				t.Error("it answers although it is in quarantine")
			}
			eventually(t, "the rows", func() bool { return !again.quarantined() && sqlText(t, again, rottingRows) == good })
			stop()
			cl.level()
			acked.check(t, again)
			cl.kill(again)
			again = cl.back(again)
			eventually(t, "the rows after one more start", func() bool { return sqlText(t, again, rottingRows) == good })
			acked.check(t, again)
			cl.agree()
		})
	}
}

// TestAnInstalledSnapshotIsBelievedAfterACrash that came before the state was replaced: the right snapshot is complete on the disk, and
// the files beside it are the wrong ones still, of this boot and with a history of their own.
func TestAnInstalledSnapshotIsBelievedAfterACrash(t *testing.T) {
	c := rottingCluster(t, nil)
	leader, bad := c.leader(), c.follower()
	good := sqlText(t, bad, rottingRows)
	mustPut(t, leader, "k", "w")
	meta, rc, err := leader.takeSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	c.level()
	rot(t, bad.dir)
	c.kill(bad)
	store, err := raft.NewFileSnapshotStore(filepath.Join(bad.dir, "raft"), snapshotsKept, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	sink, err := store.Create(meta.Version, meta.Index, meta.Term, meta.Configuration, meta.ConfigurationIndex, leader.Server.trans)
	if err == nil {
		_, err = io.Copy(sink, rc)
	}
	if err == nil {
		err = sink.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	again := c.back(bad)
	eventually(t, "the rows", func() bool { return sqlText(t, again, rottingRows) == good })
	c.agree()
}

// TestAConfigurationBehindTheSnapshotIsNotForgotten: Raft would take the configuration of the snapshot for the newest one.
func TestAConfigurationBehindTheSnapshotIsNotForgotten(t *testing.T) {
	logs := raft.NewInmemStore()
	for i, kind := range []raft.LogType{raft.LogCommand, raft.LogConfiguration, raft.LogCommand, raft.LogConfiguration, raft.LogCommand} {
		if err := logs.StoreLog(&raft.Log{Index: uint64(i + 1), Term: 1, Type: kind}); err != nil {
			t.Fatal(err)
		}
	}
	q := &quarantine{}
	if err := q.open(""); err != nil {
		t.Fatal(err)
	}
	running := true
	g := replicaGuard{quarantine: q, running: func() bool { return running }}
	if err := g.mayRestore(3, logs); err != nil {
		t.Errorf("Raft's own installation of a snapshot is hindered: %v", err)
	}
	if _, err := q.begin(structs.Quarantine{Reason: "wrong"}); err != nil {
		t.Fatal(err)
	}
	for index, ok := range map[uint64]bool{1: false, 3: false, 4: true, 5: true, 9: true} {
		if err := g.mayRestore(index, logs); (err == nil) != ok {
			t.Errorf("a snapshot at %d: %v", index, err)
		}
	}
	running = false
	if err := g.mayRestore(3, logs); err != nil {
		t.Errorf("a start is hindered: %v", err)
	}
}
