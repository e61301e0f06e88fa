package server

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/debros/debros/structs"
)

// TestARestoreLeavesNothingBehind on the disk, whether it succeeds, is refused, or was ended by a crash, and a damaged
// archive changes nothing.
func TestARestoreLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	c := newCluster(t, 0, nil)
	n := c.join("id0", dir, 1)
	c.leader()
	sqlExec(t, n, "create table t(a)", "insert into t values('kept')")
	var saved bytes.Buffer
	if err := (raftOps{n.Server}).SnapshotSave(t.Context(), &saved); err != nil {
		t.Fatal(err)
	}
	sqlExec(t, n, "insert into t values('later')")
	left := func() []string {
		all, err := filepath.Glob(filepath.Join(dir, "restore-*"))
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	const all = "select group_concat(a) from t"
	for _, cut := range []int{10, saved.Len() / 2, saved.Len() - 1} {
		_, err := (raftOps{n.Server}).SnapshotRestore(t.Context(), bytes.NewReader(saved.Bytes()[:cut]))
		if structs.KindOf(err) != structs.KindInvalid {
			t.Errorf("an archive of %d of %d bytes: %v", cut, saved.Len(), err)
		}
		if got := sqlText(t, n, all); got != "kept,later" || len(left()) > 0 {
			t.Fatalf("after a refused archive: rows %q, left %v", got, left())
		}
	}
	if _, err := (raftOps{n.Server}).SnapshotRestore(t.Context(), &saved); err != nil {
		t.Fatal(err)
	}
	if got := sqlText(t, n, all); got != "kept" || len(left()) > 0 {
		t.Fatalf("after the restore: rows %q, left %v", got, left())
	}
	n.stop()
	c.drop(n)
	if err := os.MkdirAll(filepath.Join(dir, "restore-123.tmp", "debros-check-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	c.join("id0", dir, 1)
	c.leader()
	if len(left()) > 0 {
		t.Fatalf("a start leaves %v of a restore that a crash ended", left())
	}
}

// An archive may hold an upload, which nobody will go on with.
func TestARestoreEndsUploadsThatTheArchiveHolds(t *testing.T) {
	c := newCluster(t, 1, nil)
	n := c.leader()
	begin := &structs.SQLUploadRequest{Op: structs.SQLUploadBegin, ID: "abandoned"}
	begin.Namespace = structs.DefaultNamespace
	if _, _, err := n.apply(t.Context(), structs.CommandSQLUpload, begin); err != nil {
		t.Fatal(err)
	}
	var saved bytes.Buffer
	if err := (raftOps{n.Server}).SnapshotSave(t.Context(), &saved); err != nil {
		t.Fatal(err)
	}
	if _, err := (raftOps{n.Server}).SnapshotRestore(t.Context(), &saved); err != nil {
		t.Fatal(err)
	}
	if up := n.store.SQLUploads(); len(up) > 0 {
		t.Fatalf("after the restore: %+v", up[0])
	}
}

// A server that does not know what the state holds would stop at the restored snapshot.
func TestASnapshotIsRestoredOnlyWhereEveryServerKnowsWhatItHolds(t *testing.T) {
	from := newCluster(t, 1, nil)
	plain := from.save()
	ns := &structs.NamespaceRequest{Op: structs.NamespaceCreate, Namespace: structs.NamespaceInfo{Name: "bounded", BytesMax: 1 << 20}}
	if _, _, err := from.leader().apply(t.Context(), structs.CommandNamespace, ns); err != nil {
		t.Fatal(err)
	}
	quota := from.save()

	c := newCluster(t, 0, nil)
	c.fsm = structs.FSMVersionQuota - 1
	c.join("id0", "", 2)
	c.join("id1", "", 2)
	restore := func(archive []byte) error {
		_, err := (raftOps{c.leader().Server}).SnapshotRestore(t.Context(), bytes.NewReader(archive))
		return err
	}
	bounded := func() bool {
		_, n := c.leader().store.NamespaceGet(nil, "bounded")
		return n != nil
	}
	if err := restore(quota); structs.KindOf(err) != structs.KindUnsupported || bounded() {
		t.Fatalf("%v, restored %t", err, bounded())
	}
	if err := restore(plain); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.nodes {
		c.upgrade(n, structs.FSMVersion)
	}
	if err := restore(quota); err != nil || !bounded() {
		t.Fatalf("%v, restored %t", err, bounded())
	}
}

// save is the archive of the cluster's state.
func (c *cluster) save() []byte {
	c.t.Helper()
	var saved bytes.Buffer
	if err := (raftOps{c.leader().Server}).SnapshotSave(c.t.Context(), &saved); err != nil {
		c.t.Fatal(err)
	}
	return saved.Bytes()
}
