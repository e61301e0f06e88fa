package sqldb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

// refusedEverywhere must be refused on the writer and on readers.
var refusedEverywhere = map[string]string{
	"BEGIN":                               "BEGIN is not allowed here",
	"BEGIN IMMEDIATE":                     "BEGIN is not allowed here",
	"COMMIT":                              "COMMIT is not allowed here",
	"END":                                 "COMMIT is not allowed here",
	"ROLLBACK":                            "ROLLBACK is not allowed here",
	"SAVEPOINT x":                         "SAVEPOINT is not allowed here",
	"RELEASE request":                     "SAVEPOINT is not allowed here",
	"ROLLBACK TO request":                 "SAVEPOINT is not allowed here",
	"ATTACH '/tmp/x.db' AS x":             "ATTACH is not allowed here",
	"DETACH main":                         "DETACH is not allowed here",
	"VACUUM":                              "VACUUM is not allowed here",
	"VACUUM INTO '/tmp/x.db'":             "VACUUM is not allowed here",
	"/* c */ vacuum into '/tmp/x.db'":     "VACUUM is not allowed here",
	"CREATE TEMP TABLE x (a)":             "temporary tables",
	"CREATE TABLE temp.x (a)":             "temporary tables",
	"CREATE TEMPORARY VIEW x AS SELECT 1": "temporary tables",
	"INSERT INTO temp.sqlite_schema VALUES (1)":                   "",
	"PRAGMA temp.user_version = 3":                                "temporary tables",
	"CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END": "temporary tables",
	"SELECT load_extension('x')":                                  "load_extension() is not allowed",
	"PRAGMA query_only(1)":                                        "PRAGMA query_only is not allowed",
	"PRAGMA query_only=0":                                         "PRAGMA query_only is not allowed",
	"/* c */ PRAGMA writable_schema=1":                            "PRAGMA writable_schema is not allowed",
	"SELECT 1; PRAGMA synchronous=2":                              "PRAGMA synchronous is not allowed",
	"PRAGMA journal_mode=DELETE":                                  "PRAGMA journal_mode is not allowed",
	"PRAGMA foreign_keys=1":                                       "PRAGMA foreign_keys cannot be changed",
	"PRAGMA defer_foreign_keys=1":                                 "PRAGMA defer_foreign_keys is not allowed",
	"PRAGMA optimize":                                             "PRAGMA optimize is not allowed",
	"PRAGMA wal_checkpoint":                                       "PRAGMA wal_checkpoint is not allowed",
	"PRAGMA schema_version=7":                                     "PRAGMA schema_version is not allowed",
	"SELECT * FROM pragma_data_version":                           "PRAGMA data_version is not allowed",
	"SELECT * FROM sqlite_dbpage":                                 "sqlite_dbpage is not allowed",
	"SELECT * FROM _debros_meta":                                  "names that begin with _debros_",
	"SELECT (SELECT value FROM _DEBROS_meta)":                     "names that begin with _debros_",
}

