package sqldb

import (
	"strings"
	"testing"

	"github.com/debros/debros/state/sqldb/sqlite"
	"github.com/debros/debros/structs"
)

func expect(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestStatementsStandAlone(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT UNIQUE)")
	expect(t, r.exec("INSERT INTO t (v) VALUES ('a')", "INSERT INTO t (v) VALUES ('a')", "INSERT INTO t (v) VALUES ('b'), ('c')"),
		"1/1; error: conflict: UNIQUE constraint failed: t.v; 2/3")
	expect(t, r.query("SELECT * FROM t"), "1|\"a\"\n2|\"b\"\n3|\"c\"")
	expect(t, r.exec("UPDATE t SET v = v || '!' WHERE id > 1", "DELETE FROM t", "SELECT 1 AS one", "-- nothing", ""), "2/0; 3/0; one\n1; 0/0; 0/0")
}

// TestEmptyTextIsNoNull: on a connection that never had an argument, too. Replicas differ in that after a restart.
func TestEmptyTextIsNoNull(t *testing.T) {
	r := newReplica(t, Options{})
	empty := request("CREATE TABLE t AS SELECT typeof(?1) AS a, typeof(?2) AS b")
	empty.Statements[0].Args = structs.NewSQLRow(structs.TextValue(""), structs.BlobValue(nil))
	expect(t, r.entry(empty)[0], "0/0")
	expect(t, r.query("SELECT typeof(?1), typeof(?2)", structs.TextValue(""), structs.BlobValue(nil)), `"text"|"blob"`)
	expect(t, r.query("SELECT * FROM t"), `"text"|"blob"`)
}

func TestTransactionIsAllOrNothing(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT UNIQUE)")
	req := request("INSERT INTO t (v) VALUES ('a')", "INSERT INTO t (v) VALUES ('a')", "INSERT INTO t (v) VALUES ('b')")
	req.Transaction = true
	out := r.entry(request("INSERT INTO t (v) VALUES ('x')"), req, request("INSERT INTO t (v) VALUES ('y')"))
	expect(t, strings.Join(out, " / "), "1/1 / 1/2; error: conflict: UNIQUE constraint failed: t.v / 1/2")
	expect(t, r.query("SELECT v FROM t"), "\"x\"\n\"y\"")
	ddl := request("CREATE TABLE u (a)", "INSERT INTO u VALUES (1)", "INSERT INTO nosuch VALUES (1)")
	ddl.Transaction = true
	expect(t, r.entry(ddl)[0], "0/0; 1/1; error: invalid: no such table: nosuch")
	expect(t, r.exec("SELECT * FROM u"), "error: invalid: no such table: u")
}

func TestBudgetStopsAStatementAndSparesItsNeighbours(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (a)")
	heavy := func(n string) *structs.SQLRequest {
		req := request("INSERT INTO t VALUES ('before')", "INSERT INTO t SELECT i FROM (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT "+n+") SELECT i FROM c)",
			"INSERT INTO t VALUES ('after')")
		req.WorkMax = 50_000
		return req
	}
	whole := heavy("1000000")
	whole.Transaction = true
	out := r.entry(request("INSERT INTO t VALUES (1)"), heavy("1000000"), request("INSERT INTO t VALUES (2)"), whole, heavy("10"), request("INSERT INTO t VALUES (3)"))
	const spent = "error: too_large: the request is too much work: it was stopped after 50000 steps"
	expect(t, strings.Join(out, " / "), "1/1 / 1/2; "+spent+"; "+spent+" / 1/3 / 1/4; "+spent+" / 1/4; 10/14; 1/15 / 1/16")
	expect(t, r.query("SELECT group_concat(a, ' ') FROM t"), `"1 before 2 before 1 2 3 4 5 6 7 8 9 10 after 3"`)
}

func TestManyLostTransactionsAreRefusedNotRepeatedForEver(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (id INTEGER PRIMARY KEY)")
	var reqs []*structs.SQLRequest
	for range 500 {
		reqs = append(reqs, request("INSERT INTO t VALUES (NULL)", "INSERT INTO t VALUES (9223372036854775807)"))
	}
	out := r.entry(reqs...)
	refused := 0
	for _, o := range out {
		switch {
		case strings.HasPrefix(o, "refused: rate_limited"):
			refused++
		case refused > 0:
			t.Fatalf("after a refusal: %s", o)
		}
	}
	if refused < 10 || refused > 490 {
		t.Errorf("%d refused", refused)
	}
	if got := r.query("SELECT count(*) = ? FROM t", structs.IntegerValue(int64(500-refused))); got != "1" {
		t.Errorf("rows: %s, refused %d", r.query("SELECT count(*) FROM t"), refused)
	}
}

