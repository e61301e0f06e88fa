package snapstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/state"
	"github.com/debros/debros/state/fsm"
	"github.com/debros/debros/structs"
)

// rig is an FSM with a store for its snapshots.
type rig struct {
	t     *testing.T
	f     *fsm.FSM
	store *Store
	dir   string
	index uint64
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, f: newFSM(t), dir: filepath.Join(t.TempDir(), "snapshots")}
	r.reopen()
	return r
}

func newFSM(t *testing.T) *fsm.FSM {
	t.Helper()
	s := state.New()
	if err := s.OpenDatabases(filepath.Join(t.TempDir(), "sql"), ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.CloseDatabases() })
	return fsm.New(s, nil)
}

func (r *rig) reopen() {
	r.t.Helper()
	var err error
	if r.store, err = Open(r.dir, 2, slog.New(slog.DiscardHandler)); err != nil {
		r.t.Fatal(err)
	}
}

// apply applies one command as an entry.
func (r *rig) apply(c structs.CommandType, req any) {
	r.t.Helper()
	payload, err := structs.Encode(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.index++
	data, err := fsm.EncodeEntry(&structs.Entry{Time: int64(r.index), Seed: r.index, Commands: []structs.Command{{Type: c, Body: payload}}})
	if err != nil {
		r.t.Fatal(err)
	}
	results, ok := r.f.Apply(&raft.Log{Index: r.index, Term: 1, Type: raft.LogCommand, Data: data}).([]structs.CommandResult)
	if !ok || results[0].Err != nil {
		r.t.Fatalf("%v", results)
	}
}

func (r *rig) create(name string) {
	r.t.Helper()
	r.apply(structs.CommandSQLDatabase, &structs.SQLDatabaseRequest{WriteOptions: structs.WriteOptions{Namespace: structs.DefaultNamespace},
		Op: structs.SQLDatabaseCreate, Database: structs.SQLDatabase{Name: name}})
	r.sql(name, "create table t (a)")
}

func (r *rig) sql(name, statement string) {
	r.t.Helper()
	r.apply(structs.CommandSQL, &structs.SQLRequest{WriteOptions: structs.WriteOptions{Namespace: structs.DefaultNamespace}, Database: name,
		Statements: []structs.SQLStatement{{SQL: statement}}})
}

// persist writes a snapshot; meanwhile, nil for nothing, comes after the moment it is of.
func (r *rig) persist(meanwhile func()) (string, error) {
	r.t.Helper()
	snap, err := r.f.Snapshot()
	if err != nil {
		r.t.Fatal(err)
	}
	defer snap.Release()
	sink, err := r.store.Create(1, r.index, 1, raft.Configuration{}, 1, nil)
	if err != nil {
		return "", err
	}
	if meanwhile != nil {
		meanwhile()
	}
	return sink.ID(), snap.Persist(sink)
}

func (r *rig) snapshot() string {
	r.t.Helper()
	id, err := r.persist(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

// stream reads a snapshot whole.
func (r *rig) stream(id string) []byte {
	r.t.Helper()
	meta, rc, err := r.store.Open(id)
	if err != nil {
		r.t.Fatal(err)
	}
	defer rc.Close()
	data, err := io.ReadAll(rc)
	if err != nil {
		r.t.Fatal(err)
	}
	if meta.Size != int64(len(data)) {
		r.t.Fatalf("snapshot %s has %d bytes and claims %d", id, len(data), meta.Size)
	}
	if _, err := fsm.Verify(bytes.NewReader(data)); err != nil {
		r.t.Fatalf("snapshot %s: %v", id, err)
	}
	return data
}

// rows is what table t of a database has in an FSM.
func rows(t *testing.T, f *fsm.FSM, name string) (text string) {
	t.Helper()
	err := f.Store().SQLQuery(t.Context(), structs.DefaultNamespace, name, structs.SQLStatement{SQL: "select coalesce(group_concat(a), '') from t"}, state.SQLSink{
		Begin: func(uint64, []string, []string) error { return nil },
		Row: func(r structs.SQLRow) error {
			v, _, err := r.Next()
			text = v.Bytes()
			return err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// restored is the rows of a database in what a snapshot's stream restores.
func (r *rig) restored(id, name string) string {
	r.t.Helper()
	f := newFSM(r.t)
	if err := f.Restore(io.NopCloser(bytes.NewReader(r.stream(id)))); err != nil {
		r.t.Fatal(err)
	}
	return rows(r.t, f, name)
}

func (r *rig) file(id, name string) os.FileInfo {
	r.t.Helper()
	all, err := filepath.Glob(filepath.Join(r.dir, id, "default."+name+".*.db"))
	if err != nil || len(all) != 1 {
		r.t.Fatalf("files of %s in snapshot %s: %v, %v", name, id, all, err)
	}
	info, err := os.Stat(all[0])
	if err != nil {
		r.t.Fatal(err)
	}
	return info
}

func TestAnUnchangedDatabaseIsNotWrittenAgain(t *testing.T) {
	r := newRig(t)
	r.create("still")
	r.create("busy")
	r.sql("still", "insert into t values (1)")
	one := r.snapshot()
	r.sql("busy", "insert into t values (2)")
	two := r.snapshot()
	three := r.snapshot()
	if !os.SameFile(r.file(two, "still"), r.file(three, "still")) || !os.SameFile(r.file(two, "busy"), r.file(three, "busy")) {
		t.Error("a database that did not change was written again")
	}
	if _, err := os.Stat(filepath.Join(r.dir, one)); !os.IsNotExist(err) {
		t.Errorf("the oldest of three snapshots is still there: %v", err)
	}
	if a, b, c := r.restored(three, "still"), r.restored(three, "busy"), r.restored(two, "busy"); a != "1" || b != "2" || c != "2" {
		t.Errorf("restored %q, %q and %q", a, b, c)
	}
}

// TestAWriteMakesACopyStale: before a snapshot, between its moment and its reading, and after it.
func TestAWriteMakesACopyStale(t *testing.T) {
	r := newRig(t)
	r.create("d")
	r.snapshot()
	r.sql("d", "insert into t values (1)")
	two, err := r.persist(func() { r.sql("d", "insert into t values (2)") })
	if err != nil {
		t.Fatal(err)
	}
	three, err := r.persist(func() { r.sql("d", "insert into t values (3)") })
	if err != nil {
		t.Fatal(err)
	}
	if a, b := r.restored(two, "d"), r.restored(three, "d"); a != "1" || b != "1,2" {
		t.Errorf("the snapshots hold %q and %q, not their moments", a, b)
	}
	r.sql("d", "delete from t")
	four := r.snapshot()
	five, err := r.persist(func() { r.sql("d", "insert into t values (5)") }) // of a copy that nobody has to pin
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(r.file(four, "d"), r.file(five, "d")) || r.restored(five, "d") != "" {
		t.Errorf("the snapshot holds %q", r.restored(five, "d"))
	}
	if six := r.snapshot(); r.restored(six, "d") != "5" {
		t.Errorf("the last snapshot holds %q", r.restored(six, "d"))
	}
}

func TestADatabaseMadeAgainIsAnotherOne(t *testing.T) {
	r := newRig(t)
	r.create("d")
	r.sql("d", "insert into t values (1)")
	r.snapshot()
	r.apply(structs.CommandSQLDatabase, &structs.SQLDatabaseRequest{WriteOptions: structs.WriteOptions{Namespace: structs.DefaultNamespace},
		Op: structs.SQLDatabaseDrop, Database: structs.SQLDatabase{Name: "d"}})
	r.create("d")
	if id := r.snapshot(); r.restored(id, "d") != "" {
		t.Errorf("the new database holds %q", r.restored(id, "d"))
	}
}

// TestAnUploadUnderWayIsWrittenEachTime: it grows without a transaction of SQL.
func TestAnUploadUnderWayIsWrittenEachTime(t *testing.T) {
	r := newRig(t)
	step := func(op structs.SQLUploadOp, offset int64, data string) {
		r.apply(structs.CommandSQLUpload, &structs.SQLUploadRequest{WriteOptions: structs.WriteOptions{Namespace: structs.DefaultNamespace},
			Op: op, ID: "u", Offset: offset, Data: []byte(data)})
	}
	step(structs.SQLUploadBegin, 0, "")
	step(structs.SQLUploadAppend, 0, "first")
	r.stream(r.snapshot())
	step(structs.SQLUploadAppend, 5, ", second")
	if data := r.stream(r.snapshot()); !bytes.Contains(data, []byte("first, second")) { // which verifies it
		t.Error("the snapshot has not all of the upload")
	}
}

func TestAFileIsWrittenAgainAfterManySnapshots(t *testing.T) {
	r := newRig(t)
	r.create("d")
	first := r.file(r.snapshot(), "d")
	for n := 1; ; n++ {
		if f := r.file(r.snapshot(), "d"); !os.SameFile(first, f) {
			if n < 50 {
				t.Fatalf("after %d", n)
			}
			return
		}
		if n > 200 {
			t.Fatal("a damaged file would be in every snapshot for ever")
		}
	}
}

func TestALostFileCostsOneSnapshotAndNoMore(t *testing.T) {
	r := newRig(t)
	r.create("d")
	r.sql("d", "insert into t values (1)")
	one := r.snapshot()
	if err := os.Remove(filepath.Join(r.dir, one, r.file(one, "d").Name())); err != nil {
		t.Fatal(err)
	}
	if id, err := r.persist(nil); err == nil {
		t.Fatalf("snapshot %s shares a file that is gone", id)
	}
	if id := r.snapshot(); r.restored(id, "d") != "1" {
		t.Errorf("restored %q", r.restored(id, "d"))
	}
	if half, _ := filepath.Glob(filepath.Join(r.dir, "*"+tmpSuffix)); len(half) > 0 {
		t.Errorf("left behind: %v", half)
	}
}

func TestAFileSystemWithoutLinksGetsCopies(t *testing.T) {
	r := newRig(t)
	r.store.link = func(string, string) error { return syscall.EPERM }
	r.create("d")
	r.sql("d", "insert into t values (1)")
	one, two := r.snapshot(), r.snapshot()
	if os.SameFile(r.file(one, "d"), r.file(two, "d")) || r.restored(two, "d") != "1" {
		t.Errorf("restored %q", r.restored(two, "d"))
	}
}

// TestACrashAtEachStepLeavesTheOldSnapshotOrTheNewOne, whole, and the next start goes on from there.
func TestACrashAtEachStepLeavesTheOldSnapshotOrTheNewOne(t *testing.T) {
	crash := errors.New("crash")
	for n := 1; ; n++ {
		r := newRig(t)
		r.create("still")
		r.create("busy")
		r.snapshot()
		r.sql("busy", "insert into t values (1)")
		old := r.snapshot()
		r.sql("busy", "insert into t values (2)")
		done, where := 0, ""
		r.store.step = func(what string) error {
			if where != "" {
				return crash // the dead do nothing
			}
			if done++; done == n {
				where = what
				return crash
			}
			return nil
		}
		_, err := r.persist(nil)
		r.reopen()
		list, lerr := r.store.List()
		if lerr != nil || len(list) == 0 {
			t.Fatalf("crash before %q: snapshots %v, %v", where, list, lerr)
		}
		want := "1,2"
		if list[0].ID == old {
			want = "1"
		}
		if (err == nil || where == "sync the parent") != (want == "1,2") {
			t.Fatalf("crash before %q: the newest snapshot is %s, persisting said %v", where, list[0].ID, err)
		}
		for _, m := range list {
			r.stream(m.ID)
		}
		if a, b := r.restored(list[0].ID, "busy"), r.restored(list[0].ID, "still"); a != want || b != "" {
			t.Fatalf("crash before %q: rows %q and %q, want %q", where, a, b, want)
		}
		if half, _ := filepath.Glob(filepath.Join(r.dir, "*"+tmpSuffix)); len(half) > 0 {
			t.Fatalf("crash before %q: left behind %v", where, half)
		}
		next := r.snapshot() // the process that goes on
		if got := r.restored(next, "busy"); got != "1,2" {
			t.Fatalf("crash before %q: the next snapshot has rows %q", where, got)
		}
		if where == "" {
			if n < 12 {
				t.Fatalf("%d steps: the test does not see them all", n)
			}
			return
		}
		t.Logf("crash %d, before %q: snapshot %s", n, where, map[bool]string{true: "old", false: "new"}[want == "1"])
	}
}

// TestAReceivedStreamIsTakenApart and is the same when it is read again.
func TestAReceivedStreamIsTakenApart(t *testing.T) {
	r := newRig(t)
	r.create("d")
	r.sql("d", "insert into t values (randomblob(1000000))")
	sent := r.stream(r.snapshot())
	to := newRig(t)
	receive := func(data []byte) (string, error) {
		sink, err := to.store.Create(1, 7, 3, raft.Configuration{}, 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{sink}, struct{ io.Reader }{bytes.NewReader(data)}, make([]byte, 777)); err != nil {
			return "", errors.Join(err, sink.Cancel())
		}
		return sink.ID(), sink.Close()
	}
	id, err := receive(sent)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(to.stream(id), sent) {
		t.Error("the stream differs from what was received")
	}
	if size := to.file(id, "d").Size(); size < 1e6 {
		t.Errorf("the database's file has %d bytes", size)
	}
	// The next snapshot of who restored it shares the file.
	_, rc, err := to.store.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := to.f.RestoreLocal(rc.(*Snapshot).Local()); err != nil {
		t.Fatal(err)
	}
	rc.Close()
	to.index = 7
	if next := to.snapshot(); !os.SameFile(to.file(id, "d"), to.file(next, "d")) {
		t.Error("a database that was restored and not changed is written again")
	}
	for _, n := range []int{0, 10, len(sent) / 2, len(sent) - 1} {
		if id, err := receive(sent[:n]); err == nil && n > 0 {
			t.Errorf("snapshot %s of %d of %d bytes", id, n, len(sent))
		}
	}
	if half, _ := filepath.Glob(filepath.Join(to.dir, "*"+tmpSuffix)); len(half) > 0 {
		t.Errorf("left behind: %v", half)
	}
}

func TestADamagedFileIsFoundBeforeItIsUsed(t *testing.T) {
	for _, name := range []string{"*.db", stateName} {
		r := newRig(t)
		r.create("d")
		id := r.snapshot()
		all, _ := filepath.Glob(filepath.Join(r.dir, id, name))
		data, err := os.ReadFile(all[0])
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(all[0], data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, rc, err := r.store.Open(id)
		if name == stateName {
			if err == nil {
				t.Error("the damaged stream opens")
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, rc); !errors.Is(err, fsm.ErrSnapshot) {
			t.Errorf("reading: %v", err)
		}
		rc.Close()
		_, rc, _ = r.store.Open(id)
		f := newFSM(t)
		if err := f.RestoreLocal(rc.(*Snapshot).Local()); !errors.Is(err, fsm.ErrSnapshot) || f.AppliedIndex() != 0 {
			t.Errorf("restoring: %v", err)
		}
		rc.Close()
	}
}

// TestReadsWhatRaftsOwnStoreWrote: builds before this store.
func TestReadsWhatRaftsOwnStoreWrote(t *testing.T) {
	r := newRig(t)
	r.create("d")
	r.sql("d", "insert into t values (1)")
	data := r.stream(r.snapshot())
	base := t.TempDir()
	theirs, err := raft.NewFileSnapshotStore(base, 2, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	_, trans := raft.NewInmemTransport("a")
	conf := raft.Configuration{Servers: []raft.Server{{ID: "a", Address: "a"}}}
	sink, err := theirs.Create(1, 9, 2, conf, 4, trans)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	to := newRig(t)
	to.dir = filepath.Join(base, "snapshots")
	to.reopen()
	list, err := to.store.List()
	if err != nil || len(list) != 1 || list[0].Index != 9 || list[0].Term != 2 || list[0].ConfigurationIndex != 4 || fmt.Sprint(list[0].Configuration) != fmt.Sprint(conf) {
		t.Fatalf("%+v, %v", list, err)
	}
	if !bytes.Equal(to.stream(sink.ID()), data) || to.restored(sink.ID(), "d") != "1" {
		t.Error("the stream differs")
	}
	// And the other way round, as far as it goes: a snapshot without databases.
	to.f, to.index = newFSM(t), 10
	to.apply(structs.CommandNone, &struct{}{})
	id := to.snapshot()
	if meta, rc, err := theirs.Open(id); err != nil || meta.Index != 11 {
		t.Errorf("%+v, %v", meta, err)
	} else {
		rc.Close()
	}
}

// TestADirectoryThatWasCopiedElsewhereIsWhole though its files were shared.
func TestADirectoryThatWasCopiedElsewhereIsWhole(t *testing.T) {
	r := newRig(t)
	r.create("d")
	r.sql("d", "insert into t values (1)")
	r.snapshot()
	id := r.snapshot()
	to := newRig(t)
	if err := os.CopyFS(filepath.Join(to.dir, id), os.DirFS(filepath.Join(r.dir, id))); err != nil {
		t.Fatal(err)
	}
	if got := to.restored(id, "d"); got != "1" {
		t.Errorf("restored %q", got)
	}
	if err := os.Rename(filepath.Join(to.dir, id), filepath.Join(to.dir, "renamed")); err != nil {
		t.Fatal(err)
	}
	if list, err := to.store.List(); err != nil || len(list) != 0 {
		t.Errorf("a directory under another name is listed: %v, %v", list, err)
	}
}

func TestALocalStreamAloneIsRefused(t *testing.T) {
	r := newRig(t)
	r.create("d")
	data, err := os.ReadFile(filepath.Join(r.dir, r.snapshot(), stateName))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fsm.Verify(bytes.NewReader(data)); !errors.Is(err, fsm.ErrSnapshot) || !strings.Contains(err.Error(), "files of its databases") {
		t.Errorf("%v", err)
	}
}
