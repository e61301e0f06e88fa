package sqlrun_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
	"github.com/debros/debros/command/sqlrun"
)

var shared agenttest.Shared

func TestMain(m *testing.M) {
	status := m.Run()
	shared.Close()
	os.Exit(status)
}

func newSQL(t *testing.T) *api.SQL {
	t.Helper()
	client, err := api.New(api.Config{Address: shared.Node().API.Address(), Namespace: shared.Namespace()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client.SQL()
}

func importText(t *testing.T, db *api.SQL, text string) sqlrun.Imported {
	t.Helper()
	done, err := sqlrun.ImportSQL(t.Context(), db, strings.NewReader(text), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func export(t *testing.T, db *api.SQL, pattern string) string {
	t.Helper()
	var out bytes.Buffer
	if _, err := sqlrun.Export(t.Context(), db, &api.QueryOptions{}, pattern, &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func create(t *testing.T, sql *api.SQL, name string) *api.SQL {
	t.Helper()
	if _, _, err := sql.CreateDatabase(t.Context(), &api.SQLDatabase{Name: name}, nil); err != nil {
		t.Fatal(err)
	}
	return sql.Database(name)
}

// everything has what a schema can hold and values at their edges.
const everything = `
PRAGMA foreign_keys=OFF; PRAGMA user_version=7; PRAGMA application_id = 99;
BEGIN TRANSACTION;
CREATE TABLE "odd ""name"" FROM x" ("a FROM b" INTEGER PRIMARY KEY AUTOINCREMENT, [c d], e AS ([c d] || '!') STORED, f DEFAULT (1));
INSERT INTO "odd ""name"" FROM x"("c d") VALUES ('it''s; "quoted"'), (NULL), ('line
break'), (X'00FF'), (''), (X''), (CAST(X'FF00' AS TEXT));
INSERT INTO "odd ""name"" FROM x"("c d") VALUES (9223372036854775807), (-9223372036854775808), (0.1), (1e300), (9e999), (-9e999), (-0.0), (5e-324), (3.0);
CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
INSERT INTO w VALUES ('b', 1), ('a', 2);
CREATE TABLE empty (x);
CREATE TABLE log (what);
CREATE INDEX w_v ON w (v);
CREATE VIEW seen AS SELECT k FROM w;
CREATE TRIGGER t AFTER INSERT ON w BEGIN INSERT INTO log VALUES ('a;' || new.k); SELECT CASE WHEN 1 THEN 2 END; END;
CREATE VIRTUAL TABLE ft USING fts5(title, body);
INSERT INTO ft(rowid, title, body) VALUES (5, 'one', 'the quick fox'), (9, 'two', 'the lazy dog');
CREATE TABLE doc (id INTEGER PRIMARY KEY, t);
INSERT INTO doc VALUES (1, 'hello world');
CREATE VIRTUAL TABLE ext USING fts5(t, content='doc', content_rowid='id');
INSERT INTO ext(ext) VALUES ('rebuild');
CREATE VIRTUAL TABLE box USING rtree(id, x0, x1);
INSERT INTO box VALUES (1, 0.5, 2.5);
ANALYZE;
COMMIT;
`

func TestExportMakesTheDatabaseAnew(t *testing.T) {
	sql := newSQL(t)
	done := importText(t, sql, everything)
	if done.Skipped != 3 || done.Batches != 1 {
		t.Errorf("imported %+v", done)
	}
	first := export(t, sql, "")
	copied := create(t, sql, "copy")
	importText(t, copied, first)
	if second := export(t, copied, ""); second != first {
		t.Errorf("the copy's export differs:\n%s\nfirst:\n%s", second, first)
	}
	for query, want := range map[string][]any{
		`SELECT count(*), sum(typeof("c d") = 'real'), max(e) FROM "odd ""name"" FROM x"`: {int64(16), int64(7), nil},
		"SELECT rowid FROM ft WHERE ft MATCH 'lazy'":                                      {int64(9)},
		"SELECT rowid FROM ext WHERE ext MATCH 'world'":                                   {int64(1)},
		"SELECT id FROM box WHERE x0 < 1":                                                 {int64(1)},
		"SELECT count(*) FROM log":                                                        {int64(0)}, // no trigger ran
		"SELECT user_version FROM pragma_user_version":                                    {int64(7)},
		"SELECT count(*) FROM seen, sqlite_stat1 WHERE tbl = 'w'":                         {int64(4)},
		"SELECT seq FROM sqlite_sequence":                                                 {int64(16)},
	} {
		rows, err := copied.Query(t.Context(), api.Stmt(query), nil)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		for row, err := range rows.All() {
			if err != nil {
				t.Errorf("%s: %v", query, err)
				break
			}
			for i, w := range want {
				if got := row.Values()[i]; w != nil && got != w {
					t.Errorf("%s: %v", query, row.Values())
				}
			}
		}
	}
	if _, err := copied.Exec(t.Context(), "INSERT INTO w VALUES ('c', 3)"); err != nil {
		t.Fatal(err)
	}
	var what string
	if err := copied.QueryRow(t.Context(), api.Stmt("SELECT what FROM log"), nil, &what); err != nil || what != "a;c" {
		t.Errorf("the trigger wrote %q, %v", what, err)
	}
	if one := export(t, sql, "w"); !strings.Contains(one, "CREATE INDEX w_v") || strings.Contains(one, "ft") {
		t.Errorf("export of one table:\n%s", one)
	}
}

func TestImportNamesTheLineAndKeepsWhatIsDone(t *testing.T) {
	db := newSQL(t)
	var text strings.Builder
	text.WriteString("CREATE TABLE t (a UNIQUE);\n")
	for i := range 1000 {
		fmt.Fprintf(&text, "INSERT INTO t VALUES (%d);\n", i)
	}
	text.WriteString("-- a comment\nINSERT INTO t VALUES (5);\n")
	done, err := sqlrun.ImportSQL(t.Context(), db, strings.NewReader(text.String()), time.Minute)
	if err == nil || !strings.HasPrefix(err.Error(), "line 1003: UNIQUE constraint failed") {
		t.Errorf("error %v", err)
	}
	var n int64
	if err := db.QueryRow(t.Context(), api.Stmt("SELECT count(*) FROM t"), nil, &n); err != nil || n != done.Statements-1 || n != 999 {
		t.Errorf("%d rows, imported %+v, %v", n, done, err)
	}
	for text, want := range map[string]string{
		"BEGIN; CREATE TABLE u (a); ROLLBACK; -- due to errors": "not complete",
		"CREATE TABLE u (a); INSERT INTO u VALUES ('":           "the text ends inside a string",
		"ATTACH 'x' AS y": "line 1: ATTACH is not allowed",
	} {
		if _, err := sqlrun.ImportSQL(t.Context(), db, strings.NewReader(text), time.Minute); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestImportOfCSV(t *testing.T) {
	db := newSQL(t)
	null := "-"
	run := func(text string, o sqlrun.CSVOptions) error {
		_, err := sqlrun.ImportCSV(t.Context(), db, strings.NewReader(text), o, time.Minute)
		return err
	}
	if _, err := db.Exec(t.Context(), "CREATE TABLE typed (i INTEGER, r REAL, s TEXT, d DEFAULT 'x')"); err != nil {
		t.Fatal(err)
	}
	if err := run("s,r,i\n01,1.5,7\n-,-,\"8\"\n\"a\nb\",2,\n", sqlrun.CSVOptions{Table: "typed", Null: &null}); err != nil {
		t.Fatal(err)
	}
	if err := run("1;2;3;4\n", sqlrun.CSVOptions{Table: "typed", NoHeader: true, Separator: ';'}); err != nil {
		t.Fatal(err)
	}
	if err := run("\ufeffnew col,b\nx,\n", sqlrun.CSVOptions{Table: "made"}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s := sqlrun.Session{DB: db, Read: &api.QueryOptions{}, Out: &out, Format: sqlrun.JSON}
	for _, q := range []string{"SELECT * FROM typed", `SELECT "new col", b, typeof(b) AS kind FROM made`} {
		if err := s.Run(t.Context(), api.Stmt(q)); err != nil {
			t.Fatal(err)
		}
	}
	want := `[
  {"i":7,"r":1.5,"s":"01","d":"x"},
  {"i":8,"r":null,"s":null,"d":"x"},
  {"i":"","r":2.0,"s":"a\nb","d":"x"},
  {"i":1,"r":2.0,"s":"3","d":"4"}
]
[
  {"new col":"x","b":"","kind":"text"}
]
`
	if out.String() != want {
		t.Errorf("got\n%s", &out)
	}
	for text, want := range map[string]string{
		"":              "the file is empty",
		"a,,b\n1,2,3\n": "column 2 has no name",
		"nothere\n1\n":  "no column named nothere",
		"i,r\n1,2\n1\n": "wrong number of fields",
	} {
		if err := run(text, sqlrun.CSVOptions{Table: "typed"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := run("1\n", sqlrun.CSVOptions{Table: "nowhere", NoHeader: true}); err == nil || !strings.Contains(err.Error(), "there is no table") {
		t.Errorf("no table, no header: %v", err)
	}
}

func TestArgumentsOfACommandLine(t *testing.T) {
	got := sqlrun.WordArgs([]string{"5", "-7", "9223372036854775807", "9223372036854775808", "007", "+5", "1.5", "1.10", "1e5", "inf", "", "NULL", "x", "-0"})
	want := []any{int64(5), int64(-7), int64(math.MaxInt64), "9223372036854775808", "007", "+5", 1.5, "1.10", "1e5", "inf", "", "NULL", "x", "-0"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v", got)
	}
	args, err := sqlrun.JSONArgs(`[null, 9223372036854775807, 1.0, "x", true, {"blob": "AAEC"}, {"text": "/w=="}, {"real": "-Infinity"}]`)
	if want := []any{nil, int64(math.MaxInt64), 1.0, "x", true, []byte{0, 1, 2}, "\xff", math.Inf(-1)}; err != nil || !reflect.DeepEqual(args, want) {
		t.Errorf("got %#v, %v", args, err)
	}
	args, err = sqlrun.JSONArgs(`{"b": 1, "a": "x"}`)
	if want := []any{api.Named("a", "x"), api.Named("b", int64(1))}; err != nil || !reflect.DeepEqual(args, want) {
		t.Errorf("got %#v, %v", args, err)
	}
	for _, bad := range []string{"", "5", "[1", "[1] 2", "[[1]]", `[{"blob": "%"}]`, `[{"blob": 1}]`, `[{"real": "1"}]`, "[99999999999999999999]", "[1e999]"} {
		if args, err := sqlrun.JSONArgs(bad); err == nil {
			t.Errorf("%s became %#v", bad, args)
		}
	}
}

// TestTableStreams: a table of any length is written as it comes, with the widths of its first rows.
func TestTableStreams(t *testing.T) {
	var out bytes.Buffer
	s := sqlrun.Session{DB: newSQL(t), Read: &api.QueryOptions{}, Out: &out, Format: sqlrun.Table}
	err := s.Run(t.Context(), api.Stmt("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i, char(27) || 'x' AS s FROM n"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 20003 || lines[2] != `  1  \x1bx` || lines[20001] != `20000  \x1bx` {
		t.Errorf("%d lines: %q … %q", len(lines), lines[2], lines[20001])
	}
}

// TestMigrationsAreDoneOnceByMany: each adds a row, so that one done twice would show.
func TestMigrationsAreDoneOnceByMany(t *testing.T) {
	db := newSQL(t)
	dir := fstest.MapFS{"1.sql": {Data: []byte("CREATE TABLE n (i);")}}
	for i := 2; i < 8; i++ {
		dir[fmt.Sprintf("%d.sql", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, "INSERT INTO n VALUES (%d);", i)}
	}
	var wg sync.WaitGroup
	var total atomic.Int32
	for range 4 {
		wg.Go(func() {
			all, err := sqlrun.ReadMigrations(dir)
			if err == nil {
				err = sqlrun.Migrate(t.Context(), db, all, false, time.Minute, func(*sqlrun.Migration) { total.Add(1) })
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var rows string
	if err := db.QueryRow(t.Context(), api.Stmt("SELECT group_concat(i) FROM n"), nil, &rows); err != nil || rows != "2,3,4,5,6,7" || total.Load() != 7 {
		t.Errorf("rows %s, %d migrations done, %v", rows, total.Load(), err)
	}
}