func TestHighestRowidIsRefused(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (id INTEGER PRIMARY KEY, v)", "CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT)", "INSERT INTO t VALUES (1, 1)")
	const no = "error: invalid: the rowid 9223372036854775807 is not allowed: SQLite would choose the next one at random"
	expect(t, r.exec("INSERT INTO t VALUES (9223372036854775807, 1), (NULL, 2)"), no)
	expect(t, r.exec("UPDATE t SET id = 9223372036854775807"), no)
	expect(t, r.exec("INSERT INTO a VALUES (9223372036854775806)", "INSERT INTO a VALUES (NULL)"), "1/9223372036854775806; "+no)
	r.must("DELETE FROM a")
	expect(t, r.exec("UPDATE sqlite_sequence SET seq = 9223372036854775807"), "error: invalid: sqlite_sequence.seq must be an integer below 9223372036854775807")
	expect(t, r.exec("UPDATE sqlite_sequence SET seq = '7'"), "error: invalid: sqlite_sequence.seq must be an integer below 9223372036854775807")
	expect(t, r.exec("UPDATE sqlite_sequence SET seq = 41", "INSERT INTO a VALUES (NULL)"), "1/0; 1/42")
	expect(t, r.query("SELECT * FROM t"), "1|1")
}

func TestSeveralStatementsInOneTextStandOrFallTogether(t *testing.T) {
	r := newReplica(t, Options{})
	expect(t, r.exec("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2); -- end", "INSERT INTO t VALUES (3); INSERT INTO t VALUES (4) garbage", "INSERT INTO t VALUES (5) %"),
		"2/2; error: invalid: near \"garbage\": syntax error; error: invalid: near \"%\": syntax error")
	expect(t, r.exec("SELECT 1; PRAGMA journal_mode=DELETE"), "error: denied: PRAGMA journal_mode is not allowed in a write: its answer may differ between replicas")
	expect(t, r.query("SELECT 1; SELECT a FROM t"), "1\n2")
}

func TestForeignKeysAreCheckedAtTheEndOfEachRequest(t *testing.T) {
	r := newReplica(t, Options{ForeignKeys: true})
	r.must("CREATE TABLE p (id INTEGER PRIMARY KEY)", "CREATE TABLE c (p REFERENCES p DEFERRABLE INITIALLY DEFERRED)", "CREATE TABLE d (p REFERENCES p)")
	whole := request("INSERT INTO c VALUES (1)", "INSERT INTO p VALUES (1)")
	whole.Transaction = true
	broken := request("INSERT INTO c VALUES (2)", "INSERT INTO p VALUES (3)")
	broken.Transaction = true
	out := r.entry(request("INSERT INTO p VALUES (7)"), request("INSERT INTO c VALUES (9)"), broken, whole, request("INSERT INTO d VALUES (8)"))
	const fk = "error: conflict: FOREIGN KEY constraint failed"
	expect(t, strings.Join(out, " / "), "1/7 / "+fk+" / 1/1; "+fk+" / 1/1; 1/1 / "+fk)
	expect(t, r.query("SELECT id FROM p"), "1\n7")
	off := newReplica(t, Options{})
	expect(t, off.exec("CREATE TABLE p (id INTEGER PRIMARY KEY)", "CREATE TABLE c (p REFERENCES p)", "INSERT INTO c VALUES (1)"), "0/0; 0/0; 1/1")
}

func TestReturningIsBoundedAndUndone(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (a)")
	req := request("INSERT INTO t VALUES (1), (2), (3) RETURNING a, rowid AS id")
	req.RowsMax = 2
	expect(t, r.entry(req)[0], "error: too_large: a write may return 2 rows")
	req.RowsMax, req.BytesMax = 0, 10
	expect(t, r.entry(req)[0], "error: too_large: a write may return 10 bytes")
	expect(t, r.query("SELECT count(*) FROM t"), "0")
	req.BytesMax = 12
	expect(t, r.entry(req)[0], "a,id\n1|1\n2|2\n3|3")
}

