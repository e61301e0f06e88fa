package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/debros/debros/state/sqldb/sqlite"
	"github.com/debros/debros/structs"
)

// brokenFiles makes operations on the files of a server's databases fail.
type brokenFiles struct {
	mu   sync.Mutex // protects the following
	op   string     // "" = none fails
	file string     // what the path must hold; temporary files are "tmp-"
	err  error
	hits int
}

func (b *brokenFiles) set(op, file string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.op, b.file, b.err, b.hits = op, file, err, 0
}

func (b *brokenFiles) ask(op, path string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	name := filepath.Base(path)
	if path == "" {
		name = "temp"
	}
	if b.op != op || !strings.Contains(name, b.file) {
		return nil
	}
	b.hits++
	return &os.PathError{Op: op, Path: path, Err: b.err}
}

// sqlRows is the ledger of rows that were acknowledged, while writers go on through every server.
type sqlRows struct {
	acked atomic.Int64
	// mu protects the following.
	mu   sync.Mutex
	keys []string
}

const sortAll = "insert into sorted select count(*) from (select distinct v, k from t)"

// write inserts rows through all servers of c, as they are at each moment, until stop. Every 20th request sorts more than
// memory holds, which needs a temporary file.
func (r *sqlRows) write(t *testing.T, c *cluster, nodes *atomic.Pointer[[]*node]) (stop func()) {
	t.Helper()
	sqlExec(t, c.leader(), "create table if not exists t(k text primary key, v)", "create table if not exists sorted(v)",
		"insert into t select 'big' || i, hex(randomblob(600)) from (with recursive c(i) as (select 1 union all select i + 1 from c limit 4000) select i from c)")
	done := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				all := *nodes.Load()
				n := all[(i+w)%len(all)]
				key := fmt.Sprintf("%d-%d", w, i)
				stmts := []structs.SQLStatement{{SQL: "insert into t values('" + key + "', 1)"}}
				if i%20 == 0 {
					stmts = append(stmts, structs.SQLStatement{SQL: sortAll})
				}
				var rep structs.SQLReply
				err := n.RPC(t.Context(), "SQL.Execute", &structs.SQLRequest{Statements: stmts}, &rep)
				if err != nil {
					time.Sleep(5 * time.Millisecond) // the server may be down
					continue
				}
				for _, res := range rep.Results {
					if res.Err != nil {
						t.Errorf("%s on %s: a sound request is answered %v", key, n.id, res.Err)
					}
				}
				r.mu.Lock()
				r.keys = append(r.keys, key)
				r.mu.Unlock()
				r.acked.Add(1)
			}
		})
	}
	return sync.OnceFunc(func() { close(done); wg.Wait() })
}

const allRows = "select count(*) || ':' || (select count(*) from sorted) || ':' || coalesce(group_concat(k || '=' || v), '') from (select * from t where k not like 'big%' order by k)"