var refusedInWrites = map[string]string{
	"INSERT OR ROLLBACK INTO t VALUES (1)":                                           "ROLLBACK is not allowed as a conflict resolution",
	"CREATE TABLE x (a UNIQUE ON CONFLICT ROLLBACK)":                                 "ROLLBACK is not allowed as a conflict resolution",
	"CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT RAISE(/**/rollback, 'no'); END": "ROLLBACK is not allowed as a conflict resolution",
	"INSERT INTO t SELECT sqlite_version()":                                          "sqlite_version() is not allowed in a write",
	"INSERT INTO t SELECT sqlite_source_id()":                                        "sqlite_source_id() is not allowed in a write",
	"INSERT INTO t SELECT sin(a) FROM t":                                             "sin() is not allowed in a write",
	"INSERT INTO t SELECT sqlite_offset(a) FROM t":                                   "sqlite_offset() is not allowed in a write",
	"INSERT INTO t SELECT fts5_locale('en', 'x')":                                    "fts5_locale() is not allowed in a write",
	"INSERT INTO t SELECT pageno FROM dbstat":                                        "dbstat is not allowed in a write",
	"INSERT INTO t SELECT * FROM pragma_page_count":                                  "PRAGMA page_count is not allowed in a write",
	"INSERT INTO t SELECT * FROM pragma_quick_check":                                 "PRAGMA quick_check is not allowed in a write",
	"EXPLAIN SELECT 1":                             "EXPLAIN is not allowed in a write",
	"explain/**/INSERT INTO t VALUES (1)":          "EXPLAIN is not allowed in a write",
	"PRAGMA integrity_check":                       "PRAGMA integrity_check is not allowed in a write",
	"CREATE TABLE _debros_x (a)":                   "names that begin with _debros_",
	"CREATE VIEW _Debros_x AS SELECT 1":            "names that begin with _debros_",
	"DROP TABLE _debros_meta":                      "names that begin with _debros_",
	"ALTER TABLE _debros_meta ADD COLUMN x":        "names that begin with _debros_",
	"ALTER TABLE t RENAME TO _debros_x":            "names that begin with _debros_",
	"CREATE INDEX x ON _debros_meta (value)":       "names that begin with _debros_",
	"UPDATE _debros_meta SET value = 0":            "names that begin with _debros_",
	"DELETE FROM _debros_replies":                  "names that begin with _debros_",
	"INSERT INTO t SELECT value FROM _debros_meta": "names that begin with _debros_",
	"UPDATE sqlite_stat1 SET stat = '1 1'":         "the planner's statistics cannot be written by hand",
	"DELETE FROM sqlite_stat1":                     "the planner's statistics cannot be written by hand",
	"UPDATE sqlite_schema SET sql = ''":            "",
	"CREATE VIRTUAL TABLE x USING dbstat":          "virtual tables of dbstat are not allowed",
	"INSERT INTO t VALUES (\"text\")":              "no such column",
}

