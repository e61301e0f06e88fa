package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

// disks are what the servers of a test are told of theirs.
type disks struct {
	mu   sync.Mutex // protects the following
	free map[structs.NodeID]uint64
}

func (d *disks) set(free uint64, ids ...structs.NodeID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range ids {
		d.free[id] = free
	}
}

func watchedCluster(t *testing.T, servers int) (*cluster, *disks) {
	d := &disks{free: map[structs.NodeID]uint64{}}
	c := diskCluster(t, servers, func(cfg *Config) {
		id := cfg.NodeID
		d.set(5000, id)
		cfg.DiskFreeMin = 1000
		cfg.statfs = func(string) (room, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			return room{size: 10000, free: d.free[id]}, nil
		}
	})
	return c, d
}

func isQuota(err error) bool {
	var e *structs.Error
	return errors.As(err, &e) && e.Kind == structs.KindQuota
}

func refused(n *node) bool { return isQuota(put(n, "new", "v")) }

func TestWritesAreRefusedWhileNoMajorityHasRoom(t *testing.T) {
	c, d := watchedCluster(t, 3)
	leader := c.leader()
	mustPut(t, leader, "k", "v")
	one, others := c.nodes[0].id, []structs.NodeID{c.nodes[1].id, c.nodes[2].id}

	d.set(999, one)
	eventually(t, "the low server to know", func() bool { return c.nodes[0].water.low.Load() })
	eventually(t, "the leader to know", func() bool {
		w := &c.leader().water
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.seen[one].low
	})
	if err := settled(func() error { return put(c.leader(), "k", "still") }); err != nil {
		t.Fatalf("one low server of three keeps a write out: %v", err)
	}

	d.set(999, others[0])
	eventually(t, "writes to be refused", func() bool { return refused(c.nodes[0]) && refused(c.nodes[1]) && refused(c.nodes[2]) })
	var e *structs.Error
	if err := put(c.follower(), "new", "v"); !errors.As(err, &e) || !strings.Contains(e.Message, "n-"+string(one)) || !strings.Contains(e.Hint, "disk_free_bytes_min") {
		t.Errorf("the refusal names neither the server nor the setting: %v", err)
	}

	d.set(1050, one, others[0]) // above the bound, not a tenth above it
	time.Sleep(2 * watermarkTick)
	if !c.nodes[0].water.low.Load() || !c.nodes[1].water.low.Load() {
		t.Error("a server is no longer low before a tenth above the bound is free")
	}
	d.set(1100, others[0])
	eventually(t, "writes to go on", func() bool { return !refused(c.nodes[0]) })
}

func TestALowServerThatIsNeededForTheMajorityRefusesWrites(t *testing.T) {
	ids := []structs.NodeID{"a", "b", "c", "d", "e"}
	now := time.Unix(1000, 0)
	for what, want := range map[string]bool{ // per voter: r has room, l is low, d is dead, o was heard too long ago
		"rrr": true, "lrr": true, "llr": false, "lll": false, "ldr": false, "lor": false, "drr": true,
		"r": true, "l": false, "llrrr": true, "lllrr": false, "ldrrr": true, "lddrr": false, "lr": false,
	} {
		var w watermark
		for i, is := range what {
			switch is {
			case 'r', 'l':
				w.note(ids[i], saw{now.Add(-time.Second), is == 'l'})
			case 'o':
				w.note(ids[i], saw{now.Add(-roomRemembered - time.Second), false})
			}
		}
		if low, enough := w.judge(ids[:len(what)], now); enough != want || len(low) != strings.Count(what, "l") {
			t.Errorf("%s: enough %v, low %v", what, enough, low)
		}
	}
}

