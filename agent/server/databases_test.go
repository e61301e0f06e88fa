package server

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

// sqlExec runs statements on the default database of the node's cluster.
func sqlExec(t *testing.T, n *node, statements ...string) {
	t.Helper()
	req := &structs.SQLRequest{}
	for _, s := range statements {
		req.Statements = append(req.Statements, structs.SQLStatement{SQL: s})
	}
	var rep structs.SQLReply
	if err := n.RPC(t.Context(), "SQL.Execute", req, &rep); err != nil {
		t.Fatal(err)
	}
	for _, r := range rep.Results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

// sqlText is the one text that a query of the node's own state gives.
func sqlText(t *testing.T, n *node, query string) (text string) {
	t.Helper()
	err := n.State().SQLQuery(t.Context(), structs.DefaultNamespace, "", structs.SQLStatement{SQL: query}, state.SQLSink{
		Begin: func(uint64, []string, []string) error { return nil },
		Row: func(r structs.SQLRow) error {
			v, _, err := r.Next()
			text = v.Bytes()
			return err
		},
	})
	if err != nil {
		return err.Error()
	}
	return text
}

// databaseFile is the file of the default database.
func databaseFile(t *testing.T, dir string) os.FileInfo {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "sql", "*", "default.default.*.db"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("files %v, %v", paths, err)
	}
	info, err := os.Stat(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// TestARestartUsesTheDatabasesLeftBehind: with no snapshot, and with one that has entries behind it.
func TestARestartUsesTheDatabasesLeftBehind(t *testing.T) {
	if bootID() == "" {
		t.Skip("SKIPPED: this system does not say which boot it is in, so databases are made again at every start")
	}
	dir := t.TempDir()
	c := newCluster(t, 0, nil)
	n := c.join("id0", dir, 1)
	c.leader()
	sqlExec(t, n, "create table t(a)", "insert into t values('one'), (hex(randomblob(8)))")
	file := databaseFile(t, dir)
	const all = "select group_concat(a) from t"
	for _, snapshot := range []bool{false, true} {
		if snapshot {
			_, rc, err := n.takeSnapshot()
			if err != nil {
				t.Fatal(err)
			}
			rc.Close()
			sqlExec(t, n, "insert into t values('two')")
		}
		want := sqlText(t, n, all)
		n.stop()
		c.drop(n)
		n = c.join("id0", dir, 1)
		c.leader()
		eventually(t, "the rows of before", func() bool { return sqlText(t, n, all) == want })
		if !os.SameFile(file, databaseFile(t, dir)) {
			t.Fatalf("the database was made again (snapshot: %v)", snapshot)
		}
		mustPut(t, n, "k", "v")
	}
	sqlExec(t, n, "insert into t values('three')")
	if got := sqlText(t, n, "select count(*) || '' from t"); got != "4" {
		t.Fatalf("%s rows, want 4", got)
	}
}

// TestAnInstalledSnapshotBringsTheDatabases to a server that is new.
func TestAnInstalledSnapshotBringsTheDatabases(t *testing.T) {
	c := newCluster(t, 0, func(cfg *Config) { cfg.TrailingLogs = 1 })
	first := c.join("id0", t.TempDir(), 1)
	c.leader()
	sqlExec(t, first, "create table t(a)", "insert into t values('one')")
	for range 3 {
		mustPut(t, first, "k", "v")
	}
	_, rc, err := first.takeSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	rc.Close()
	second := c.join("id1", t.TempDir(), 0)
	eventually(t, "the rows", func() bool { return sqlText(t, second, "select group_concat(a) from t") == "one" })
}

// TestSnapshotsThatShareADatabaseAreWholeWhereverTheyGo: to a follower, to an archive, and to the next start.
func TestSnapshotsThatShareADatabaseAreWholeWhereverTheyGo(t *testing.T) {
	c := newCluster(t, 0, func(cfg *Config) { cfg.TrailingLogs = 1 })
	firstDir, secondDir := t.TempDir(), t.TempDir()
	first := c.join("id0", firstDir, 1)
	c.leader()
	sqlExec(t, first, "create table t(a)", "insert into t values('one')")
	snapshot := func(n *node, dir string) os.FileInfo {
		t.Helper()
		mustPut(t, n, "k", time.Now().String())
		meta, rc, err := n.takeSnapshot()
		if err != nil {
			t.Fatal(err)
		}
		rc.Close()
		all, err := filepath.Glob(filepath.Join(dir, "raft", "snapshots", meta.ID, "default.default.*.db"))
		if err != nil || len(all) != 1 {
			t.Fatalf("files %v, %v", all, err)
		}
		info, err := os.Stat(all[0])
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	if a, b := snapshot(first, firstDir), snapshot(first, firstDir); !os.SameFile(a, b) {
		t.Fatal("an unchanged database was written again")
	}

	second := c.join("id1", secondDir, 0)
	const all = "select group_concat(a) from t"
	eventually(t, "the rows on a follower", func() bool { return sqlText(t, second, all) == "one" })
	if a, b := snapshot(second, secondDir), snapshot(second, secondDir); !os.SameFile(a, b) {
		t.Fatal("the follower wrote an unchanged database again")
	}

	var archive bytes.Buffer
	if err := (raftOps{c.leader().Server}).SnapshotSave(t.Context(), &archive); err != nil {
		t.Fatal(err)
	}
	other := newCluster(t, 0, nil)
	alone := other.join("id9", t.TempDir(), 1)
	other.leader()
	if _, err := (raftOps{alone.Server}).SnapshotRestore(t.Context(), &archive); err != nil {
		t.Fatal(err)
	}
	if got := sqlText(t, alone, all); got != "one" {
		t.Fatalf("rows after a restore elsewhere: %q", got)
	}

	// After a power loss all that is left is the snapshot.
	first.stop()
	c.drop(first)
	if err := os.RemoveAll(filepath.Join(firstDir, "sql")); err != nil {
		t.Fatal(err)
	}
	first = c.join("id0", firstDir, 1)
	eventually(t, "the rows after the databases were lost", func() bool { return sqlText(t, first, all) == "one" })
	if a, b := snapshot(first, firstDir), snapshot(first, firstDir); !os.SameFile(a, b) {
		t.Fatal("after a restore from it the database was written again")
	}
}

// TestADamagedDatabaseStopsTheServerOnce: the next start makes it again from the log.
func TestADamagedDatabaseStopsTheServerOnce(t *testing.T) {
	dir := t.TempDir()
	c := newCluster(t, 0, nil)
	n := c.join("id0", dir, 1)
	c.leader()
	sqlExec(t, n, "create table t(a)", "insert into t values('kept')")
	n.stop()
	c.drop(n)
	paths, err := filepath.Glob(filepath.Join(dir, "sql", "*", "default.default.*.db*"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("files %v, %v", paths, err)
	}
	for _, path := range paths {
		if err := os.WriteFile(path, []byte("this is no database, however long one looks at it"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n = c.join("id0", dir, 1)
	select {
	case err := <-n.Fatal():
		t.Logf("stopped: %v", err)
	case <-time.After(time.Minute):
		t.Fatal("the server goes on over a file that is no database")
	}
	n.stop()
	c.drop(n)
	n = c.join("id0", dir, 1)
	c.leader()
	eventually(t, "the rows", func() bool { return sqlText(t, n, "select a from t") == "kept" })
}