func TestGuards(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (a)", "INSERT INTO t VALUES (1), (2)")
	guarded := func(g structs.SQLGuard) string {
		req := request("INSERT INTO t VALUES (0)", "DELETE FROM t WHERE a = 0")
		req.Guards = []structs.SQLGuard{g}
		return r.entry(req)[0]
	}
	read := structs.SQLStatement{SQL: "SELECT a FROM t WHERE a > ? ORDER BY a", Args: structs.NewSQLRow(structs.IntegerValue(0))}
	digest := structs.NewSQLDigest()
	digest.Add(structs.NewSQLRow(structs.IntegerValue(1)))
	digest.Add(structs.NewSQLRow(structs.IntegerValue(2)))
	const ok = "1/3; 1/0"
	two, one := int64(2), int64(1)
	expect(t, guarded(structs.SQLGuard{SQLStatement: read}), ok)
	expect(t, guarded(structs.SQLGuard{SQLStatement: read, Rows: &two, First: structs.NewSQLRow(structs.IntegerValue(1)), Digest: digest.Sum()}), ok)
	expect(t, guarded(structs.SQLGuard{SQLStatement: read, Rows: &one}), "refused: conflict: guard 1 does not hold: it gives 2 rows, not 1")
	expect(t, guarded(structs.SQLGuard{SQLStatement: read, First: structs.NewSQLRow(structs.IntegerValue(2))}), "refused: conflict: guard 1 does not hold: its first row has other values")
	expect(t, guarded(structs.SQLGuard{SQLStatement: read, Digest: []byte{1}}), "refused: conflict: guard 1 does not hold: the rows that were read have changed")
	expect(t, guarded(structs.SQLGuard{SQLStatement: structs.SQLStatement{SQL: "DELETE FROM t RETURNING a"}}), "refused: invalid: guard 1 is not a single statement that only reads")
	expect(t, guarded(structs.SQLGuard{SQLStatement: structs.SQLStatement{SQL: "SELECT 1; DELETE FROM t"}}), "refused: invalid: guard 1 is not a single statement that only reads")
	expect(t, guarded(structs.SQLGuard{SQLStatement: structs.SQLStatement{SQL: "SELECT nosuch FROM t"}}), "refused: invalid: guard 1: no such column: nosuch")
}

func TestRequestIDIsExecutedOnce(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (a)")
	req := request("INSERT INTO t VALUES (random()) RETURNING a")
	req.RequestID = "once"
	first := r.entry(req)[0]
	again := r.entry(req, req)
	expect(t, again[0], first)
	expect(t, again[1], first)
	r.reopen()
	expect(t, r.entry(req)[0], first)
	expect(t, r.query("SELECT count(*) FROM t"), "1")
	r.index += 86_400 // a day later
	if got := r.entry(req)[0]; got == first {
		t.Error("the reply of a day ago was given")
	}
	expect(t, r.query("SELECT count(*) FROM t"), "2")
	for _, id := range []string{"a", "b", "c"} {
		req.RequestID = id
		r.entry(req)
	}
	r.index += 86_398
	req.RequestID = "d"
	r.entry(req)
	var kept []string
	if _, err := r.db.w.ask("SELECT id FROM _debros_replies ORDER BY seq", func(s *sqlite.Stmt) bool {
		kept = append(kept, string(s.Bytes(0)))
		return true
	}); err != nil {
		t.Fatal(err)
	}
	expect(t, strings.Join(kept, " "), "c d")
}

// SQLite leaves the rows before the one that is of the wrong type for a STRICT table, inside of a transaction.
func TestStatementOfAWrongTypeLeavesNothing(t *testing.T) {
	for _, setup := range [][]string{
		{"CREATE TABLE s (a INT) STRICT"},
		{"CREATE TABLE s (a INT PRIMARY KEY) STRICT, WITHOUT ROWID"},
		{"CREATE TABLE s (a INT) STRICT", "CREATE TABLE log (x)", "INSERT INTO log VALUES (0)", "CREATE TRIGGER tr BEFORE INSERT ON s BEGIN DELETE FROM log; END"},
	} {
		r := newReplica(t, Options{})
		r.must(setup...)
		begin := func() {
			t.Helper()
			r.must("INSERT INTO s VALUES (0)")
			if len(setup) > 1 {
				r.must("INSERT INTO log VALUES (0)")
			}
		}
		begin()
		before := content(r)
		out := r.entry(request("INSERT INTO s VALUES (1), ('x')"), request("INSERT INTO s VALUES ('x')"), request("UPDATE s SET a = CASE WHEN a > 5 THEN 'x' ELSE a + 1 END"), request("DELETE FROM s WHERE a = 1"))
		expect(t, strings.Join(out[:2], "; "), "error: conflict: cannot store TEXT value in INT column s.a; error: conflict: cannot store TEXT value in INT column s.a")
		expect(t, out[3], "1/0") // of the update, not of the insert
		begin()
		expect(t, content(r), before)
	}
}
