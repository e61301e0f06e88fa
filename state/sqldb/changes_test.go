package sqldb

import (
	"strings"
	"testing"

	"github.com/debros/debros/structs"
)

// TestChangesSpeakOfTheRequestOnly asks changes() and its like behind every kind of statement, on a replica that
// remembers an earlier request and on one whose connection is new.
func TestChangesSpeakOfTheRequestOnly(t *testing.T) {
	befores := []string{"SELECT 1", "-- nothing", "PRAGMA user_version = 3", "CREATE TABLE n (a)", "DROP TABLE n", "CREATE TABLE n AS SELECT 1", "CREATE INDEX ni ON n (1)", "DROP TABLE IF EXISTS n",
		"ALTER TABLE u ADD COLUMN x", "ALTER TABLE u DROP COLUMN x", "ANALYZE", "REINDEX", "EXPLAIN QUERY PLAN INSERT INTO u VALUES (1)", "INSERT INTO nosuch VALUES (1)",
		"CREATE VIRTUAL TABLE f2 USING fts5(x)", "DROP TABLE f2", "INSERT INTO t(a) VALUES (abs(-9223372036854775808))", "UPDATE u SET a = 1 WHERE 0", "DELETE FROM u RETURNING a"}
	asks := []string{"INSERT INTO t(a) VALUES (changes())", "INSERT INTO t DEFAULT VALUES", "INSERT INTO u(a) VALUES (1)", "SELECT n FROM v", "INSERT INTO v VALUES (1)",
		"INSERT INTO ft SELECT changes() UNION ALL SELECT total_changes()"}
	story := func(fresh bool) (out []string) {
		r := newReplica(t, Options{})
		r.must("CREATE TABLE t (a, b DEFAULT (changes()), c DEFAULT (total_changes()), d DEFAULT (last_insert_rowid()))", "CREATE TABLE u (a)", "CREATE TABLE many (a)",
			"CREATE TRIGGER tr AFTER INSERT ON u BEGIN INSERT INTO t(a) VALUES (changes()); END", "CREATE VIEW v AS SELECT changes() AS n",
			"CREATE TRIGGER tv INSTEAD OF INSERT ON v BEGIN INSERT INTO t(a) SELECT n FROM v; END", "CREATE VIRTUAL TABLE ft USING fts5(x)")
		for _, ask := range asks {
			for _, before := range befores {
				r.must("INSERT INTO many VALUES (1), (2), (3)")
				if fresh {
					r.reopen()
				}
				rows := int64(1)
				req := request(before, ask, "SELECT group_concat(a || ',' || b || ',' || c || ',' || d, ';'), (SELECT group_concat(x) FROM ft) FROM t", "DELETE FROM t", "DELETE FROM ft")
				req.Guards = []structs.SQLGuard{{SQLStatement: structs.SQLStatement{SQL: "SELECT 1 WHERE changes() = 0"}, Rows: &rows}}
				got := r.entry(req)[0]
				if strings.HasPrefix(got, "refused") {
					t.Errorf("%s; %s: %s", before, ask, got)
				}
				out = append(out, before+"; "+ask+": "+got)
			}
		}
		return append(out, hashOf(t, r))
	}
	same(t, "a replica whose connections are new", story(false), story(true))
}
