package sqldb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/debros/debros/structs"
)

// hungry statements sort or collect more than a megabyte, each by another part of SQLite.
var hungry = map[string]string{
	"sort":           "INSERT INTO out SELECT v FROM big ORDER BY v DESC, k",
	"sort in files":  "INSERT INTO out SELECT length(x) FROM (SELECT v || hex(zeroblob(1500)) AS x FROM big ORDER BY 1)",
	"index":          "CREATE INDEX big_v ON big (v, k)",
	"distinct":       "INSERT INTO out SELECT count(*) FROM (SELECT DISTINCT v FROM big)",
	"group":          "INSERT INTO out SELECT max(v) FROM big GROUP BY v",
	"union":          "INSERT INTO out SELECT count(*) FROM (SELECT v FROM big UNION SELECT v || 'x' FROM big)",
	"window":         "INSERT INTO out SELECT sum(n) FROM (SELECT length(v) + row_number() OVER (ORDER BY v) AS n FROM big)",
	"in":             "INSERT INTO out SELECT count(*) FROM big WHERE k || '' IN (SELECT v FROM big)",
	"recursion":      "INSERT INTO out SELECT count(*) FROM (WITH RECURSIVE c(i, x) AS (SELECT 1, '' UNION SELECT i + 1, zeroblob(500) FROM c LIMIT 2000) SELECT * FROM c)",
	"insert of self": "INSERT INTO big(v) SELECT v FROM big",
	"trigger":        "INSERT INTO fire VALUES (1)",
	"materialised":   "INSERT INTO out SELECT count(*) FROM (WITH m AS MATERIALIZED (SELECT v FROM big) SELECT a.v FROM m a JOIN m b ON a.v = b.v)",
}

func newHungry(t *testing.T) *replica {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE big (k INTEGER PRIMARY KEY, v)", "CREATE TABLE out (v)", "CREATE TABLE fire (a)",
		"CREATE TRIGGER fired AFTER INSERT ON fire BEGIN INSERT INTO out SELECT v FROM big ORDER BY v; END",
		"INSERT INTO big(v) SELECT hex(randomblob(250)) || i FROM ("+fmt.Sprintf(fill, 2000)+"SELECT i FROM c)")
	return r
}

// tempOf runs a statement, takes it back, and says what it was answered and the steps it was charged.
func tempOf(t *testing.T, r *replica, sql string, max int64) (stopped bool, used, seen int64) {
	t.Helper()
	tx, err := r.db.Begin(stampOf(1000))
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	req := request(sql)
	req.TempBytesMax = max
	rep, refusal, err := tx.Execute(req)
	seen = r.db.w.temp
	if err != nil || refusal != nil {
		t.Fatal(refusal, err)
	}
	e := rep.Results[0].Err
	if e != nil && (e.Kind != structs.KindTooLarge || !strings.Contains(e.Message, "sorts or collects too much") || e.Hint == "") {
		t.Fatalf("%s: %v", sql, e)
	}
	return e != nil, tx.ran[0].used, seen
}

// TestTempBytesBoundsWhatAStatementKeepsTheSameWayEverywhere sees how much each statement keeps, and wants the bound
// that it passes to be the same, to the byte, on connections that remember other things and while other databases fill the cache that SQLite
// has for the process, which changes when it writes to files.
func TestTempBytesBoundsWhatAStatementKeepsTheSameWayEverywhere(t *testing.T) {
	r := newHungry(t)
	edges := map[string]int64{}
	for name, sql := range hungry {
		stopped, seen := false, int64(0)
		if stopped, _, seen = tempOf(t, r, sql, 64<<20); stopped {
			t.Fatalf("%s: stopped at 64 MiB", name)
		}
		if edges[name] = seen; seen < 900_000 || seen > 16<<20 {
			t.Errorf("%s: keeps %d bytes", name, seen)
		}
	}
	t.Logf("they need %v", edges)
	other := newHungry(t)
	other.must("ANALYZE", "DROP INDEX IF EXISTS nosuch", "CREATE TABLE x (a)", "DROP TABLE x", "SELECT count(*) FROM big a JOIN big b ON a.k = b.k")
	noise := newHungry(t)
	for name, sql := range hungry {
		var used [2]int64
		for i, edge := range []int64{edges[name] - 1, edges[name]} {
			noise.query("SELECT count(*) FROM (SELECT DISTINCT a.v || b.k FROM big a, big b LIMIT 4000)")
			stopped, first, _ := tempOf(t, r, sql, edge)
			again, second, _ := tempOf(t, other, sql, edge)
			if want := i == 0; stopped != want || again != want || first != second {
				t.Errorf("%s at %d: stopped: %v and %v, steps: %d and %d", name, edge, stopped, again, first, second)
			}
			used[i] = first
		}
		if used[0] > used[1] {
			t.Errorf("%s: the refused one was charged %d steps, the whole one %d", name, used[0], used[1])
		}
	}
	expect(t, r.query("SELECT count(*) FROM out"), "0")
}

func TestQueriesAreBoundInWhatTheySortAndCollect(t *testing.T) {
	r := newHungry(t)
	r.e.queryTempMax = 500_000
	for name, sql := range map[string]string{
		"sort": "SELECT v FROM big ORDER BY v", "distinct": "SELECT DISTINCT v FROM big", "group": "SELECT max(k) FROM big GROUP BY v",
	} {
		_, err := r.tryQuery(context.Background(), sql)
		if !errors.Is(err, structs.ErrTooLarge) || !strings.Contains(err.Error(), "sorts or collects too much") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left := r.e.queryTemp.Load(); left != 0 {
		t.Errorf("%d bytes are still counted", left)
	}
	r.e.queryTemp.Store(2_000_000 - 100_000) // what other queries have
	if _, err := r.tryQuery(context.Background(), "SELECT v FROM big ORDER BY v LIMIT 500 OFFSET 0"); !errors.Is(err, structs.ErrTooLarge) {
		t.Errorf("over the bound of all: %v", err)
	}
	r.e.queryTemp.Store(0)
	r.query("SELECT v FROM big WHERE k < 500 ORDER BY v")
}
