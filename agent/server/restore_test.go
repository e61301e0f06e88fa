package server

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/structs"
)

// sqlBackup is the file of the node's default database.
func sqlBackup(t *testing.T, n *node) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := n.Stream(t.Context(), "SQL.Backup", &structs.SQLBackupRequest{}, nil, &file); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func sqlRestore(t *testing.T, n *node, file io.Reader) (rep structs.SQLDatabaseReply, err error) {
	t.Helper()
	frames := structs.FrameWriter{Frame: func(payload []byte) error { return structs.Decode(payload, &rep) }}
	err = n.Stream(t.Context(), "SQL.Restore", &structs.SQLRestoreRequest{}, file, &frames)
	return rep, err
}

const sqlAll = "select group_concat(a) from t"

func TestRestoredFileIsTheDatabaseOnEveryServer(t *testing.T) {
	c := newCluster(t, 3, nil)
	n := c.follower()
	sqlExec(t, n, "create table t(a)", "insert into t values('kept')")
	file := sqlBackup(t, n)
	sqlExec(t, n, "insert into t values('lost')", "create table u(b)")
	rep, err := sqlRestore(t, n, bytes.NewReader(file))
	if err != nil || rep.Database.Name != "default" || rep.Database.ModifyIndex != rep.Index || rep.Database.FileIndex != rep.Index || rep.Database.CreateIndex >= rep.Index {
		t.Fatalf("%+v, %v", rep, err)
	}
	sqlExec(t, n, "insert into t values('after')")
	for _, n := range c.nodes {
		eventually(t, "the rows on "+string(n.id), func() bool { return sqlText(t, n, sqlAll) == "kept,after" })
		if got := sqlText(t, n, "select count(*) from u"); got != "no such table: u" {
			t.Errorf("%s: %s", n.id, got)
		}
		if n.fsmNeeded() < structs.FSMVersionUpload {
			t.Errorf("%s lets servers in that cannot hold this state", n.id)
		}
	}
	if _, err := sqlRestore(t, n, bytes.NewReader(file[:len(file)/2])); !errors.Is(err, &structs.Error{Kind: structs.KindInvalid}) {
		t.Fatal(err)
	}
	if got := sqlText(t, c.leader(), sqlAll); got != "kept,after" {
		t.Fatal(got)
	}
}

// A leader that is lost in the middle of an upload leaves the old database, and nothing of the new one.
func TestUploadEndsWithItsLeader(t *testing.T) {
	c := newCluster(t, 3, nil)
	leader := c.leader()
	sqlExec(t, leader, "create table t(a)", "insert into t values('old')", "create table pad(b)", "insert into pad values (zeroblob(4000000)), (zeroblob(4000000)), (zeroblob(4000000))",
		"insert into pad select b from pad", "insert into pad select b from pad")
	file := sqlBackup(t, leader)
	sqlExec(t, leader, "update t set a = 'new'", "delete from pad")
	done := make(chan error, 1)
	go func() {
		_, err := sqlRestore(t, leader, bytes.NewReader(file))
		done <- err
	}()
	eventually(t, "some of the file", func() bool {
		for _, up := range leader.store.SQLUploads() {
			return up.Upload.SizeBytes > 0
		}
		return false
	})
	// A busy machine may have taken the office from it already, which is as good.
	if err := leader.raft.LeadershipTransfer().Error(); err != nil && !errors.Is(err, raft.ErrNotLeader) {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Fatal("the restore went on without its leader")
	}
	for _, n := range c.nodes {
		eventually(t, "the upload to be dropped on "+string(n.id), func() bool { return len(n.store.SQLUploads()) == 0 })
		if got := sqlText(t, n, sqlAll); got != "new" {
			t.Errorf("%s: %s", n.id, got)
		}
	}
	if _, err := sqlRestore(t, c.follower(), bytes.NewReader(file)); err != nil {
		t.Fatal(err)
	}
	if got := sqlText(t, c.leader(), sqlAll); got != "old" {
		t.Error(got)
	}
}

func TestRestoreWaitsForServersThatKnowIt(t *testing.T) {
	c := newCluster(t, 0, nil)
	c.fsm = structs.FSMVersionSQL
	n := c.join("id0", "", 2)
	c.join("id1", "", 2)
	c.leader()
	sqlExec(t, n, "create table t(a)")
	file := sqlBackup(t, n)
	if _, err := sqlRestore(t, n, bytes.NewReader(file)); structs.KindOf(err) != structs.KindUnsupported {
		t.Fatal(err)
	}
	for _, n := range c.nodes {
		c.upgrade(n, structs.FSMVersion)
	}
	if _, err := sqlRestore(t, n, bytes.NewReader(file)); err != nil {
		t.Fatal(err)
	}
}
