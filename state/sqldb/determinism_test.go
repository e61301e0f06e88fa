package sqldb

import (
	"context"
	"encoding/hex"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

// unsteady are statements whose effects would differ between machines, moments or connections.
var unsteady = []string{
	"CREATE TABLE t (id INTEGER PRIMARY KEY, a DEFAULT CURRENT_TIMESTAMP, b DEFAULT (julianday()), c DEFAULT (random()), d, e DEFAULT (strftime('%f')))",
	"CREATE TABLE log (x)",
	"CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log VALUES (strftime('%Y-%m-%d %H:%M:%f', 'now') || random() || changes() || total_changes()); END",
	"INSERT INTO t (d) VALUES (1), (2)",
	"INSERT INTO t (d) VALUES (julianday()), (strftime('%s')), (unixepoch('now', 'subsec')), (datetime('no' || 'w')), (current_time), (date())",
	"INSERT INTO t (d) VALUES (random ()), (random/**/()), (randomblob(16)), (hex(randomblob(3)))",
	"WITH c(v) AS (VALUES (random()), (random())) INSERT INTO t (d) SELECT v FROM c",
	"SELECT 1; INSERT INTO t (d) VALUES (random())",
	"INSERT INTO t (d) SELECT column1 FROM (VALUES (1), (2), (3), (4), (5)) ORDER BY random()",
	"UPDATE t SET d = random() WHERE id < 5",
	"INSERT INTO t (d) VALUES (datetime('now', 'localtime')), (datetime(0, 'unixepoch', 'localtime')), (datetime('2024-07-01 12:00', 'utc')), (strftime('%s', 'now', 'localtime'))",
	"INSERT INTO t (d) VALUES (last_insert_rowid()), (changes()), (total_changes())",
	"SELECT changes(), total_changes(), last_insert_rowid()",
	"CREATE TABLE big (k INTEGER PRIMARY KEY, v, w); INSERT INTO big SELECT value, abs(random() % 50), randomblob(10) FROM (WITH RECURSIVE c(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM c LIMIT 3000) SELECT value FROM c)",
	"CREATE INDEX big_v ON big (v); CREATE INDEX big_w ON big (w)",
	"ANALYZE",
	"INSERT INTO t (d) SELECT w FROM big WHERE v > 10 AND w > x'80' LIMIT 7",
	"CREATE VIRTUAL TABLE ft USING fts5(body)",
	"INSERT INTO ft SELECT hex(w) || ' word' || v FROM big",
	"INSERT INTO ft (ft) VALUES ('optimize')",
	"DELETE FROM ft WHERE ft MATCH 'word7'",
	"CREATE VIRTUAL TABLE rt USING rtree(id, x0, x1)",
	"INSERT INTO rt SELECT k, v, v + 1 FROM big",
	"ALTER TABLE t ADD COLUMN f INTEGER NOT NULL DEFAULT 5 CHECK (f > 1)",
	"ALTER TABLE t RENAME COLUMN d TO dd",
	"INSERT INTO t (dd) SELECT sum(v * 0.1) FROM big; INSERT INTO t (dd) SELECT avg(v / 3.0) FROM big; INSERT INTO t (dd) SELECT printf('%.17g %e', v / 7.0, v / 3.0) FROM big LIMIT 3",
	"PRAGMA user_version = 17",
	"DELETE FROM big WHERE k IN (SELECT k FROM big ORDER BY random() LIMIT 100)",
	"INSERT OR REPLACE INTO big VALUES (1, random(), 1) RETURNING *",
	"DROP TRIGGER tr; DROP TABLE log",
	"REINDEX",
}

// story applies requests that meet all that is unsteady, some of them together, with failures between, and
// returns what they answered and the hash of what they left.
func story(t *testing.T, r *replica, between func()) []string {
	t.Helper()
	var out []string
	heavy := request("INSERT INTO t (c) SELECT i FROM (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT i FROM c)")
	heavy.WorkMax = 30_000
	whole := request("CREATE TABLE tmp (a)", "INSERT INTO tmp VALUES (random())", "ANALYZE", "INSERT INTO nosuch VALUES (1)")
	whole.Transaction = true
	for i, sql := range unsteady {
		reqs := []*structs.SQLRequest{request(sql)}
		if i%5 == 4 {
			reqs = append(reqs, heavy, request(unsteady[3]), whole, request("INSERT INTO t (c) VALUES (random())"))
		}
		for j, res := range r.entry(reqs...) {
			if j == 0 && strings.Contains(res, "error") {
				t.Errorf("%s: %s", sql, res)
			}
			out = append(out, res)
		}
		between()
	}
	return append(out, hashOf(t, r))
}

func hashOf(t testing.TB, r *replica) string {
	t.Helper()
	pin, err := r.db.Pin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer pin.Release()
	sum, err := pin.Hash(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum[:])
}

const childEnv = "SQLDB_TEST_STORY"

func TestReplicasAreEqualWhateverTheirClockZoneAndHistory(t *testing.T) {
	o := Options{Name: "a/b"}
	steady := story(t, newReplica(t, o), func() {})
	if os.Getenv(childEnv) != "" {
		os.Stdout.WriteString("\nBEGIN" + strings.Join(steady, "\x00") + "END\n")
		return
	}
	restless := newReplica(t, o)
	restless.index = 0
	got := story(t, restless, func() {
		restless.query("SELECT count(*) FROM sqlite_schema")
		restless.reopen()
	})
	same(t, "a replica that restarts after every entry", steady, got)

	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), childEnv+"=1", "TZ=America/New_York")
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	_, body, _ := strings.Cut(string(text), "BEGIN")
	body, _, _ = strings.Cut(body, "END\n")
	same(t, "another process in another time zone", steady, strings.Split(body, "\x00"))
}

func same(t *testing.T, what string, a, b []string) {
	t.Helper()
	if len(a) != len(b) {
		t.Fatalf("%s: %d answers, not %d", what, len(b), len(a))
	}
	for i := range a {
		if a[i] != b[i] {
			t.Errorf("%s: answer %d\n%.300s\n%.300s", what, i, a[i], b[i])
		}
	}
}

func TestTimeAndChanceAreTheEntrys(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (a, b)")
	r.entry(request("INSERT INTO t VALUES (strftime('%Y-%m-%d %H:%M:%f'), random())", "INSERT INTO t VALUES (datetime('now', 'localtime'), random())"),
		request("INSERT INTO t VALUES (current_timestamp, random())"))
	expect(t, r.query("SELECT a FROM t"), "\"2023-11-14 22:13:22.123\"\n\"2023-11-14 22:13:22\"\n\"2023-11-14 22:13:22\"")
	expect(t, r.query("SELECT count(DISTINCT b) FROM t"), "3")
	expect(t, r.query("SELECT abs(julianday() - julianday(?)) < 1", structs.TextValue(time.Now().UTC().Format("2006-01-02 15:04:05"))), "1")
}
