package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/debros/debros/structs"
)

// rotten is what the tests put into a database, and what the disk then makes of it.
const rotten, rotted = "this value is going to rot", "this value is going to rat"

// rot changes a byte on the disk of a server, wherever the value stands.
func rot(t *testing.T, dir string) {
	t.Helper()
	change(t, dir, func(data []byte, at int, _ bool) { copy(data[at:], rotted) })
}

// isRotten reports whether what rot made is still on the disk of a server.
func isRotten(t *testing.T, dir string) bool {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "sql", "*", "default.default.*.db*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(rotted)) {
			return true
		}
	}
	return false
}

// change changes the bytes around the rotten value behind SQLite's back: in the file of the default database and in its log.
func change(t *testing.T, dir string, how func(data []byte, at int, log bool)) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "sql", "*", "default.default.*.db*"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		was := bytes.Clone(data)
		for at := 0; ; at++ {
			i := bytes.Index(data[at:], []byte(rotten))
			if i < 0 {
				break
			}
			at += i
			how(data, at, strings.HasSuffix(path, "-wal"))
			found++
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		for i := range data { // nothing but what was changed: SQLite may be writing
			if data[i] != was[i] {
				if _, err := f.WriteAt(data[i:i+1], int64(i)); err != nil {
					t.Fatal(err)
				}
			}
		}
		f.Close()
	}
	if found == 0 {
		t.Fatalf("the value is in none of %v", paths)
	}
}

const rottingRows = "select group_concat(a, '|') from (select a from t order by rowid)"

// rottingCluster is three servers with a database that holds some rows, the rotten one among them.
func rottingCluster(t *testing.T, adjust func(*Config)) *cluster {
	t.Helper()
	c := diskCluster(t, 3, adjust)
	leader := c.leader()
	sqlSettled(t, leader, "create table t(a)", "create table u(a)", "insert into t values('first')", fmt.Sprintf("insert into t values('%s')", rotten))
	mustPut(t, leader, "k", "v")
	c.level()
	return c
}

// sqlSettled runs statements that may be run twice, through changes of the leader.
func sqlSettled(t *testing.T, n *node, statements ...string) {
	t.Helper()
	if err := settled(func() error {
		req := &structs.SQLRequest{RequestID: fmt.Sprint(statements)}
		for _, s := range statements {
			req.Statements = append(req.Statements, structs.SQLStatement{SQL: s})
		}
		return n.RPC(t.Context(), "SQL.Execute", req, new(structs.SQLReply))
	}); err != nil {
		t.Fatal(err)
	}
}

// level waits until all servers stand where the leader does, and the cluster has its id.
func (c *cluster) level() {
	c.t.Helper()
	eventually(c.t, "all servers to stand at one index", func() bool {
		want := c.leader().fsm.AppliedIndex()
		for _, n := range c.nodes {
			if _, id := n.store.Cluster(nil); n.fsm.AppliedIndex() < want || id == nil {
				return false
			}
		}
		return true
	})
}

// verify asks any server for a comparison and waits for what comes of it.
func (c *cluster) verify() *structs.VerifyReport {
	c.t.Helper()
	ask := func(method string, req, rep any) error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return c.nodes[0].RPC(ctx, method, req, rep)
	}
	var index structs.VerifyReply
	if err := settled(func() error { return ask("Operator.Verify", &structs.VerifyRequest{}, &index) }); err != nil {
		c.t.Fatal(err)
	}
	var rep structs.VerifyReportReply
	eventually(c.t, "the report", func() bool {
		err := settled(func() error { return ask("Operator.VerifyReport", &structs.VerifyReportRequest{At: index.Index}, &rep) })
		if err != nil {
			c.t.Fatal(err)
		}
		return rep.Report.Outcome != structs.VerifyRunning
	})
	return &rep.Report
}

func verdicts(r *structs.VerifyReport) map[structs.NodeID]structs.VerifyVerdict {
	out := map[structs.NodeID]structs.VerifyVerdict{}
	for _, s := range r.Servers {
		out[s.ID] = s.Verdict
	}
	return out
}

// agree verifies until the comparison says that all servers hold the same.
func (c *cluster) agree() {
	c.t.Helper()
	eventually(c.t, "all servers to hold the same", func() bool {
		r := c.verify()
		if r.Outcome == structs.VerifyDifferent || r.Outcome == structs.VerifyUndecided {
			c.t.Fatalf("%s: %v %+v", r.Outcome, verdicts(r), r.Differences)
		}
		return r.Outcome == structs.VerifyEqual
	})
}

func (n *node) quarantined() bool { return n.quarantine.reason() != "" }

func TestServersThatHoldTheSameAreFoundEqual(t *testing.T) {
	c := rottingCluster(t, nil)
	r := c.verify()
	if r.Outcome != structs.VerifyEqual || len(r.Servers) != 3 || len(r.Differences) != 0 {
		t.Fatalf("%+v", r)
	}
	for _, s := range r.Servers {
		if s.Verdict != structs.VerdictRight || s.Hash == "" || s.Hash != r.Servers[0].Hash || s.Databases != 1 || s.DatabasesDone != 1 || s.Quarantine != "" {
			t.Errorf("%+v", s)
		}
	}
	before := r.Servers[0].Hash
	mustPut(t, c.leader(), "k", "w")
	if r := c.verify(); r.Outcome != structs.VerifyEqual || r.Servers[0].Hash == before {
		t.Fatalf("after a write: %+v", r)
	}
	for _, n := range c.nodes {
		if n.quarantined() {
			t.Errorf("%s is in quarantine", n.id)
		}
	}
}

// TestAFlippedByteIsFoundAndHealed is the promise: on a follower and on the leader, with writes going on.
func TestAFlippedByteIsFoundAndHealed(t *testing.T) {
	for _, leads := range []bool{false, true} {
		t.Run(fmt.Sprintf("leader %v", leads), func(t *testing.T) {
			c := rottingCluster(t, nil)
			bad := c.follower()
			if leads {
				bad = c.leader()
			}
			good := sqlText(t, bad, rottingRows)
			acked := newLedger()
			stop := acked.write(c.nodes)
			defer stop()
			rot(t, bad.dir)
			r := c.verify()
			if r.Outcome != structs.VerifyDifferent || verdicts(r)[bad.id] != structs.VerdictDifferent {
				t.Fatalf("%s, %v", r.Outcome, verdicts(r))
			}
			if len(r.Differences) != 1 || r.Differences[0].Part != "database default of namespace default" || r.Differences[0].Right == "" {
				t.Fatalf("what differs: %+v", r.Differences)
			}
			eventually(t, "the server to be healed", func() bool {
				_, err := os.Stat(filepath.Join(bad.dir, quarantineFile))
				// Before the quarantine, too, there is none, and a page in memory may still be right.
				return errors.Is(err, os.ErrNotExist) && !isRotten(t, bad.dir) && !bad.quarantined() && sqlText(t, bad, rottingRows) == good
			})
			sqlSettled(t, bad, "insert into u values('after')")
			stop()
			c.agree()
			for _, n := range c.nodes {
				acked.check(t, n)
			}
			c.kill(bad)
			again := c.back(bad)
			eventually(t, "the rows after a restart", func() bool {
				return sqlText(t, again, rottingRows) == good && sqlText(t, again, "select a from u") == "after"
			})
			acked.check(t, again)
			c.agree()
		})
	}
}
