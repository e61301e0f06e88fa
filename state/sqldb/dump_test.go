package sqldb

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/debros/debros/internal/sqltext"
	"github.com/debros/debros/structs"
)

func dumpText(t *testing.T, r *replica, tables ...string) string {
	t.Helper()
	p, err := r.db.Pin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	var b bytes.Buffer
	if err := p.Dump(context.Background(), tables, &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const odd = "INSERT INTO t VALUES (1, 'it''s', 1.5), (2, x'00ff', 9e999), (3, CAST(x'4100' AS TEXT), NULL), (9223372036854775806, 0.1, -0.0)"

func TestDumpMakesTheDatabaseAnew(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a, b, g AS (id + 1))", "INSERT INTO t (id, a, b) "+strings.TrimPrefix(odd, "INSERT INTO t "), "DELETE FROM t WHERE id > 100",
		"CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID", "INSERT INTO w VALUES ('z', 1), ('a', 2)", `CREATE TABLE "odd ""name" ("a;b")`, `INSERT INTO "odd ""name" VALUES (7)`,
		"CREATE VIRTUAL TABLE f USING fts5(body)", "INSERT INTO f VALUES ('one two')", "CREATE VIRTUAL TABLE e USING fts5(v, content = w, content_rowid = v)",
		"CREATE INDEX ti ON t (a)", "CREATE VIEW v AS SELECT a FROM t", "CREATE TRIGGER tr AFTER INSERT ON w BEGIN INSERT INTO t (a) VALUES (new.k || ';'); END", "PRAGMA user_version=9", "ANALYZE")
	text := dumpText(t, r)
	if strings.Contains(text, "_debros_") {
		t.Error("our own tables are in it")
	}
	again := newReplica(t, Options{})
	for s := sqltext.NewSplitter(strings.NewReader(text)); s.Next(); {
		switch st := s.Statement().Text; sqltext.FirstWord(st) {
		case "begin", "commit":
		case "pragma":
			if strings.Contains(st, "user_version") {
				again.must(st)
			}
		default:
			again.must(st)
		}
	}
	for _, q := range []string{"SELECT *, typeof(a), typeof(b) FROM t", "SELECT * FROM w", `SELECT * FROM "odd ""name"`, "SELECT rowid, * FROM f('two')", "SELECT * FROM sqlite_sequence",
		"SELECT user_version FROM pragma_user_version", "SELECT type, name, sql FROM sqlite_schema WHERE tbl_name NOT LIKE '\\_debros%' ESCAPE '\\' ORDER BY name, type"} {
		expect(t, again.query(q), r.query(q))
	}
	if one := dumpText(t, r, "W"); !strings.Contains(one, "CREATE TABLE w") || !strings.Contains(one, "CREATE TRIGGER tr") || strings.Contains(one, "CREATE TABLE t") || strings.Contains(one, "user_version") {
		t.Error(one)
	}
	p, err := r.db.Pin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	var b bytes.Buffer
	if err := p.Dump(context.Background(), []string{"w", "none"}, &b); structs.KindOf(err) != structs.KindInvalid || b.Len() > 0 {
		t.Errorf("%v, %d bytes", err, b.Len())
	}
}

func TestCompactCopyHasNeitherFreePagesNorOurTables(t *testing.T) {
	r := newReplica(t, Options{})
	r.keepChanges(64 << 20)
	r.must("CREATE TABLE t (a)", "INSERT INTO t VALUES (zeroblob(1000000)), ('kept')", "DELETE FROM t WHERE typeof(a) = 'blob'")
	var b bytes.Buffer
	dir := t.TempDir()
	if err := r.db.WriteCompact(context.Background(), dir, &b); err != nil {
		t.Fatal(err)
	}
	if b.Len() > 100_000 {
		t.Errorf("%d bytes", b.Len())
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	path := filepath.Join(t.TempDir(), "x.db")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := openConn(path, "", false, lenient)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	c.trusted = true
	got, err := c.text("SELECT group_concat(name) || (SELECT a FROM t) FROM sqlite_schema")
	if err != nil {
		t.Fatal(err)
	}
	expect(t, got, "tkept")
}
