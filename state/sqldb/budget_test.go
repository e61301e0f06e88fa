package sqldb

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

// used is the work that a request is charged, undone afterwards, that SQLite told of while it ran (0 where functions were charged
// for what they did), and whether it was stopped.
func used(t *testing.T, r *replica, sql string, max int64) (steps, seen int64, stopped bool) {
	t.Helper()
	w := r.db.w
	tx, err := r.db.Begin(stampOf(1000))
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	req := request(sql)
	req.WorkMax, req.BytesPerStep = max, structs.SQLBytesPerStep
	rep, refusal, err := tx.Execute(req)
	if err != nil || refusal != nil {
		t.Fatal(refusal, err)
	}
	if e := rep.Results[0].Err; e != nil && !strings.Contains(e.Message, "too much work") {
		t.Fatal(e)
	}
	seen = w.steps
	if tx.ran[0].charged > 0 {
		seen = 0
	}
	return tx.ran[0].used, seen, rep.Results[0].Err != nil
}

func TestBudgetEndsAtTheSamePlaceWhateverTheConnectionDidBefore(t *testing.T) {
	heavy := []string{
		"INSERT INTO t SELECT a.k FROM big a, big b WHERE a.v = b.k LIMIT 900",
		"UPDATE big SET v = v + 1 WHERE k % 3 = 0",
		"INSERT INTO ft SELECT 'word' || k || ' and ' || v FROM big",
		"DELETE FROM ft WHERE ft MATCH 'word*'",
		"INSERT INTO rt SELECT k, v, v + 1 FROM big",
		"CREATE INDEX big_vk ON big (v, k)",
		"SELECT count(*) FROM big a, big b WHERE a.k < 40",
		"UPDATE big SET v = length(replace(hex(randomblob(k)), 'A', 'bb'))",
		"INSERT INTO t SELECT group_concat(k) OVER (ORDER BY k ROWS 50 PRECEDING) FROM big",
		"INSERT INTO t SELECT k FROM big WHERE printf('%0500d', k) LIKE '%1%2%3%' OR json_array(k, v) ->> 1 = 7",
	}
	histories := map[string]func(r *replica){
		"none": func(r *replica) {},
		"the statements are cached": func(r *replica) {
			for _, sql := range heavy {
				for range 3 {
					whole := request(sql, "SELECT nosuch")
					whole.Transaction = true
					r.entry(whole)
				}
			}
		},
		"a schema change was rolled back": func(r *replica) {
			whole := request("CREATE TABLE x (a)", "ALTER TABLE big ADD COLUMN y", "ANALYZE", "SELECT nosuch")
			whole.Transaction = true
			r.entry(whole)
		},
		"FTS5 worked and lost": func(r *replica) {
			whole := request("INSERT INTO ft SELECT 'x' || k FROM big", "SELECT count(*) FROM ft WHERE ft MATCH 'x1'", "CREATE TABLE x (a)", "DROP TABLE x", "SELECT nosuch")
			whole.Transaction = true
			r.entry(whole)
		},
		"it was restarted": func(r *replica) { r.reopen() },
		"the cache is full": func(r *replica) {
			for i := range 2 * cachedMax {
				r.must(fmt.Sprintf("SELECT %d", i))
			}
		},
	}
	prepare := func(r *replica) {
		r.must("CREATE TABLE t (a)", "CREATE TABLE big (k INTEGER PRIMARY KEY, v)", "CREATE VIRTUAL TABLE ft USING fts5(body)", "CREATE VIRTUAL TABLE rt USING rtree(id, x0, x1)",
			"INSERT INTO big SELECT i, i * 7 % 1000 FROM (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 1000) SELECT i FROM c)",
			"INSERT INTO ft SELECT 'word' || k FROM big", "CREATE INDEX big_v ON big (v)", "ANALYZE")
	}
	want := map[string][2]int64{}
	for _, name := range []string{"none", "the statements are cached", "a schema change was rolled back", "FTS5 worked and lost", "it was restarted", "the cache is full"} {
		r := newReplica(t, Options{})
		prepare(r)
		histories[name](r)
		for _, sql := range heavy {
			for range 2 { // the second time it is cached
				steps, edge, stopped := used(t, r, sql, 0)
				if stopped {
					t.Fatalf("%s: stopped", sql)
				}
				got := [2]int64{steps, edge}
				if want[sql][0] == 0 {
					want[sql] = got
				}
				if got != want[sql] {
					t.Errorf("after %q: %s made %d steps, elsewhere %d", name, sql, got, want[sql])
				}
				if edge == 0 {
					continue
				}
				if _, _, stopped := used(t, r, sql, edge-1); !stopped {
					t.Errorf("after %q: %s is not stopped at %d", name, sql, edge-1)
				}
				if _, _, stopped := used(t, r, sql, edge); stopped {
					t.Errorf("after %q: %s is stopped at %d", name, sql, edge)
				}
			}
		}
	}
}

func TestStatementsAreNeverCompiledAgainBySQLite(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (a)", "CREATE INDEX ti ON t (a)")
	insert, read := "INSERT INTO t (a) VALUES (1)", "SELECT * FROM t WHERE a > 0"
	for _, change := range []string{"CREATE TABLE x (a)", "DROP TABLE x", "ANALYZE", "ALTER TABLE t ADD COLUMN b DEFAULT 1", "ALTER TABLE t DROP COLUMN b", "REINDEX", "CREATE VIEW v AS SELECT 1",
		"CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; END", "DROP INDEX ti", "CREATE TABLE y (a); SELECT nosuch"} {
		r.exec(insert, read)
		whole := request(change, "SELECT nosuch")
		whole.Transaction = true
		r.entry(whole)
		r.exec(insert, read, change, insert, read)
		for _, sql := range []string{insert, read} {
			p := r.db.w.cache.get(sql)
			if p == nil {
				t.Fatalf("%s is not cached", sql)
			}
			if n := p.Reprepared(); n != 0 {
				t.Errorf("after %s: %s was compiled again %d times", change, sql, n)
			}
		}
	}
}

