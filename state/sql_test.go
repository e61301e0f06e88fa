package state

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

	"github.com/debros/debros/structs"
)

// newSQLRig is a rig whose store keeps databases.
func newSQLRig(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	if err := r.s.OpenDatabases(filepath.Join(t.TempDir(), "sql"), ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.s.CloseDatabases(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func sqlRequest(namespace structs.Namespace, database string, statements ...string) *structs.SQLRequest {
	q := &structs.SQLRequest{WriteOptions: structs.WriteOptions{Namespace: namespace}, Database: database}
	for _, s := range statements {
		q.Statements = append(q.Statements, structs.SQLStatement{SQL: s})
	}
	return q
}

// exec runs statements, one after the other, as one entry.
func (r *rig) exec(database string, statements ...string) *structs.SQLReply {
	r.t.Helper()
	reply, refusal := r.tryExec(sqlRequest(ns, database, statements...))
	if refusal != nil {
		r.t.Fatal(refusal)
	}
	for i, res := range reply.Results {
		if res.Err != nil {
			r.t.Fatalf("statement %d: %v", i, res.Err)
		}
	}
	return reply
}

func (r *rig) tryExec(q *structs.SQLRequest) (reply *structs.SQLReply, refusal *structs.Error) {
	r.t.Helper()
	r.entry(func(tx *Txn) {
		var err error
		if reply, refusal, err = tx.SQL(q); err != nil {
			r.t.Fatal(err)
		}
	})
	return reply, refusal
}

func (r *rig) database(op structs.SQLDatabaseOp, d structs.SQLDatabase) *structs.Error {
	r.t.Helper()
	var refusal *structs.Error
	r.entry(func(tx *Txn) {
		var err error
		if _, refusal, err = tx.SQLDatabase(&structs.SQLDatabaseRequest{WriteOptions: structs.WriteOptions{Namespace: ns}, Op: op, Database: d}); err != nil {
			r.t.Fatal(err)
		}
	})
	return refusal
}

// read is the rows of a query, a line each, values by their kind and value.
func read(t *testing.T, s *Store, database, sql string) string {
	t.Helper()
	text, err := tryRead(s, ns, database, sql)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func tryRead(s *Store, namespace structs.Namespace, database, sql string) (string, error) {
	var out strings.Builder
	err := s.SQLQuery(context.Background(), namespace, database, structs.SQLStatement{SQL: sql}, SQLSink{
		Begin: func(uint64, []string, []string) error { return nil },
		Row: func(row structs.SQLRow) error {
			values, err := row.Values()
			for i, v := range values {
				if i > 0 {
					out.WriteByte('|')
				}
				fmt.Fprintf(&out, "%v%v", v.Integer(), v.Bytes())
			}
			out.WriteByte('\n')
			return err
		},
	})
	return out.String(), err
}

func TestDefaultDatabaseComesWithItsFirstWrite(t *testing.T) {
	r := newSQLRig(t)
	if got := read(t, r.s, "", "select count(*) from sqlite_schema where name not like '%debros%'"); got != "0\n" {
		t.Fatalf("before anything was written: %q", got)
	}
	if _, list, _ := r.s.SQLDatabaseList(nil, ns, "", 0); len(list) != 0 {
		t.Fatalf("a read has made %v", list)
	}
	reply := r.exec("", "create table t(a)", "insert into t values(1)")
	if reply.Index != r.index || reply.Results[1].RowsAffected != 1 {
		t.Fatalf("%+v", reply)
	}
	index, d := r.s.SQLDatabaseGet(nil, ns, structs.DefaultDatabase)
	if d == nil || d.CreateIndex != r.index || index != r.index {
		t.Fatalf("%+v at %d", d, index)
	}
	if got := read(t, r.s, "", "select a from t"); got != "1\n" {
		t.Fatalf("read back %q", got)
	}
	info, err := r.s.SQLDatabaseInfo(t.Context(), d)
	if err != nil || info.AppliedIndex != r.index || info.SizeBytes == 0 || info.SchemaVersion == 0 {
		t.Fatalf("%+v, %v", info, err)
	}
}

func TestWriteMovesOnlyItsOwnDatabase(t *testing.T) {
	r := newSQLRig(t)
	for _, name := range []string{"a", "b"} {
		if refusal := r.database(structs.SQLDatabaseCreate, structs.SQLDatabase{Name: name}); refusal != nil {
			t.Fatal(refusal)
		}
	}
	before, _ := r.s.SQLDatabaseGet(nil, ns, "a")
	r.exec("b", "create table t(a)")
	if after, _ := r.s.SQLDatabaseGet(nil, ns, "a"); after != before {
		t.Fatalf("a moved from %d to %d", before, after)
	}
	if after, _ := r.s.SQLDatabaseGet(nil, ns, "b"); after != r.index {
		t.Fatalf("b is at %d, want %d", after, r.index)
	}
	if _, err := tryRead(r.s, ns, "a", "select * from t"); err == nil {
		t.Fatal("a has b's table")
	}
}

// What one database draws must not tell what another one draws.
func TestDatabasesOfOneEntryDrawDifferentNumbers(t *testing.T) {
	r := newSQLRig(t)
	if refusal := r.database(structs.SQLDatabaseCreate, structs.SQLDatabase{Name: "a"}); refusal != nil {
		t.Fatal(refusal)
	}
	r.entry(func(tx *Txn) {
		for _, name := range []string{"", "a"} {
			if _, refusal, err := tx.SQL(sqlRequest(ns, name, "create table t as select random() as a")); refusal != nil || err != nil {
				t.Fatal(refusal, err)
			}
		}
	})
	if a, b := read(t, r.s, "", "select a from t"), read(t, r.s, "a", "select a from t"); a == b {
		t.Fatalf("both drew %s", a)
	}
}

func TestDatabaseRefusals(t *testing.T) {
	r := newSQLRig(t)
	if refusal := r.database(structs.SQLDatabaseCreate, structs.SQLDatabase{Name: "a"}); refusal != nil {
		t.Fatal(refusal)
	}
	for what, c := range map[string]struct {
		got  *structs.Error
		want structs.Kind
	}{
		"twice":    {r.database(structs.SQLDatabaseCreate, structs.SQLDatabase{Name: "a"}), structs.KindConflict},
		"bad name": {r.database(structs.SQLDatabaseCreate, structs.SQLDatabase{Name: "../a"}), structs.KindInvalid},
		"drop":     {r.database(structs.SQLDatabaseDrop, structs.SQLDatabase{Name: "b"}), structs.KindNotFound},
		"bad op":   {r.database("rename", structs.SQLDatabase{Name: "a"}), structs.KindInvalid},
	} {
		if c.got == nil || c.got.Kind != c.want {
			t.Errorf("%s: %v", what, c.got)
		}
	}
	if _, refusal := r.tryExec(sqlRequest(ns, "none", "select 1")); refusal == nil || refusal.Kind != structs.KindNotFound {
		t.Errorf("write to a missing database: %v", refusal)
	}
	if _, refusal := r.tryExec(sqlRequest("nowhere", "", "select 1")); refusal == nil || refusal.Kind != structs.KindNotFound {
		t.Errorf("write to a missing namespace: %v", refusal)
	}
	for _, c := range [][2]string{{"nowhere", ""}, {string(ns), "none"}} {
		if _, err := tryRead(r.s, structs.Namespace(c[0]), c[1], "select 1"); structs.KindOf(err) != structs.KindNotFound {
			t.Errorf("read of %v: %v", c, err)
		}
	}
}

func TestDroppedDatabaseIsGoneAndComesBackEmpty(t *testing.T) {
	r := newSQLRig(t)
	r.exec("", "create table t(a)")
	if refusal := r.database(structs.SQLDatabaseDrop, structs.SQLDatabase{Name: structs.DefaultDatabase}); refusal != nil {
		t.Fatal(refusal)
	}
	if _, err := tryRead(r.s, ns, "", "select * from t"); err == nil {
		t.Fatal("the table is still there")
	}
	if files := databaseFiles(t, r.s); len(files) > 0 && strings.Contains(strings.Join(files, " "), "default.default") {
		t.Fatalf("files left: %v", files)
	}
	r.exec("", "create table t(b)")
	if got := read(t, r.s, "", "select name from pragma_table_info('t')"); got != "0b\n" {
		t.Fatalf("columns %q", got)
	}
}

func databaseFiles(t *testing.T, s *Store) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(s.current.Load().files.dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestNamespaceTakesItsDatabasesAlong(t *testing.T) {
	r := newSQLRig(t)
	namespace := func(op structs.NamespaceOp) {
		r.entry(func(tx *Txn) {
			if _, refusal := tx.Namespace(&structs.NamespaceRequest{Op: op, Namespace: structs.NamespaceInfo{Name: "team"}}); refusal != nil {
				t.Fatal(refusal)
			}
		})
	}
	namespace(structs.NamespaceCreate)
	if _, refusal := r.tryExec(sqlRequest("team", "", "create table t(a)")); refusal != nil {
		t.Fatal(refusal)
	}
	namespace(structs.NamespaceDelete)
	if files := strings.Join(databaseFiles(t, r.s), " "); strings.Contains(files, "team.") {
		t.Fatalf("files left: %s", files)
	}
	namespace(structs.NamespaceCreate)
	if got, err := tryRead(r.s, "team", "", "select count(*) from sqlite_schema where name not like '%debros%'"); err != nil || got != "0\n" {
		t.Fatalf("a namespace of the same name begins with %q, %v", got, err)
	}
}

func TestAbortedEntryLeavesDatabasesAlone(t *testing.T) {
	r := newSQLRig(t)
	r.exec("", "create table t(a)")
	tx := r.s.Begin(structs.Stamp{Index: r.index + 1, Time: r.now})
	if _, refusal, err := tx.SQL(sqlRequest(ns, "", "insert into t values(1)")); refusal != nil || err != nil {
		t.Fatal(refusal, err)
	}
	if _, refusal, err := tx.SQLDatabase(&structs.SQLDatabaseRequest{WriteOptions: structs.WriteOptions{Namespace: ns},
		Op: structs.SQLDatabaseDrop, Database: structs.SQLDatabase{Name: structs.DefaultDatabase}}); refusal != nil || err != nil {
		t.Fatal(refusal, err)
	}
	tx.Abort()
	if got := read(t, r.s, "", "select count(*) from t"); got != "0\n" {
		t.Fatalf("after the abort: %q", got)
	}
	r.exec("", "insert into t values(2)")
}

// pipeDatabase restores a database from a snapshot.
func pipeDatabase(snap *Snapshot, to *Restorer, d *structs.SQLDatabase) error {
	var file bytes.Buffer
	if _, err := snap.WriteDatabase(d, &file); err != nil {
		return err
	}
	return to.Database(d, &file, nil, "")
}

// snapshotFile is a database as a snapshot has it, opened as a store of its own.
func snapshotFile(t *testing.T, snap *Snapshot, name string) *Store {
	t.Helper()
	s := New()
	if err := s.OpenDatabases(filepath.Join(t.TempDir(), "sql"), ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.CloseDatabases() })
	err := s.Restore(func(to *Restorer) error {
		return snap.Databases(func(d *structs.SQLDatabase) error {
			if d.Name != name {
				return nil
			}
			return pipeDatabase(snap, to, d)
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSnapshotHoldsTheDatabasesOfItsMoment(t *testing.T) {
	r := newSQLRig(t)
	for _, name := range []string{"changed", "dropped", "quiet"} {
		if refusal := r.database(structs.SQLDatabaseCreate, structs.SQLDatabase{Name: name}); refusal != nil {
			t.Fatal(refusal)
		}
		r.exec(name, "create table t(a)", "insert into t values(1)")
	}
	snap := r.s.Snapshot()
	defer snap.Release()
	r.exec("changed", "insert into t values(2)")
	if refusal := r.database(structs.SQLDatabaseDrop, structs.SQLDatabase{Name: "dropped"}); refusal != nil {
		t.Fatal(refusal)
	}
	for _, name := range []string{"changed", "dropped", "quiet"} {
		if got := read(t, snapshotFile(t, snap, name), name, "select group_concat(a) from t"); got != "01\n" {
			t.Errorf("%s in the snapshot: %q", name, got)
		}
	}
	snap.Release()
	if got := read(t, r.s, "changed", "select count(*) from t"); got != "2\n" {
		t.Errorf("the store has %q", got)
	}
	if files := strings.Join(databaseFiles(t, r.s), " "); strings.Contains(files, "dropped") {
		t.Errorf("files left: %s", files)
	}
}

func TestRestoreReplacesDatabasesUnderTheirReaders(t *testing.T) {
	r := newSQLRig(t)
	r.exec("", "create table t(a)", "insert into t values(1),(2),(3)")
	old := r.s.current.Load().files.dir
	n := 0
	err := r.s.SQLQuery(t.Context(), ns, "", structs.SQLStatement{SQL: "select a from t"}, SQLSink{
		Begin: func(uint64, []string, []string) error { return nil },
		Row: func(structs.SQLRow) error {
			if n++; n == 1 {
				return r.s.Restore(func(*Restorer) error { return nil })
			}
			return nil
		},
	})
	if err != nil || n != 3 {
		t.Fatalf("a query that runs during a restore gave %d rows, %v", n, err)
	}
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the old files are still there: %v", err)
	}
	if _, err := tryRead(r.s, ns, "", "select * from t"); err == nil {
		t.Fatal("the old table is still there")
	}
}

func TestDamagedDatabaseIsNotRestored(t *testing.T) {
	r := newSQLRig(t)
	r.exec("", "create table t(a)", "insert into t values(hex(zeroblob(20000)))")
	var file bytes.Buffer
	snap := r.s.Snapshot()
	defer snap.Release()
	var row *structs.SQLDatabase
	if err := snap.Databases(func(d *structs.SQLDatabase) error { row = d; _, err := snap.WriteDatabase(d, &file); return err }); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"cut":          file.Bytes()[:file.Len()/2],
		"not a file":   bytes.Repeat([]byte("x"), 5000),
		"a page wrong": append(append(bytes.Clone(file.Bytes()[:4096]), bytes.Repeat([]byte{0xff}, 4096)...), file.Bytes()[8192:]...),
	} {
		err := r.s.Restore(func(to *Restorer) error { return to.Database(row, bytes.NewReader(bad), nil, "") })
		if err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
	if got := read(t, r.s, "", "select count(*) from t"); got != "1\n" {
		t.Fatalf("after refused restores: %q", got)
	}
}

func TestIdleDatabasesAreClosed(t *testing.T) {
	r := newSQLRig(t)
	for i := range openFilesMax + 10 {
		name := fmt.Sprintf("d%d", i)
		if refusal := r.database(structs.SQLDatabaseCreate, structs.SQLDatabase{Name: name, PageBytes: 1024}); refusal != nil {
			t.Fatal(refusal)
		}
		r.exec(name, "create table t(a)", fmt.Sprintf("insert into t values(%d)", i))
	}
	if n := len(r.s.current.Load().files.open); n > openFilesMax {
		t.Fatalf("%d files are open, at most %d may be idle", n, openFilesMax)
	}
	if got := read(t, r.s, "d0", "select a from t"); got != "0\n" {
		t.Fatalf("the first one, opened again: %q", got)
	}
}

// A disk that fails is this server's own affair: the caller gets an error, not an answer, and the tables stay.
func TestLocalFaultIsNoAnswer(t *testing.T) {
	r := newSQLRig(t)
	r.exec("", "create table t(a)")
	dir := r.s.current.Load().files.dir
	if err := os.Mkdir(filepath.Join(dir, fmt.Sprintf("%s.broken.%d.db", ns, r.index+1)), 0o700); err != nil {
		t.Fatal(err)
	}
	if refusal := r.database(structs.SQLDatabaseCreate, structs.SQLDatabase{Name: "broken"}); refusal != nil {
		t.Fatal(refusal)
	}
	tx := r.s.Begin(structs.Stamp{Index: r.index + 1, Time: r.now})
	defer tx.Abort()
	if _, refusal, err := tx.SQL(sqlRequest(ns, "broken", "create table t(a)")); err == nil || refusal != nil {
		t.Fatalf("refusal %v, error %v", refusal, err)
	}
}

func TestBackupIsADatabaseOfItsOwn(t *testing.T) {
	r := newSQLRig(t)
	r.exec("", "create table t(a)", "insert into t values(1),(2)")
	var file bytes.Buffer
	if err := r.s.SQLBackup(t.Context(), &structs.SQLBackupRequest{QueryOptions: structs.QueryOptions{Namespace: ns}, Database: ""}, &file); err != nil {
		t.Fatal(err)
	}
	r.exec("", "delete from t")
	_, d := r.s.SQLDatabaseGet(nil, ns, structs.DefaultDatabase)
	if err := r.s.Restore(func(to *Restorer) error { return to.Database(d, &file, nil, "") }); err != nil {
		t.Fatal(err)
	}
	if got := read(t, r.s, "", "select count(*) from t"); got != "2\n" {
		t.Fatalf("the backup has %q rows", got)
	}
	for _, database := range []string{"none", "../x"} {
		if err := r.s.SQLBackup(t.Context(), &structs.SQLBackupRequest{QueryOptions: structs.QueryOptions{Namespace: ns}, Database: database}, io.Discard); structs.KindOf(err) != structs.KindNotFound {
			t.Errorf("backup of %q: %v", database, err)
		}
	}
	if err := r.s.SQLBackup(t.Context(), &structs.SQLBackupRequest{QueryOptions: structs.QueryOptions{Namespace: "nowhere"}, Database: ""}, io.Discard); structs.KindOf(err) != structs.KindNotFound {
		t.Errorf("backup in a missing namespace: %v", err)
	}
}

func TestSQLSizeIsOfAllDatabases(t *testing.T) {
	r := newSQLRig(t)
	r.exec("", "create table t(a)")
	n, before := r.s.SQLSize()
	if n != 1 || before == 0 {
		t.Fatalf("%d databases of %d bytes", n, before)
	}
	r.exec("", "insert into t values(zeroblob(1000000))")
	if n, after := r.s.SQLSize(); n != 1 || after < before+1_000_000 {
		t.Errorf("%d databases of %d bytes, before %d", n, after, before)
	}
}
