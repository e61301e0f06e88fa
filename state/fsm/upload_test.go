package fsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

// fileOf is a database file, ready to be uploaded, in which SQL was run.
func fileOf(t *testing.T, statements ...string) []byte {
	t.Helper()
	f := New(newStore(t), nil)
	apply(t, f, 2, sql(t, statements...))
	var backup bytes.Buffer
	if err := f.Store().SQLBackup(context.Background(), &structs.SQLBackupRequest{QueryOptions: structs.QueryOptions{Namespace: structs.DefaultNamespace}}, &backup); err != nil {
		t.Fatal(err)
	}
	staged, err := f.Store().StageDatabase(context.Background(), &structs.SQLDatabase{}, &backup)
	if err != nil {
		t.Fatal(err)
	}
	defer staged.Close()
	data, err := io.ReadAll(staged)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func upload(t *testing.T, r structs.SQLUploadRequest) structs.Command {
	t.Helper()
	r.Namespace = structs.DefaultNamespace
	return command(t, structs.CommandSQLUpload, &r)
}

func keepChanges(t *testing.T) structs.Command {
	t.Helper()
	r := &structs.SQLDatabaseRequest{Op: structs.SQLDatabaseSetChanges, Database: structs.SQLDatabase{Name: structs.DefaultDatabase, ChangesBytes: 1 << 20}}
	r.Namespace = structs.DefaultNamespace
	return command(t, structs.CommandSQLDatabase, r)
}

// changesOf counts the changes that are kept, behind the last file that came.
func changesOf(t *testing.T, f *FSM) (text string) {
	t.Helper()
	runs, at, err := f.Store().SQLChanges(context.Background(), nil, structs.DefaultNamespace, "", structs.SQLPosition{}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		text += fmt.Sprint(r.Last(), " ")
	}
	_, _, err = f.Store().SQLChanges(context.Background(), nil, structs.DefaultNamespace, "", structs.SQLPosition{Index: 5, Seq: 1}, 1)
	return fmt.Sprint(text, at, " ", structs.KindOf(err))
}

// uploadStory is entries in which two files come to a database, one after the other, while it is written.
func uploadStory(t *testing.T) []structs.Command {
	one := fileOf(t, "create table t(a)", "insert into t values('one')", "create table pad(b)", "insert into pad values(zeroblob(9000))")
	two := fileOf(t, "create table t(a)", "insert into t values('two')")
	cut := int64(len(one) / 3)
	db := structs.SQLDatabase{PageBytes: 4096}
	return []structs.Command{
		sql(t, "create table t(a)", "insert into t values('old')"),
		keepChanges(t),
		upload(t, structs.SQLUploadRequest{Op: structs.SQLUploadBegin, ID: "one"}),
		upload(t, structs.SQLUploadRequest{Op: structs.SQLUploadAppend, ID: "one", Data: one[:cut]}),
		sql(t, "insert into t values('more')"),
		upload(t, structs.SQLUploadRequest{Op: structs.SQLUploadAppend, ID: "one", Data: one[cut:], Offset: cut}),
		upload(t, structs.SQLUploadRequest{Op: structs.SQLUploadInstall, ID: "one", Offset: int64(len(one)), Database: db}),
		sql(t, "insert into t values('after')"),
		upload(t, structs.SQLUploadRequest{Op: structs.SQLUploadBegin, ID: "two"}),
		upload(t, structs.SQLUploadRequest{Op: structs.SQLUploadAppend, ID: "two", Data: two}),
		upload(t, structs.SQLUploadRequest{Op: structs.SQLUploadInstall, ID: "two", Offset: int64(len(two)), Database: db}),
		sql(t, "insert into t values(random())"),
	}
}

func applyStory(t *testing.T, f *FSM, story []structs.Command, from int) {
	t.Helper()
	for i := from; i < len(story); i++ {
		if r := apply(t, f, uint64(i+2), story[i])[0]; r.Err != nil {
			t.Fatalf("entry %d: %v", i+2, r.Err)
		}
	}
}

const all = "select group_concat(a) from t"

// TestUploadSurvivesACrashAnywhere stops a replica after each entry, and in the middle of those that move files, and has it
// go on from each snapshot that it may have taken before.
func TestUploadSurvivesACrashAnywhere(t *testing.T) {
	story := uploadStory(t)
	never := New(newStore(t), nil)
	applyStory(t, never, story, 0)
	want := sqlOne(t, never, all)
	if !strings.HasPrefix(string(want.Bytes()), "two,") {
		t.Fatalf("%q", want.Bytes())
	}
	if got := changesOf(t, never); got != "13.1 13.1 gone" {
		t.Fatalf("changes behind the second file: %s", got)
	}
	wantTables := withoutPages(t, stream(t, never))

	dir := filepath.Join(t.TempDir(), "sql")
	s := state.New()
	if err := s.OpenDatabases(dir, "boot"); err != nil {
		t.Fatal(err)
	}
	defer s.CloseDatabases()
	f := New(s, nil)
	snapshots := map[int][]byte{}
	for k := range story {
		apply(t, f, uint64(k+2), story[k])
		snapshots[k] = stream(t, f)
		left := filepath.Join(t.TempDir(), "left")
		if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		for j := 0; j <= k; j++ {
			for _, moved := range []bool{false, true} {
				t.Run(fmt.Sprintf("snapshot after %d, crash after %d, in a move %v", j, k, moved), func(t *testing.T) {
					again := filepath.Join(t.TempDir(), "again")
					if err := os.CopyFS(again, os.DirFS(left)); err != nil {
						t.Fatal(err)
					}
					if moved && !moveUploads(t, again, k+3) {
						return // there is no upload at this point
					}
					s := state.New()
					if err := s.OpenDatabases(again, "boot"); err != nil {
						t.Fatal(err)
					}
					defer s.CloseDatabases()
					if !s.CanResume("mem") {
						t.Fatal("the files do not know the snapshot")
					}
					f := New(s, nil)
					if err := f.ResumeLocal(Local{ID: "mem", Stream: bytes.NewReader(snapshots[j])}); err != nil {
						t.Fatal(err)
					}
					applyStory(t, f, story, j+1)
					if got := sqlOne(t, f, all); got != want {
						t.Fatalf("%q, not %q", got.Bytes(), want.Bytes())
					}
					if got := changesOf(t, f); got != changesOf(t, never) {
						t.Fatalf("changes: %s", got)
					}
					if !bytes.Equal(withoutPages(t, stream(t, f)), wantTables) {
						t.Fatal("the tables differ")
					}
					files, _ := filepath.Glob(filepath.Join(again, "*", "*.*"))
					if len(files) != 1 && len(files) != 2 { // with its log
						t.Fatalf("left behind: %v", files)
					}
				})
			}
		}
	}
}

// moveUploads does what an install at index begins with.
func moveUploads(t *testing.T, dir string, index int) bool {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "*", "*.upload"))
	for _, f := range files {
		if err := os.Rename(f, filepath.Join(filepath.Dir(f), fmt.Sprintf("default.default.%d.db", index))); err != nil {
			t.Fatal(err)
		}
	}
	return len(files) > 0
}

