package server

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// policyOf is a policy with a threshold of 100 entries.
func policyOf(keep, keepBytes uint64) *snapshotPolicy {
	return newSnapshotPolicy(&Config{SnapshotThreshold: 100, SnapshotInterval: time.Second, TrailingLogs: keep, trailingBytes: keepBytes})
}

// add applies n entries of so many bytes.
func (p *snapshotPolicy) add(n, bytes int) {
	data := make([]byte, bytes)
	for range n {
		p.applied([]*raft.Log{{Index: p.index + 1, Data: data}})
	}
}

func TestASnapshotWaitsUntilItIsWorthItsBytes(t *testing.T) {
	for _, c := range []struct {
		entries, bytes int
		write          int64
		want           bool
	}{
		{99, 10, 0, false},
		{100, 10, 0, true},
		{100, 10, 200 * entryCostBytes, true},
		{100, 10, 200*entryCostBytes + 1, false}, // the state is large
		{500, 10, 1000 * entryCostBytes, true},
		{24, 4 * entryCostBytes, 0, false},
		{25, 4 * entryCostBytes, 0, true}, // the entries are
		{25, 4 * entryCostBytes, 201 * entryCostBytes, false},
	} {
		p := policyOf(10, 1<<20)
		p.add(c.entries, c.bytes)
		if got := p.due(func() int64 { return c.write }); got != c.want {
			t.Errorf("%d entries of %d bytes, %d to write: due %v", c.entries, c.bytes, c.write, got)
		}
		p.done(p.moment())
		if p.due(func() int64 { return 0 }) {
			t.Error("due again at once")
		}
	}
	p := policyOf(10, 1<<20)
	p.add(150, 10)
	moment := p.moment()
	p.add(60, 10)
	p.done(moment) // the entries after its moment count for the next
	if p.add(40, 10); !p.due(func() int64 { return 0 }) {
		t.Error("entries that came while a snapshot was written are forgotten")
	}
	p.set(1000, 0, 0)
	if p.due(func() int64 { return 0 }) {
		t.Error("the new threshold is not used")
	}
}

// TestSnapshotsWriteAtMostTwiceWhatEntriesCost whatever the state does.
func TestSnapshotsWriteAtMostTwiceWhatEntriesCost(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 50 {
		p := policyOf(10, 1<<20)
		state, written, snapshots := r.Int64N(1<<30), uint64(0), 0
		for range 3000 {
			p.add(1+r.IntN(20), r.IntN(16)*r.IntN(4<<10))
			state += r.Int64N(1<<20) - r.Int64N(1<<20)
			changed := max(0, r.Int64N(max(1, state))) // what a snapshot would write of it
			if p.due(func() int64 { return changed }) {
				written += uint64(changed)
				snapshots++
				p.done(p.moment())
			}
		}
		if written > snapshotWriteMax*p.cost {
			t.Fatalf("%d snapshots wrote %d bytes for entries of %d", snapshots, written, p.cost)
		}
		if snapshots == 0 {
			t.Fatal("no snapshot at all")
		}
	}
}

func TestTheLogBehindASnapshotIsBoundedInBytes(t *testing.T) {
	const limit = 1 << 20
	for _, c := range []struct {
		entries, bytes int
		least, most    uint64
	}{
		{5000, 10, 1000, 1000}, // few bytes: as many entries as the setting says
		{500, 100 << 10, 1, limit / (100 << 10)},
		{5000, 10 << 10, 70, limit / (10 << 10)},
		{3, 4 << 20, 1, 1}, // an entry over the limit
	} {
		p := policyOf(1000, limit)
		p.add(c.entries, c.bytes)
		if got := p.trailing(); got < c.least || got > c.most {
			t.Errorf("%d entries of %d bytes: %d stay, want %d to %d", c.entries, c.bytes, got, c.least, c.most)
		}
		if len(p.steps) > 20 {
			t.Errorf("%d places are remembered", len(p.steps))
		}
	}
}

// TestSnapshotsComeByThemselves, cost what the policy allows, and shorten the log by its bytes.
func TestSnapshotsComeByThemselves(t *testing.T) {
	dir := t.TempDir() // before the cluster, so that it goes when the server has stopped
	c := newCluster(t, 0, func(cfg *Config) {
		cfg.SnapshotThreshold, cfg.SnapshotInterval, cfg.trailingBytes = 20, 20*time.Millisecond, 1<<20
	})
	n := c.join("id0", dir, 1)
	c.leader()
	sqlExec(t, n, "create table t(a)", "insert into t values(randomblob(3000000))")
	snapshots := func() int {
		list, err := n.snaps.List()
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	big := strings.Repeat("v", 300<<10)
	eventually(t, "two snapshots", func() bool {
		mustPut(t, n, "big", big+time.Now().String())
		sqlExec(t, n, "update t set a = a")
		return snapshots() == 2
	})
	if written, cost := n.fsm.SnapshotBytes(), int64(n.snapshots.moment()); written == 0 || written > snapshotWriteMax*cost+(1<<20) {
		t.Errorf("snapshots wrote %d bytes for entries of %d", written, cost)
	}
	eventually(t, "a short log", func() bool {
		mustPut(t, n, "big", big+time.Now().String())
		first, err := n.logs.FirstIndex()
		if err != nil {
			t.Fatal(err)
		}
		last, err := n.logs.LastIndex()
		if err != nil {
			t.Fatal(err)
		}
		return first > 1 && last-first < 60 // of 10240 by number
	})
}
