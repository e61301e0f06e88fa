package state

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/debros/debros/structs"
)

// crashed is the directory of a store's databases as a process that is killed now would leave it.
func crashed(t *testing.T, s *Store) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sql")
	if err := os.CopyFS(dir, os.DirFS(s.dbs.path)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func openLeftBehind(t *testing.T, dir, boot string) *rig {
	t.Helper()
	r := newRig(t)
	if err := r.s.OpenDatabases(dir, boot); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.s.CloseDatabases(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestReplaySkipsWhatTheDatabaseHas(t *testing.T) {
	r := openLeftBehind(t, filepath.Join(t.TempDir(), "sql"), "boot 1")
	r.exec("", "create table t(a)")
	r.exec("", "insert into t values(random())")
	want := read(t, r.s, "", "select a from t")

	again := openLeftBehind(t, crashed(t, r.s), "boot 1")
	if !again.s.CanResume("") || again.s.CanResume("1-2-3") {
		t.Fatal("the files belong to the beginning of the log, and to no snapshot")
	}
	again.exec("", "create table t(a)") // of the same index as before
	if reply := again.exec("", "insert into t values(random())"); len(reply.Results) != 0 {
		t.Fatalf("it ran again: %+v", reply)
	}
	if got := read(t, again.s, "", "select a from t"); got != want {
		t.Fatalf("rows %q, before the crash %q", got, want)
	}
	again.exec("", "insert into t values(7)") // a new entry
	if got := read(t, again.s, "", "select count(*) from t"); got != "2\n" {
		t.Fatalf("after the next entry: %q", got)
	}
}

func TestFilesOfAnotherBootAreNotUsed(t *testing.T) {
	for was, is := range map[string]string{"boot 1": "boot 2", "": "", "boot 3": ""} {
		r := openLeftBehind(t, filepath.Join(t.TempDir(), "sql"), was)
		r.exec("", "create table t(a)")
		again := openLeftBehind(t, crashed(t, r.s), is)
		again.exec("", "create table t(a)")
		if got := read(t, again.s, "", "select count(*) from t"); got != "0\n" {
			t.Fatalf("%q then %q: %q", was, is, got)
		}
		if reply := again.exec("", "insert into t values(1)"); len(reply.Results) != 1 {
			t.Fatalf("%q then %q: an entry was skipped", was, is)
		}
	}
}

// A damaged file must not stop every start to come.
func TestFilesThatFailedAreNotUsedAgain(t *testing.T) {
	r := openLeftBehind(t, filepath.Join(t.TempDir(), "sql"), "boot 1")
	r.exec("", "create table t(a)")
	for range 2 { // the second time there is nothing left to do
		if err := r.s.DistrustDatabases(); err != nil {
			t.Fatal(err)
		}
	}
	again := openLeftBehind(t, crashed(t, r.s), "boot 1")
	if reply := again.exec("", "create table t(a)"); len(reply.Results) != 1 {
		t.Fatal("the entry was skipped: the file was used again")
	}
}

// resume restores the tables of a snapshot over databases left behind, as a start does.
func resume(t *testing.T, r *rig, snap *Snapshot, pages bool) {
	t.Helper()
	err := r.s.Resume(func(to *Restorer) error {
		if err := to.Entry(snap.Index(), snap.Time()); err != nil {
			return err
		}
		return snap.Databases(func(d *structs.SQLDatabase) error {
			if pages {
				return pipeDatabase(snap, to, d)
			}
			return to.Database(d, failingReader{t}, nil, "")
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	r.index = snap.Index()
}

// failingReader is a file that must not be wanted.
type failingReader struct{ t *testing.T }

func (f failingReader) Read([]byte) (int, error) {
	f.t.Error("the file of the snapshot was read")
	return 0, os.ErrInvalid
}

func TestResumeKeepsFilesOfItsOwnHistory(t *testing.T) {
	r := openLeftBehind(t, filepath.Join(t.TempDir(), "sql"), "boot 1")
	r.exec("", "create table t(a)")
	snap := r.s.Snapshot()
	defer snap.Release()
	if err := snap.Note("snap-1"); err != nil {
		t.Fatal(err)
	}
	r.exec("", "insert into t values(1)")

	again := openLeftBehind(t, crashed(t, r.s), "boot 1")
	if !again.s.CanResume("snap-1") || again.s.CanResume("snap-2") {
		t.Fatal("the history has snap-1 and no other")
	}
	resume(t, again, snap, false)
	again.exec("", "insert into t values(1)") // again
	again.exec("", "insert into t values(2)") // new
	if got := read(t, again.s, "", "select group_concat(a) from t"); got != "01,2\n" {
		t.Fatalf("rows %q", got)
	}
}

func TestResumeTakesAFileThatIsMissing(t *testing.T) {
	r := openLeftBehind(t, filepath.Join(t.TempDir(), "sql"), "boot 1")
	r.exec("", "create table t(a)", "insert into t values(1)")
	snap := r.s.Snapshot()
	defer snap.Release()
	if refusal := r.database(structs.SQLDatabaseDrop, structs.SQLDatabase{Name: structs.DefaultDatabase}); refusal != nil {
		t.Fatal(refusal)
	}
	again := openLeftBehind(t, crashed(t, r.s), "boot 1")
	resume(t, again, snap, true)
	if got := read(t, again.s, "", "select a from t"); got != "1\n" {
		t.Fatalf("rows %q", got)
	}
}

func TestRestoreBeginsAHistoryOfItsOwn(t *testing.T) {
	r := openLeftBehind(t, filepath.Join(t.TempDir(), "sql"), "boot 1")
	r.exec("", "create table t(a)")
	if err := r.s.Restore(func(*Restorer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	again := openLeftBehind(t, crashed(t, r.s), "boot 1")
	if reply := again.exec("", "create table t(a)"); len(reply.Results) != 1 {
		t.Fatal("files that were restored pass for those of the beginning")
	}
	if err := again.s.ForgetDatabases(); err != nil || !again.s.CanResume("") {
		t.Fatalf("after they were forgotten: %v", err)
	}
	if err := r.s.NoteSnapshot("snap-9"); err != nil {
		t.Fatal(err)
	}
	if third := openLeftBehind(t, crashed(t, r.s), "boot 1"); !third.s.CanResume("snap-9") {
		t.Fatal("the history lacks what it was restored from")
	}
}

func TestSnapshotSweepsFilesOfDroppedDatabases(t *testing.T) {
	r := openLeftBehind(t, filepath.Join(t.TempDir(), "sql"), "boot 1")
	r.exec("", "create table t(a)")
	dir := r.s.current.Load().files.dir
	old, future := filepath.Join(dir, "default.gone.3.db"), filepath.Join(dir, "default.later."+strconv.FormatUint(r.index+5, 10)+".db")
	for _, path := range []string{old, future} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.s.Snapshot().Release()
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("the file of a dropped database is still there: %v", err)
	}
	if _, err := os.Stat(future); err != nil {
		t.Errorf("a file that a later entry made is gone: %v", err)
	}
	r.exec("", "insert into t values(1)")
}

// TestACopyIsNotTakenForAFileThatIsAhead: after a crash the file has entries behind the snapshot, which replay skips.
func TestACopyIsNotTakenForAFileThatIsAhead(t *testing.T) {
	for _, ahead := range []bool{false, true} {
		r := openLeftBehind(t, filepath.Join(t.TempDir(), "sql"), "boot 1")
		r.exec("", "create table t(a)")
		snap := r.s.Snapshot()
		defer snap.Release()
		var row *structs.SQLDatabase
		for d := range scan[structs.SQLDatabase](nil, snap.v.tx, tableDatabases, indexID, nil) {
			row = d
		}
		copied := &DatabaseCopy{File: "f", Applied: r.index}
		if err := snap.Note("snap-1"); err != nil {
			t.Fatal(err)
		}
		if ahead {
			r.exec("", "insert into t values(1)")
		}
		again := openLeftBehind(t, crashed(t, r.s), "boot 1")
		err := again.s.Resume(func(to *Restorer) error {
			if err := to.Entry(snap.Index(), snap.Time()); err != nil {
				return err
			}
			return to.Database(row, failingReader{t}, copied, "snap-1")
		})
		if err != nil {
			t.Fatal(err)
		}
		next := again.s.Snapshot()
		defer next.Release()
		if c, from := next.Copy(row); (c == nil) != ahead || c != nil && from != "snap-1" {
			t.Errorf("ahead %v: copy %+v of %q", ahead, c, from)
		}
	}
}