func TestSavepointsOfTheCallerUndoRequests(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (id INTEGER PRIMARY KEY, v)", "CREATE INDEX ti ON t (v)", "INSERT INTO t VALUES (1, 1)")
	tx, err := r.db.Begin(stampOf(50))
	if err != nil {
		t.Fatal(err)
	}
	do := func(sql ...string) {
		t.Helper()
		if _, refusal, err := tx.Execute(request(sql...)); refusal != nil || err != nil {
			t.Fatal(refusal, err)
		}
	}
	mark := func() Mark {
		t.Helper()
		m, err := tx.Savepoint()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	do("INSERT INTO t VALUES (10, 1)")
	outer := mark()
	do("INSERT INTO t VALUES (11, 1)")
	inner := mark()
	do("INSERT INTO t VALUES (12, 1)", "ANALYZE")
	if err := tx.RollbackTo(inner); err != nil { // by a rebuild
		t.Fatal(err)
	}
	kept := mark()
	do("INSERT INTO t VALUES (13, 1)")
	do("INSERT INTO t VALUES (9223372036854775807, 1)") // a rebuild with marks
	if err := tx.Release(kept); err != nil {
		t.Fatal(err)
	}
	dropped := mark()
	do("CREATE TABLE u (a)", "INSERT INTO t VALUES (14, 1)")
	if err := tx.RollbackTo(dropped); err != nil {
		t.Fatal(err)
	}
	if err := tx.Release(outer); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	expect(t, r.query("SELECT group_concat(id) FROM t"), `"1,10,11,13"`)
	expect(t, r.query("SELECT count(*) FROM sqlite_schema WHERE name IN ('u', 'sqlite_stat1')"), "0")
	if r.db.AppliedIndex() != 50 {
		t.Errorf("applied %d", r.db.AppliedIndex())
	}
	if _, _, err := tx.Execute(request("SELECT 1")); err == nil {
		t.Error("a transaction that has ended executes")
	}

	undone, err := r.db.Begin(stampOf(51))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := undone.Execute(&structs.SQLRequest{Statements: []structs.SQLStatement{{SQL: "DELETE FROM t"}}}); err != nil {
		t.Fatal(err)
	}
	if err := undone.Rollback(); err != nil {
		t.Fatal(err)
	}
	expect(t, r.query("SELECT count(*) FROM t"), "4")
	if r.db.AppliedIndex() != 50 {
		t.Errorf("applied %d", r.db.AppliedIndex())
	}
}

// A pattern with many % goes through the text again and again, in one step: counted by steps it held up all writes for hours.
func TestFunctionsOfLargeValuesAreWork(t *testing.T) {
	replicas := []*replica{newReplica(t, Options{}), newReplica(t, Options{})}
	like := "UPDATE t SET n = (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 1000000) SELECT count(*) FROM c WHERE body || i LIKE '" + strings.Repeat("%a", 100) + "b')"
	for i, r := range replicas {
		r.must("CREATE TABLE t (n, body)", "CREATE TABLE u (n, body)", "INSERT INTO t VALUES (0, replace(hex(zeroblob(50000)), '00', 'a'))")
		if i == 1 {
			r.reopen()
		}
		for _, sql := range []string{like, strings.ReplaceAll(like, "body || i LIKE", "length(upper(body || i)) ="),
			"INSERT INTO t SELECT i, group_concat(body) OVER (ROWS 40 PRECEDING) FROM t, (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 1000) SELECT i FROM c)",
			"INSERT INTO u SELECT i, body FROM t, (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 100000) SELECT i FROM c)", // what is written
			"INSERT INTO t SELECT 1, json_group_array(value) OVER () FROM json_each('[' || replace(hex(zeroblob(100000)), '00', '1,') || '1]')"} {
			req := request(sql)
			req.WorkMax, req.BytesPerStep = 5_000_000, structs.SQLBytesPerStep
			start := time.Now()
			if got := r.entry(req)[0]; !strings.Contains(got, "too much work") {
				t.Errorf("%.80s: %s", sql, got)
			}
			t.Logf("%.60s: stopped after %s", sql, time.Since(start))
		}
	}
	if a, b := hashOf(t, replicas[0]), hashOf(t, replicas[1]); a != b {
		t.Error("the replicas differ")
	}
}

// Entries of builds that did not charge functions come out as they did.
func TestFunctionsOfOlderEntriesAreNoWork(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (a)")
	work := func(perStep int64, size int) int64 {
		tx, err := r.db.Begin(stampOf(1000))
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		req := request(fmt.Sprintf("INSERT INTO t SELECT length(upper(hex(zeroblob(%d))))", size))
		req.BytesPerStep = perStep
		if _, refusal, err := tx.Execute(req); refusal != nil || err != nil {
			t.Fatal(refusal, err)
		}
		return tx.ran[0].used
	}
	if a, b := work(0, 10), work(0, 1_000_000); a != b {
		t.Errorf("%d steps, and %d for a large value", a, b)
	}
	if a, b := work(structs.SQLBytesPerStep, 10), work(structs.SQLBytesPerStep, 1_000_000); b < a+990_000 { // 8 million bytes, each twice, sixteen a step
		t.Errorf("%d steps, and %d for a large value", a, b)
	}
}
