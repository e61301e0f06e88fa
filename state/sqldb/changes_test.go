package sqldb

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/debros/debros/structs"
)

// keepChanges sets how much of the changes is kept, in an entry of its own.
func (r *replica) keepChanges(bytes int64) {
	r.t.Helper()
	r.index++
	tx, err := r.db.Begin(stampOf(r.index))
	if err != nil {
		r.t.Fatal(err)
	}
	if err := tx.SetChanges(bytes); err != nil {
		r.t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		r.t.Fatal(err)
	}
}

// feed reads the changes behind a position, in pieces of about bytesMax.
func (r *replica) feed(from structs.SQLPosition, bytesMax int) (list []string, at structs.SQLPosition) {
	r.t.Helper()
	for {
		runs, next, err := r.db.Changes(context.Background(), from, bytesMax)
		if err != nil {
			r.t.Fatalf("changes behind %s: %v", from, err)
		}
		if len(runs) == 0 {
			return list, next
		}
		for i := range runs {
			if err := runs[i].Each(func(c *structs.SQLChange) error {
				list = append(list, showChange(r.t, c))
				return nil
			}); err != nil {
				r.t.Fatal(err)
			}
		}
		from = next
	}
}

func showChange(t testing.TB, c *structs.SQLChange) string {
	t.Helper()
	if c.Op == structs.SQLSchema {
		return fmt.Sprintf("schema %s: %s", c.Of, c.SQL)
	}
	out := fmt.Sprintf("%s %s", c.Op, c.TableName())
	switch {
	case c.Table.WithoutRowID:
		out += fmt.Sprintf(" key%v", c.Table.Key)
	case c.NewRowID != c.RowID:
		out += fmt.Sprintf(" %d>%d", c.RowID, c.NewRowID)
	default:
		out += fmt.Sprintf(" %d", c.RowID)
	}
	if c.Op != structs.SQLInserted {
		out += " -" + showRow(t, c.Old)
	}
	if c.Op != structs.SQLDeleted {
		out += " +" + showRow(t, c.New)
	}
	return out
}

// changesOf keeps changes from here on and returns what the statements, each a request, change. A list is one request with
// Transaction.
func changesOf(t *testing.T, o Options, setup []string, requests ...any) []string {
	t.Helper()
	r := newReplica(t, o)
	if len(setup) > 0 {
		r.must(setup...)
	}
	r.keepChanges(structs.SQLChangesBytesMin)
	_, from := r.feed(structs.SQLPosition{}, 1)
	var entry []*structs.SQLRequest
	for _, q := range requests {
		switch q := q.(type) {
		case string:
			entry = append(entry, request(q))
		case []string:
			req := request(q...)
			req.Transaction = true
			entry = append(entry, req)
		}
	}
	r.entry(entry...)
	list, _ := r.feed(from, 1)
	return list
}