func TestTheBoundIsTwoPercentOrAGibibyte(t *testing.T) {
	for _, c := range []struct {
		min  int64
		size uint64
		want uint64
	}{{-1, 10 << 30, (10 << 30) / 50}, {-1, 1 << 40, 1 << 30}, {0, 1 << 40, 0}, {123, 1 << 40, 123}} {
		if got := (&Config{DiskFreeMin: c.min}).diskBound(c.size); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

func TestOnlyWhatDeletesNeedsNoRoom(t *testing.T) {
	sql := func(texts ...string) *structs.SQLRequest {
		r := &structs.SQLRequest{}
		for _, s := range texts {
			r.Statements = append(r.Statements, structs.SQLStatement{SQL: s})
		}
		return r
	}
	txn := func(verbs ...structs.KVOp) *structs.TxnRequest {
		r := &structs.TxnRequest{}
		for _, v := range verbs {
			r.Ops = append(r.Ops, structs.TxnOp{KV: &structs.TxnKVOp{Verb: v}})
		}
		return r
	}
	for _, c := range []struct {
		t    structs.CommandType
		body any
		want bool
	}{
		{structs.CommandKV, &structs.KVRequest{Op: structs.KVSet}, true},
		{structs.CommandKV, &structs.KVRequest{Op: structs.KVLock}, true},
		{structs.CommandKV, &structs.KVRequest{Op: structs.KVUnlock}, false},
		{structs.CommandKV, &structs.KVRequest{Op: structs.KVDeleteTree}, false},
		{structs.CommandTxn, txn(structs.KVDelete, structs.KVGet), false},
		{structs.CommandTxn, txn(structs.KVDelete, structs.KVCAS), true},
		{structs.CommandSession, &structs.SessionRequest{Op: structs.SessionCreate}, true},
		{structs.CommandSession, &structs.SessionRequest{Op: structs.SessionDestroy}, false},
		{structs.CommandNamespace, &structs.NamespaceRequest{Op: structs.NamespaceDelete}, false},
		{structs.CommandNamespace, &structs.NamespaceRequest{Op: structs.NamespaceCreate}, true},
		{structs.CommandSQLDatabase, &structs.SQLDatabaseRequest{Op: structs.SQLDatabaseDrop}, false},
		{structs.CommandSQLDatabase, &structs.SQLDatabaseRequest{Op: structs.SQLDatabaseCreate}, true},
		{structs.CommandSQLUpload, &structs.SQLUploadRequest{Op: structs.SQLUploadAppend}, true},
		{structs.CommandSQLUpload, &structs.SQLUploadRequest{Op: structs.SQLUploadDrop}, false},
		{structs.CommandNode, &structs.NodeRequest{}, false},
		{structs.CommandAutopilot, &structs.AutopilotRequest{}, false},
		{structs.CommandSQL, sql("/* x */ DELETE from t", "drop table u"), false},
		{structs.CommandSQL, sql("delete from t; insert into t values(1)"), true},
		{structs.CommandSQL, sql("delete from t", "insert into t values(1)"), true},
		{structs.CommandSQL, sql("with x as (select 1) insert into t select * from x"), true},
		{structs.CommandSQL, sql("update t set a = zeroblob(1000)"), true},
		{structs.CommandSQL, sql("vacuum"), true},
	} {
		if got := needsRoom(c.t, c.body); got != c.want {
			t.Errorf("%+v: %v", c.body, got)
		}
	}
}

// TestWritesAreRefusedBeforeTheDiskIsFull fills three real file systems until the watermark, not ENOSPC, ends it.
func TestWritesAreRefusedBeforeTheDiskIsFull(t *testing.T) {
	const bound = 16 << 20
	c := &cluster{t: t, roster: &roster{members: map[structs.NodeID]structs.Member{}}, adjust: func(cfg *Config) { cfg.DiskFreeMin = bound }}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			n.stop()
		}
	})
	for i := range 3 {
		dir := filepath.Join(t.TempDir(), "data")
		mountSmall(t, dir, "96m")
		c.nodes = append(c.nodes, c.start(structs.NodeID("id"+num(i)), dir, 3))
	}
	c.changed()
	sqlExec(t, c.leader(), "create table t(v)", "insert into t values(zeroblob(100000))")
	for _, n := range c.nodes { // most of it goes to another program
		if err := os.WriteFile(filepath.Join(n.dir, "junk"), make([]byte, 40<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	value := strings.Repeat("x", 64<<10)
	written := 0
	eventually(t, "writes to be refused", func() bool {
		err := put(c.leader(), fmt.Sprintf("k%d", written%200), value)
		written++
		return isQuota(err)
	})
	sound := func() {
		t.Helper()
		for _, n := range c.nodes {
			select {
			case err := <-n.Fatal():
				t.Fatalf("%s stopped: %v", n.id, err)
			default:
			}
			if have, err := statfs(n.dir); err != nil || have.free == 0 {
				t.Errorf("%s has %d bytes left, %v: writes were not refused in time", n.id, have.free, err)
			}
		}
	}
	sound()
	if written < 20 {
		t.Errorf("only %d writes were taken", written)
	}
	var sqlRep structs.SQLReply
	if err := c.leader().RPC(t.Context(), "SQL.Execute", &structs.SQLRequest{Statements: []structs.SQLStatement{{SQL: "insert into t values(1)"}}}, &sqlRep); !isQuota(err) {
		t.Errorf("SQL wrote while the disks were nearly full: %v", err)
	}
	sqlExec(t, c.leader(), "delete from t", "drop table t")
	var rep structs.KVReply
	if err := settled(func() error {
		return c.follower().RPC(t.Context(), "KV.Apply", &structs.KVRequest{Op: structs.KVDeleteTree, KV: structs.KVPair{Key: "k"}}, &rep)
	}); err != nil {
		t.Errorf("a delete was refused: %v", err)
	}
	for _, n := range c.nodes {
		emptyDisk(t, n.dir)
	}
	eventually(t, "writes to go on", func() bool { return put(c.leader(), "after", "v") == nil })
	wantGet(t, c.follower(), "after", "v")
	sound()
}