// A snapshot taken before a file is installed still has all of it afterwards.
func TestSnapshotHoldsAnUploadThatIsInstalled(t *testing.T) {
	story := uploadStory(t)
	f := New(newStore(t), nil)
	for i := range 5 {
		apply(t, f, uint64(i+2), story[i])
	}
	want := stream(t, f)
	snap, err := f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Release()
	for i := 5; i < 7; i++ {
		apply(t, f, uint64(i+2), story[i])
	}
	apply(t, f, 9, sql(t, "insert into pad select zeroblob(4000000) from pad, pad")) // more than stays in the write-ahead log
	apply(t, f, 10, sql(t, "insert into pad select zeroblob(4000000) from pad"))
	sink := &memSink{}
	if err := snap.Persist(sink); err != nil || !bytes.Equal(sink.Bytes(), want) {
		t.Fatalf("%v; the snapshot has moved on", err)
	}
	g := restored(t, sink.Bytes())
	applyStory(t, g, story, 5)
	if got := sqlOne(t, g, "select substr(group_concat(a), 1, 4) from t"); got.Bytes() != "two," {
		t.Fatalf("%q", got.Bytes())
	}
	if _, list, _ := f.Store().SQLDatabaseList(nil, structs.DefaultNamespace, "", 0); len(list) != 1 || list[0].Name != "default" {
		t.Fatalf("%+v", list)
	}
}

func TestUploadRefusesWhatDoesNotFollow(t *testing.T) {
	f := New(newStore(t), nil)
	file := fileOf(t, "create table t(a)")
	begin := structs.SQLUploadRequest{Op: structs.SQLUploadBegin, ID: "x"}
	index := uint64(2)
	try := func(r structs.SQLUploadRequest) *structs.Error {
		index++
		return apply(t, f, index, upload(t, r))[0].Err
	}
	for i, c := range []struct {
		r    structs.SQLUploadRequest
		want structs.Kind
	}{
		{structs.SQLUploadRequest{Op: structs.SQLUploadAppend, ID: "x", Data: file}, structs.KindNotFound},
		{structs.SQLUploadRequest{Op: structs.SQLUploadBegin, ID: "../x"}, structs.KindInvalid},
		{begin, 0},
		{begin, structs.KindConflict},
		{structs.SQLUploadRequest{Op: structs.SQLUploadAppend, ID: "x", Data: file, Offset: 5}, structs.KindConflict},
		{structs.SQLUploadRequest{Op: structs.SQLUploadAppend, ID: "x"}, structs.KindConflict},
		{structs.SQLUploadRequest{Op: structs.SQLUploadAppend, ID: "x", Data: file}, 0},
		{structs.SQLUploadRequest{Op: structs.SQLUploadAppend, ID: "x", Data: file}, structs.KindConflict},
		{structs.SQLUploadRequest{Op: structs.SQLUploadInstall, ID: "x", Offset: 7}, structs.KindConflict},
		{structs.SQLUploadRequest{Op: structs.SQLUploadInstall, ID: "x", Offset: int64(len(file)), Database: structs.SQLDatabase{Name: "No"}}, structs.KindInvalid},
		{structs.SQLUploadRequest{Op: "odd", ID: "x"}, structs.KindInvalid},
		{structs.SQLUploadRequest{Op: structs.SQLUploadDrop, ID: "x"}, 0},
		{structs.SQLUploadRequest{Op: structs.SQLUploadInstall, ID: "x", Offset: int64(len(file))}, structs.KindNotFound},
	} {
		err := try(c.r)
		if (err == nil) != (c.want == 0) || err != nil && err.Kind != c.want {
			t.Errorf("step %d: %v, want %v", i, err, c.want)
		}
	}
	if f.Store().HasDatabases() {
		t.Error("something is left")
	}
}

// An upload that is cut short in a snapshot must not be restored.
func TestRestoreRefusesAShortUpload(t *testing.T) {
	d := &structs.SQLDatabase{Name: "upload.x", Upload: &structs.SQLUpload{SizeBytes: 5}}
	var refusal *structs.Error
	if err := state.CheckDatabase(d, strings.NewReader("1234"), ""); !errors.As(err, &refusal) {
		t.Fatal(err)
	}
}