func TestRefusedStatementsNameTheAlternativeAndChangeNothing(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (a)", "INSERT INTO t VALUES (7)", "CREATE VIEW v AS SELECT a FROM t", "CREATE INDEX ti ON t (a)", "ANALYZE t")
	version := r.query("PRAGMA schema_version")
	check := func(where, sql, want string, refusal *structs.Error) {
		t.Helper()
		switch {
		case refusal == nil:
			t.Errorf("%s: %s: not refused", where, sql)
		case !strings.Contains(refusal.Message, want):
			t.Errorf("%s: %s: %s", where, sql, refusal.Message)
		case refusal.Kind == structs.KindDenied && refusal.Hint == "":
			t.Errorf("%s: %s: no hint", where, sql)
		}
	}
	execute := func(sql, want string) {
		t.Helper()
		r.index++
		tx, err := r.db.Begin(stampOf(r.index))
		if err != nil {
			t.Fatal(err)
		}
		for _, whole := range []bool{false, true} {
			req := request(sql)
			req.Transaction = whole
			rep, refusal, err := tx.Execute(req)
			if err != nil || refusal != nil {
				t.Fatal(sql, refusal, err)
			}
			check("write", sql, want, rep.Results[0].Err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	for sql, want := range refusedEverywhere {
		execute(sql, want)
		_, err := r.tryQuery(context.Background(), sql)
		var refusal *structs.Error
		if !errors.As(err, &refusal) {
			t.Errorf("query: %s: %v", sql, err)
			continue
		}
		check("query", sql, want, refusal)
	}
	for sql, want := range refusedInWrites {
		execute(sql, want)
	}
	expect(t, r.query("SELECT a FROM t"), "7")
	if got := r.query("PRAGMA schema_version"); got != version {
		t.Errorf("schema version %s, was %s", got, version)
	}
	expect(t, r.query("PRAGMA integrity_check"), `"ok"`)
}

func TestAllowedStatements(t *testing.T) {
	r := newReplica(t, Options{DoubleQuotedStrings: true})
	r.must("CREATE TABLE t (a INTEGER PRIMARY KEY, b DEFAULT \"x\", [rollback])", `INSERT INTO t (b, "rollback") VALUES ('ROLLBACK', 1) -- rollback`,
		"PRAGMA table_info(t)", "SELECT * FROM pragma_table_info('t')", "PRAGMA user_version=3", "EXPLAIN QUERY PLAN INSERT INTO t VALUES (1, 2, 3)", "INSERT INTO t (b) VALUES (\"text\")",
		"ALTER TABLE t ADD COLUMN c NOT NULL DEFAULT 1 CHECK (c > 0)", "ALTER TABLE t DROP COLUMN c", "ALTER TABLE t RENAME TO u", "DROP TABLE u",
		"SELECT sqrt(2), ceil(1.5), floor(1.5), mod(5, 3), round(2.5)")
	expect(t, r.query("PRAGMA user_version"), "3")
	r.query("SELECT sin(1), sqlite_version()")
	r.query("SELECT count(*) FROM dbstat")
	r.query("EXPLAIN QUERY PLAN SELECT 1")
}

func TestQueriesCannotWrite(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (a)", "CREATE VIEW v AS SELECT a FROM t", "CREATE TRIGGER tr INSTEAD OF INSERT ON v BEGIN INSERT INTO t VALUES (new.a); END")
	for _, sql := range []string{"INSERT INTO t VALUES (1)", "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", "INSERT INTO t VALUES (1) RETURNING a", "DELETE FROM t",
		"INSERT INTO v VALUES (1)", "CREATE TABLE x (a)", "SELECT 1; INSERT INTO t VALUES (1)", "DROP TABLE t", "ANALYZE", "REINDEX"} {
		_, err := r.tryQuery(context.Background(), sql)
		if !errors.Is(err, structs.ErrDenied) || !strings.Contains(err.Error(), "a query cannot write") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	r.query("EXPLAIN INSERT INTO t VALUES (1)")
	expect(t, r.query("SELECT count(*) FROM t"), "0")
}

func TestBadInputIsAnsweredTheSameWayAndBounded(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (a)", "INSERT INTO t SELECT i FROM (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 2000) SELECT i FROM c)")
	deep := strings.Repeat("(", 20_000) + "1" + strings.Repeat(")", 20_000)
	sum := "SELECT 1" + strings.Repeat("+1", 5000)
	var million strings.Builder
	million.WriteString("INSERT INTO t VALUES (?)")
	for range 330_000 {
		million.WriteString(",(?)")
	}
	for _, c := range []struct{ sql, want string }{
		{"INSERT INTO t VALUES (zeroblob(2e9))", "too_large: string or blob too big"},
		{"INSERT INTO t VALUES (randomblob(2e9))", "too_large: string or blob too big"},
		{"INSERT INTO t VALUES (printf('%2000000000d', 1))", "too_large: string or blob too big"},
		{"INSERT INTO t SELECT group_concat(hex(zeroblob(10000))) FROM t", "too_large: string or blob too big"},
		{"INSERT INTO t WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT i FROM c", "too_large: the request is too much work"},
		{"INSERT INTO t SELECT count(*) FROM t a, t b, t c, t d", "too_large: the request is too much work"},
		{"SELECT count(*) FROM t a, t b, t c, t d", "too_large: the request is too much work"},
		{"SELECT '" + strings.Repeat("a", 100_000) + "' LIKE '" + strings.Repeat("%a", 10_000) + "b'", "invalid: LIKE or GLOB pattern too complex"},
		{"SELECT '" + strings.Repeat("a", 1<<20) + "'", "too_large: a statement may have 1048576 bytes"},
		{"SELECT '" + strings.Repeat("a", 1<<20-100) + "' IS NULL", ""},
		{million.String(), "too_large: a statement may have 1048576 bytes"},
		{"SELECT ?32767", "variable number must be between"},
		{"SELECT " + deep, "invalid: "},
		{sum, "invalid: Expression tree is too large"},
		{"SELECT 1 " + strings.Repeat("UNION ALL SELECT 1 ", 600), "too many terms in compound SELECT"},
		{"SELECT 'a\x00b'", "the statement has a zero byte"},
		{"SELEC 1", "syntax error"},
		{"SELECT \xff\xfe", "invalid: "},
		{"SELECT 'unterminated", "unrecognized token"},
		{"/* unterminated", ""},
		{"INSERT INTO t VALUES (abs(-9223372036854775808))", "integer overflow"},
		{"CREATE TABLE s (a INTEGER) STRICT; INSERT INTO s VALUES ('x')", "cannot store TEXT value in INTEGER column"},
		{"CREATE TABLE m (id INTEGER PRIMARY KEY); INSERT INTO m VALUES ('x')", "datatype mismatch"},
	} {
		req := request(c.sql)
		req.WorkMax = 2_000_000
		started := time.Now()
		got := r.entry(req)[0]
		if !strings.Contains(got, c.want) || (c.want != "") != strings.Contains(got, "error: ") {
			t.Errorf("%.80s: %.200s, want %q", c.sql, got, c.want)
		}
		if took := time.Since(started); took > 20*time.Second {
			t.Errorf("%.80s took %v", c.sql, took)
		}
	}
	expect(t, r.query("SELECT count(*) FROM t"), "2000")
}

func TestArguments(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (a, b)")
	text := func(s string) structs.SQLValue { return structs.TextValue(s) }
	one, two, three := structs.IntegerValue(1), structs.IntegerValue(2), structs.IntegerValue(3)
	for _, c := range []struct {
		sql   string
		args  []structs.SQLValue
		names []string
		want  string
	}{
		{"SELECT ?, ?", []structs.SQLValue{one, two, three}, nil, "?,?\n1|2"},
		{"SELECT ?, ?", []structs.SQLValue{one}, nil, "error: invalid: not enough args to execute query: want 2 got 1"},
		{"SELECT ?2, ?1", []structs.SQLValue{one, two}, nil, "?2,?1\n2|1"},
		{"SELECT :a, @a, $b, :a", []structs.SQLValue{one, two}, []string{"a", "b"}, ":a,@a,$b,:a\n1|1|2|1"},
		{"SELECT :a", []structs.SQLValue{one}, []string{":a"}, ":a\n1"},
		{"SELECT :a, :c", []structs.SQLValue{one, two}, []string{"a", "b"}, "error: invalid: no argument for the parameter :c"},
		{"SELECT :a, ?", []structs.SQLValue{one, two}, []string{"a", ""}, "error: invalid: not enough args to execute query: want 2 got 1"},
		{"SELECT :x, :y", []structs.SQLValue{one, two}, nil, ":x,:y\n1|2"},
		{"INSERT INTO t VALUES (?, ?); UPDATE t SET b = ? WHERE a = ?; DELETE FROM t RETURNING a, b", []structs.SQLValue{one, two, three, one}, nil, "a,b\n1|3"},
		{"SELECT ?, typeof(?1), length(?1)", []structs.SQLValue{text("a\x00b\xff")}, nil, "?,typeof(?1),length(?1)\n\"a\\x00b\\xff\"|\"text\"|1"},
		{"SELECT ?, ?", []structs.SQLValue{structs.IntegerValue(math.MinInt64), structs.IntegerValue(math.MaxInt64)}, nil, "?,?\n-9223372036854775808|9223372036854775807"},
		{"SELECT ?, ?, typeof(?)", []structs.SQLValue{structs.RealValue(math.Inf(-1)), structs.RealValue(math.NaN()), structs.RealValue(math.NaN())}, nil, "?,?,typeof(?)\n-Inf|NULL|\"null\""},
		{"SELECT ?, ?, typeof(?1)", []structs.SQLValue{structs.BlobValue(nil), text("")}, nil, "?,?,typeof(?1)\nx|\"\"|\"blob\""},
		{"SELECT 1 AS a, 2 AS a", nil, nil, "a,a\n1|2"},
	} {
		req := request(c.sql)
		req.Statements[0].Args, req.Statements[0].Names = structs.NewSQLRow(c.args...), c.names
		expect(t, r.entry(req)[0], c.want)
	}
	req := request("SELECT ?")
	req.Statements[0].Args = structs.SQLRow{9, 9}
	expect(t, r.entry(req)[0], "error: invalid: undecodable arguments")
	req.Statements[0].Args = nil
	for i := range 50_000 {
		req.Statements[0].Args = req.Statements[0].Args.AppendInteger(int64(i))
	}
	expect(t, r.entry(req)[0], "?\n0")
	expect(t, fmt.Sprint(r.entry(&structs.SQLRequest{})), "[refused: invalid: the request has no statement]")
}