func TestChangesAreThoseThatStand(t *testing.T) {
	abc := []string{"CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE, n REAL)", "INSERT INTO t VALUES (1, 'one', 1), (2, 'two', 2.5)"}
	for _, c := range []struct {
		name  string
		o     Options
		setup []string
		run   []any
		want  string
	}{
		{"insert, update, delete", Options{}, abc, []any{"INSERT INTO t VALUES (3, 'three', 3)", "UPDATE t SET n = n + 1 WHERE id = 1", "DELETE FROM t WHERE id = 2"},
			"insert t 3 +3|\"three\"|3\nupdate t 1 -1|\"one\"|1 +1|\"one\"|2\ndelete t 2 -2|\"two\"|2.5"},
		{"delete of all rows", Options{}, abc, []any{"DELETE FROM t"}, "delete t 1 -1|\"one\"|1\ndelete t 2 -2|\"two\"|2.5"},
		{"update of the rowid", Options{}, abc, []any{"UPDATE t SET id = 9 WHERE id = 1"}, "update t 1>9 -1|\"one\"|1 +9|\"one\"|1"},
		{"replace", Options{}, abc, []any{"INSERT OR REPLACE INTO t VALUES (1, 'two', 5)"},
			"delete t 1 -1|\"one\"|1\ndelete t 2 -2|\"two\"|2.5\ninsert t 1 +1|\"two\"|5"},
		{"upsert", Options{}, abc, []any{"INSERT INTO t VALUES (7, 'one', 8) ON CONFLICT (a) DO UPDATE SET n = excluded.n", "INSERT INTO t VALUES (7, 'one', 8) ON CONFLICT DO NOTHING"},
			"update t 1 -1|\"one\"|1 +1|\"one\"|8"},
		{"a statement that fails midway", Options{}, abc, []any{"INSERT INTO t VALUES (3, 'x', 0), (4, 'one', 0)", "INSERT INTO t VALUES (5, 'five', 5)"}, "insert t 5 +5|\"five\"|5"},
		{"or fail keeps the rows before", Options{}, abc, []any{"INSERT OR FAIL INTO t VALUES (3, 'x', 0), (4, 'one', 0)"}, "insert t 3 +3|\"x\"|0"},
		{"or ignore", Options{}, abc, []any{"INSERT OR IGNORE INTO t VALUES (3, 'x', 0), (4, 'one', 0)"}, "insert t 3 +3|\"x\"|0"},
		{"a transaction that fails", Options{}, abc, []any{[]string{"DELETE FROM t", "INSERT INTO nothing VALUES (1)"}, "UPDATE t SET n = 0 WHERE id = 1"}, "update t 1 -1|\"one\"|1 +1|\"one\"|0"},
		{"texts of several statements stand or fall together", Options{}, abc, []any{"DELETE FROM t; SELECT 1; INSERT INTO t VALUES (1, NULL, 1), (1, NULL, 1)", "DELETE FROM t WHERE id = 1; SELECT 1"}, "delete t 1 -1|\"one\"|1"},
		{"what a rebuild does again is there once", Options{}, abc, []any{"UPDATE t SET n = 7 WHERE id = 1", "INSERT INTO t VALUES (9223372036854775807, 'max', 0)", "DELETE FROM t WHERE id = 2"},
			"update t 1 -1|\"one\"|1 +1|\"one\"|7\ndelete t 2 -2|\"two\"|2.5"},
		{"without rowid", Options{}, []string{"CREATE TABLE w (v, b INT, a TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID", "INSERT INTO w VALUES (1, 2, 'x'), (3, 4, 'y')"},
			[]any{"INSERT INTO w VALUES (5, 6, 'z')", "UPDATE w SET v = 9 WHERE a = 'x'", "UPDATE w SET a = 'q' WHERE a = 'y'", "INSERT OR REPLACE INTO w VALUES (0, 2, 'x')", "DELETE FROM w"},
			"insert w key[2 1] +5|6|\"z\"\nupdate w key[2 1] -1|2|\"x\" +9|2|\"x\"\nupdate w key[2 1] -3|4|\"y\" +3|4|\"q\"\n" +
				"delete w key[2 1] -9|2|\"x\"\ninsert w key[2 1] +0|2|\"x\"\ndelete w key[2 1] -3|4|\"q\"\ndelete w key[2 1] -0|2|\"x\"\ndelete w key[2 1] -5|6|\"z\""},
		{"triggers", Options{}, append(abc, "CREATE TABLE log (what)", "CREATE TRIGGER tr AFTER DELETE ON t BEGIN INSERT INTO log VALUES (old.a); END"), []any{"DELETE FROM t WHERE id = 1"},
			"delete t 1 -1|\"one\"|1\ninsert log 1 +\"one\""},
		{"a trigger that fails with RAISE(FAIL)", Options{}, append(abc, "CREATE TRIGGER tr BEFORE INSERT ON t WHEN new.id = 4 BEGIN SELECT RAISE(FAIL, 'no'); END"), []any{"INSERT INTO t VALUES (3, 'x', 0), (4, 'y', 0)"},
			"insert t 3 +3|\"x\"|0"},
		{"a trigger that fails with RAISE(ABORT)", Options{}, append(abc, "CREATE TRIGGER tr BEFORE INSERT ON t WHEN new.id = 4 BEGIN SELECT RAISE(ABORT, 'no'); END"), []any{"INSERT INTO t VALUES (3, 'x', 0), (4, 'y', 0)"}, ""},
		{"foreign keys that cascade", Options{ForeignKeys: true}, []string{"CREATE TABLE p (id INTEGER PRIMARY KEY)", "CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE)", "INSERT INTO p VALUES (1)", "INSERT INTO c VALUES (5, 1)"},
			[]any{"DELETE FROM p", "INSERT INTO c VALUES (6, 77)"}, "delete p 1 -1\ndelete c 5 -5|1"},
		{"insert from a select of the same shape", Options{}, append(abc, "CREATE TABLE u (id INTEGER PRIMARY KEY, a TEXT UNIQUE, n REAL)"), []any{"INSERT INTO u SELECT * FROM t"},
			"insert u 1 +1|\"one\"|1\ninsert u 2 +2|\"two\"|2.5"},
		{"the same without rowid", Options{}, []string{"CREATE TABLE a (k TEXT PRIMARY KEY, v) WITHOUT ROWID", "CREATE TABLE b (k TEXT PRIMARY KEY, v) WITHOUT ROWID", "INSERT INTO a VALUES ('x', 1), ('y', 2)"},
			[]any{"INSERT INTO b SELECT * FROM a"}, "insert b key[0] +\"x\"|1\ninsert b key[0] +\"y\"|2"},
		{"create table as select", Options{}, abc, []any{"CREATE TABLE IF NOT EXISTS c AS SELECT a, n AS m FROM t"},
			"schema c: CREATE TABLE c(a TEXT,m REAL)\ninsert c 1 +\"one\"|1\ninsert c 2 +\"two\"|2.5"},
		{"definitions", Options{}, abc, []any{"CREATE TABLE x (y)", "CREATE TABLE IF NOT EXISTS x (y)", "CREATE INDEX i ON t (n)", "ALTER TABLE t ADD COLUMN b DEFAULT 'new'", "UPDATE t SET n = 3 WHERE id = 2",
			"ALTER TABLE t RENAME TO t2", "CREATE VIEW v AS SELECT 1", "DROP INDEX i", "DROP TABLE x", "ANALYZE", "CREATE TABLE x (z); DELETE FROM nothing", "INSERT INTO t2 (id) VALUES (8)"},
			"schema x: CREATE TABLE x (y)\nschema t: CREATE INDEX i ON t (n)\nschema t: ALTER TABLE t ADD COLUMN b DEFAULT 'new'\nupdate t 2 -2|\"two\"|2.5|\"new\" +2|\"two\"|3|\"new\"\n" +
				"schema t: ALTER TABLE t RENAME TO t2\nschema v: CREATE VIEW v AS SELECT 1\nschema t2: DROP INDEX i\nschema x: DROP TABLE x\ninsert t2 8 +8|NULL|NULL|\"new\""},
		{"generated columns", Options{}, []string{"CREATE TABLE g (a INT, v AS (a + 1), s AS (a * 2) STORED, b REAL)"}, []any{"INSERT INTO g (a, b) VALUES (5, 7)", "UPDATE g SET a = 6"},
			"insert g 1 +5|10|7\nupdate g 1 -5|10|7 +6|12|7"},
		{"values", Options{}, []string{"CREATE TABLE v (x)"}, []any{"INSERT INTO v VALUES (NULL), (-9223372036854775808), (1e300), (x'00ff'), (''), (x''), ('a' || char(0) || 'b'), (2.0)"},
			"insert v 1 +NULL\ninsert v 2 +-9223372036854775808\ninsert v 3 +1e+300\ninsert v 4 +x00ff\ninsert v 5 +\"\"\ninsert v 6 +x\ninsert v 7 +\"a\\x00b\"\ninsert v 8 +2"},
		{"full text, and what is beside it", Options{}, []string{"CREATE VIRTUAL TABLE f USING fts5(title, body)", "CREATE VIRTUAL TABLE r USING rtree(id, a, b)", "INSERT INTO f VALUES ('t', 'one two')"},
			[]any{"INSERT INTO f (rowid, title, body) VALUES (5, 'x', 'y')", "UPDATE f SET title = 'z' WHERE rowid = 5", "DELETE FROM f WHERE rowid = 1", "INSERT INTO r VALUES (1, 2, 3)", "INSERT INTO f (f) VALUES ('optimize')"},
			"insert f 5 +\"x\"|\"y\"\ndelete f 5 -\"x\"|\"y\"\ninsert f 5 +\"z\"|\"y\"\ndelete f 1 -\"t\"|\"one two\""},
		{"sequences and stored replies are not the user's", Options{}, []string{"CREATE TABLE s (id INTEGER PRIMARY KEY AUTOINCREMENT, a)"}, []any{"INSERT INTO s (a) VALUES (1)"}, "insert s 1 +1|1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(changesOf(t, c.o, c.setup, c.run...), "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// The feed can be read again from each of its positions, and is the same in a copy and after a restart.
func TestChangesGoOnBehindEveryPosition(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
	r.keepChanges(structs.SQLChangesBytesMin)
	for i := range 3 {
		r.must(fmt.Sprintf("INSERT INTO t SELECT NULL, hex(zeroblob(200)) || i FROM (WITH RECURSIVE c(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM c LIMIT 300) SELECT i FROM c)", i*1000))
		r.must("SELECT 1") // an entry without changes
	}
	all, end := r.feed(structs.SQLPosition{}, 1<<20)
	if len(all) != 900 {
		t.Fatalf("%d changes", len(all))
	}
	check := func() {
		t.Helper()
		if _, at := r.feed(structs.SQLPosition{}, 1); at != end {
			t.Fatalf("the end is %s, not %s", at, end)
		}
		n := 0
		for i := uint64(0); i < 3; i++ {
			for _, from := range []structs.SQLPosition{{Index: 3 + 2*i, Seq: 0}, {Index: 3 + 2*i, Seq: 1}, {Index: 3 + 2*i, Seq: 299}, {Index: 3 + 2*i, Seq: 300},
				{Index: 3 + 2*i, Seq: structs.SQLWholeEntry}, {Index: 4 + 2*i, Seq: structs.SQLWholeEntry}, {Index: 4 + 2*i, Seq: 0}} {
				rest, at := r.feed(from, 30_000)
				want := all[min(uint64(len(all)), i*300+min(from.Seq, 300)):]
				if from.Index == 4+2*i {
					want = all[i*300+300:]
				}
				if fmt.Sprint(rest) != fmt.Sprint(want) || at != end {
					t.Fatalf("behind %s: %d changes, not %d, and then %s", from, len(rest), len(want), at)
				}
				n += len(rest)
			}
		}
		if n == 0 {
			t.Fatal("nothing was compared")
		}
	}
	check()
	r.reopen()
	check()
	copied := newReplica(t, Options{})
	copied.installFrom(r)
	if hashOf(t, r) != hashOf(t, copied) {
		t.Fatal("the copy differs")
	}
	r = copied
	check()
	for _, from := range []structs.SQLPosition{{Index: 3, Seq: 301}, {Index: 4, Seq: 1}, {Index: 99, Seq: 1}} {
		if _, _, err := r.db.Changes(context.Background(), from, 1); structs.KindOf(err) != structs.KindGone {
			t.Errorf("behind %s, which is no change: %v", from, err)
		}
	}
}

func TestChangesAreTrimmedAndWhoIsTooLateIsTold(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
	if _, _, err := r.db.Changes(context.Background(), structs.SQLPosition{}, 1); structs.KindOf(err) != structs.KindConflict {
		t.Fatalf("changes that are not kept: %v", err)
	}
	const keep = structs.SQLChangesBytesMin
	r.keepChanges(keep)
	_, start := r.feed(structs.SQLPosition{}, 1)
	for range 12 {
		r.must("INSERT INTO t (a) SELECT zeroblob(1000) FROM (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 200) SELECT i FROM c)")
	}
	stored := r.query("SELECT count(*) FROM t")
	kept, _ := r.feed(structs.SQLPosition{}, 1)
	if n := len(kept); n < keep/1010/2 || n > keep/1010+200 {
		t.Errorf("%d changes of %s are kept", n, stored)
	}
	if _, _, err := r.db.Changes(context.Background(), start, 1); structs.KindOf(err) != structs.KindGone {
		t.Errorf("behind %s, which is no longer kept: %v", start, err)
	}
	// One entry larger than what is kept is kept whole, but a request may not be.
	if got := r.exec("INSERT INTO t (a) SELECT zeroblob(1000) FROM (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 2000) SELECT i FROM c)"); !strings.Contains(got, "too_large") {
		t.Errorf("a request that changes more than is kept: %s", got)
	}
	if now := r.query("SELECT count(*) FROM t"); now != stored {
		t.Errorf("the refused request left %s rows, not %s", now, stored)
	}
	big := "INSERT INTO t (a) SELECT zeroblob(1000) FROM (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 700) SELECT i FROM c)"
	_, before := r.feed(structs.SQLPosition{}, 1)
	out := r.entry(request(big), request(big), request(big))
	if fmt.Sprint(out[:2]) != fmt.Sprint([]string{"700/3100", "700/3800"}) || !strings.Contains(out[2], "rate_limited") {
		t.Errorf("requests that share an entry: %v", out)
	}
	if got, _ := r.feed(before, 1); len(got) != 1400 {
		t.Errorf("%d changes of the entry are kept", len(got))
	}
	// A value of many megabytes spans rows of the table.
	r.keepChanges(16 << 20)
	r.must("INSERT INTO t VALUES (100000, zeroblob(4000000))", "UPDATE t SET a = a || x'01' WHERE id = 100000")
	_, at := r.feed(structs.SQLPosition{}, 1)
	r.must("DELETE FROM t WHERE id = 100000")
	if got, _ := r.feed(at, 1); len(got) != 1 || len(got[0]) < 8_000_000 {
		t.Errorf("%d changes behind one of megabytes", len(got))
	}
	r.keepChanges(0)
	if _, _, err := r.db.Changes(context.Background(), at, 1); structs.KindOf(err) != structs.KindConflict {
		t.Errorf("changes that are no longer kept: %v", err)
	}
	r.keepChanges(16 << 20)
	if _, _, err := r.db.Changes(context.Background(), at, 1); structs.KindOf(err) != structs.KindGone {
		t.Errorf("behind a position of before the keeping was ended and begun again: %v", err)
	}
	r.must("DELETE FROM t") // compiled while nobody listened, too
	if got, _ := r.feed(structs.SQLPosition{}, 1); len(got) != 3800 {
		t.Errorf("%d changes of a delete of all rows", len(got))
	}
}

// What is taken back to a savepoint of the transaction is not in the feed.
func TestChangesOfARolledBackMarkAreGone(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (a)")
	r.keepChanges(structs.SQLChangesBytesMin)
	r.index++
	tx, err := r.db.Begin(stampOf(r.index))
	if err != nil {
		t.Fatal(err)
	}
	run := func(sql ...string) {
		t.Helper()
		if _, refusal, err := tx.Execute(request(sql...)); refusal != nil || err != nil {
			t.Fatal(refusal, err)
		}
	}
	run("INSERT INTO t VALUES (1)")
	outer, err := tx.Savepoint()
	if err != nil {
		t.Fatal(err)
	}
	run("INSERT INTO t VALUES (2)", "CREATE TABLE u (b)", "INSERT INTO u VALUES (1)", "ANALYZE") // ANALYZE is undone by a rebuild
	if err := tx.RollbackTo(outer); err != nil {
		t.Fatal(err)
	}
	inner, err := tx.Savepoint()
	if err != nil {
		t.Fatal(err)
	}
	run("INSERT INTO t VALUES (3)")
	if err := tx.RollbackTo(inner); err != nil {
		t.Fatal(err)
	}
	run("INSERT INTO t VALUES (4)")
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	got, _ := r.feed(structs.SQLPosition{}, 1)
	if want := "[insert t 1 +1 insert t 2 +4]"; fmt.Sprint(got) != want {
		t.Errorf("%v, not %s", got, want)
	}
}

// SQLite hands out whole numbers of REAL columns as the integers that it stores.
func TestChangesHaveTheStorageClassesOfTheRows(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (r REAL, d DOUBLE PRECISION, p FLOATING POINT, i INT, n NUMERIC, t TEXT, b BLOB, x)")
	r.keepChanges(structs.SQLChangesBytesMin)
	r.must("INSERT INTO t VALUES (1, 2, 3, 4.0, 5.0, 6, 7.0, 8)", "UPDATE t SET i = 5")
	var got []string
	runs, _, err := r.db.Changes(context.Background(), structs.SQLPosition{}, 1<<20)
	if err != nil || len(runs) != 1 {
		t.Fatal(len(runs), err)
	}
	_ = runs[0].Each(func(c *structs.SQLChange) error {
		for _, row := range []structs.SQLRow{c.Old, c.New} {
			values, err := row.Values()
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range values {
				got = append(got, v.Kind().String())
			}
		}
		return nil
	})
	want := strings.ReplaceAll(r.query("SELECT typeof(r), typeof(d), typeof(p), typeof(i), typeof(n), typeof(t), typeof(b), typeof(x) FROM t"), `"`, "")
	if want = strings.Join([]string{want, want, want}, "|"); strings.Join(got, "|") != want {
		t.Errorf("%v, not %s", got, want)
	}
}