// check wants the same rows on every server, and each acknowledged one among them.
func (r *sqlRows) check(t *testing.T, c *cluster) {
	t.Helper()
	index := c.leader().raft.CommitIndex()
	rows := ""
	for _, n := range c.nodes {
		eventually(t, "all servers to have all entries", func() bool { return n.fsm.AppliedIndex() >= index })
		got := sqlText(t, n, allRows)
		if rows == "" {
			rows = got
		}
		if got != rows {
			t.Fatalf("%s has other rows than %s:\n%s\n%s", n.id, c.nodes[0].id, got, rows)
		}
	}
	have := map[string]bool{}
	for _, kv := range strings.Split(rows[strings.LastIndex(rows, ":")+1:], ",") {
		have[strings.TrimSuffix(kv, "=1")] = true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.keys {
		if !have[k] {
			t.Fatalf("%s was acknowledged (one of %d) and is gone", k, len(r.keys))
		}
	}
}

// breakOne breaks the disk of the leader or of a follower while rows are written: that server stops, the others go on,
// and once repaired it comes back with the same rows.
func breakOne(t *testing.T, c *cluster, leads bool, breakDisk func(n *node), repair func(n *node)) {
	t.Helper()
	rows := &sqlRows{}
	nodes := &atomic.Pointer[[]*node]{}
	now := func() { all := append([]*node{}, c.nodes...); nodes.Store(&all) }
	now()
	stop := rows.write(t, c, nodes)
	defer stop()
	eventually(t, "rows", func() bool { return rows.acked.Load() >= 30 })
	n := c.follower()
	if leads {
		n = c.leader()
	}
	breakDisk(n)
	select {
	case err := <-n.Fatal():
		t.Logf("%s stops: %v", n.id, err)
	case <-time.After(patience):
		t.Fatal("the server with the broken disk goes on")
	}
	c.kill(n) // what the agent does
	now()
	before := rows.acked.Load()
	eventually(t, "the others to go on", func() bool { return rows.acked.Load() >= before+30 })
	repair(n)
	c.back(n)
	now()
	before = rows.acked.Load()
	eventually(t, "all to go on", func() bool { return rows.acked.Load() >= before+10 })
	stop()
	rows.check(t, c)
}

// onlyInSystemTests leaves a case that takes seconds, and has a sibling in make test, to make test-system.
func onlyInSystemTests(t *testing.T) {
	t.Helper()
	if os.Getenv("DEBROS_SYSTEM_TESTS") == "" {
		t.Skip("SKIPPED: set DEBROS_SYSTEM_TESTS=1 for this one")
	}
}

func TestAFailingFileOfADatabaseStopsThatServerOnly(t *testing.T) {
	files := map[structs.NodeID]*brokenFiles{}
	var mu sync.Mutex
	for i, f := range []struct {
		op, file string
		err      error
	}{
		{"write", "-wal", syscall.ENOSPC}, {"write", "-wal", syscall.EIO}, {"write", ".db", syscall.EIO}, {"read", "", syscall.EIO},
		{"open", "temp", syscall.EROFS}, {"write", "temp", syscall.ENOSPC}, {"shm-lock", "", syscall.EIO},
	} {
		t.Run(fmt.Sprintf("%s %s %v", f.op, f.file, f.err), func(t *testing.T) {
			if i%3 != 0 {
				onlyInSystemTests(t)
			}
			c := diskCluster(t, 3, func(cfg *Config) {
				mu.Lock()
				defer mu.Unlock()
				b := &brokenFiles{}
				files[cfg.NodeID] = b
				cfg.failFiles = func(op sqlite.FileOp, path string) error { return b.ask(string(op), path) }
			})
			of := func(n *node) *brokenFiles { mu.Lock(); defer mu.Unlock(); return files[n.id] }
			breakOne(t, c, i%2 == 0, func(n *node) { of(n).set(f.op, f.file, f.err) }, func(n *node) { of(n).set("", "", nil) })
		})
	}
}

// TestABrokenDiskStopsThatServerOnly is the same with file systems that are full, turn read-only, or fail for real.
func TestABrokenDiskStopsThatServerOnly(t *testing.T) {
	for name, f := range map[string]struct {
		mount  func(t *testing.T, dir string)
		leads  bool
		broken func(t *testing.T, dir string)
		repair func(t *testing.T, dir string)
	}{
		// The first and the last in make test.
		"full, the leader":   {mountTmpfs, true, fillDisk, emptyDisk},
		"full, a follower":   {mountTmpfs, false, fillDisk, emptyDisk},
		"read-only, leader":  {mountExt4, true, turnReadOnly, remountExt4},
		"read-only, another": {mountExt4, false, turnReadOnly, remountExt4},
		"EIO, the leader":    {mountExt4, true, shutDown, remountExt4},
		"EIO, a follower":    {mountExt4, false, shutDown, remountExt4},
	} {
		t.Run(name, func(t *testing.T) {
			if name != "full, the leader" && name != "EIO, a follower" {
				onlyInSystemTests(t)
			}
			c := &cluster{t: t, roster: &roster{members: map[structs.NodeID]structs.Member{}}}
			t.Cleanup(func() {
				for _, n := range c.nodes {
					n.stop()
				}
			})
			for i := range 3 {
				dir := filepath.Join(t.TempDir(), "data")
				f.mount(t, dir)
				c.nodes = append(c.nodes, c.start(structs.NodeID("id"+num(i)), dir, 3))
			}
			c.changed()
			breakOne(t, c, f.leads, func(n *node) { f.broken(t, n.dir) }, func(n *node) { f.repair(t, n.dir) })
		})
	}
}

func mountTmpfs(t *testing.T, dir string) { mountSmall(t, dir, "40m") }

// fillDisk writes a file until there is no room for another byte.
func fillDisk(t *testing.T, dir string) {
	f, err := os.Create(filepath.Join(dir, "junk"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, endless{}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk does not fill up: %v", err)
	}
}

func emptyDisk(t *testing.T, dir string) {
	if err := os.Remove(filepath.Join(dir, "junk")); err != nil {
		t.Fatal(err)
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }
