package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/debros/debros/structs"
	_ "modernc.org/sqlite"
)

// stockFile is a file that stock SQLite makes of statements.
func stockFile(t testing.TB, statements ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stock.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(s, err)
		}
	}
	return path
}

func prepare(t testing.TB, from string, o Options) (string, *Prepared, error) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "prepared.db")
	p, err := Prepare(context.Background(), from, to, o)
	return to, p, err
}

// opened is a replica whose database is the file.
func opened(t testing.TB, path string, o Options) *replica {
	t.Helper()
	e, err := NewEngine(EngineOptions{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{t: t, e: e, path: path, o: o}
	r.open()
	t.Cleanup(func() { r.db.Close(); e.Close() })
	return r
}

func TestPrepareKeepsWhatAUserMade(t *testing.T) {
	path := stockFile(t,
		"PRAGMA page_size=1024", "PRAGMA journal_mode=WAL", "PRAGMA user_version=7", "PRAGMA application_id=99",
		"CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, name VARCHAR(10) NOT NULL UNIQUE, n, g AS (n + 1) STORED, CHECK (n > 0))",
		"CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID", "CREATE TABLE s (a INT, b TEXT) STRICT", `CREATE TABLE "odd name" ("a b")`,
		"CREATE INDEX tn ON t (n) WHERE n > 5", "CREATE INDEX te ON t (lower(name))", "CREATE VIEW v AS SELECT name, n FROM t",
		"CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO w (k, v) VALUES (new.name, new.n); END",
		"CREATE TRIGGER iv INSTEAD OF INSERT ON v BEGIN INSERT INTO t (name, n) VALUES (new.name, new.n); END",
		"CREATE VIRTUAL TABLE f USING fts5(body, tokenize = porter)", "CREATE VIRTUAL TABLE r USING rtree(id, x0, x1)", "CREATE VIRTUAL TABLE fv USING fts5vocab(f, row)",
		"INSERT INTO v VALUES ('a', 1), ('b', 6)", "INSERT INTO f VALUES ('running fast')", "INSERT INTO r VALUES (1, 0, 2)", "ALTER TABLE w ADD COLUMN late DEFAULT 5",
		"CREATE TABLE plain (a)", "INSERT INTO plain (rowid, a) VALUES (41, 'x')", "ANALYZE", "DELETE FROM t WHERE name = 'b'")
	to, p, err := prepare(t, path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(to); err != nil || st.Size() != p.SizeBytes || p.PageBytes != 1024 {
		t.Fatalf("%+v, %v", p, err)
	}
	r := opened(t, to, Options{})
	if r.db.AppliedIndex() != 0 {
		t.Errorf("applied %d", r.db.AppliedIndex())
	}
	r.must("INSERT INTO v VALUES ('c', 9)")
	expect(t, r.query("SELECT id, name, n, g FROM t"), `1|"a"|1|2`+"\n"+`3|"c"|9|10`)
	expect(t, r.query("SELECT * FROM w ORDER BY k"), `"a"|1|5`+"\n"+`"b"|6|5`+"\n"+`"c"|9|5`)
	expect(t, r.query("SELECT body FROM f('run')"), `"running fast"`)
	expect(t, r.query("SELECT id FROM r WHERE x0 < 1"), "1")
	expect(t, r.query("SELECT rowid, a FROM plain"), `41|"x"`)
	expect(t, r.query("SELECT count(*) > 0 FROM sqlite_stat1"), "1")
	expect(t, r.query("SELECT user_version, application_id FROM pragma_user_version, pragma_application_id"), "7|99")
}

// A backup of a database is one that can be restored, and what our tables knew does not come with it.
func TestPrepareTakesABackup(t *testing.T) {
	r := newReplica(t, Options{})
	story(t, r, func() {})
	r.keepChanges(structs.SQLChangesBytesMin)
	r.must("CREATE TABLE followed (a)")
	req := request("SELECT 1")
	req.RequestID = "once"
	r.entry(req)
	path := filepath.Join(t.TempDir(), "backup.db")
	if err := os.WriteFile(path, dump(t, r), 0o600); err != nil {
		t.Fatal(err)
	}
	to, _, err := prepare(t, path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	again := opened(t, to, Options{})
	expect(t, hashOfUser(t, again), hashOfUser(t, r))
	if _, _, err := again.db.Changes(context.Background(), structs.SQLPosition{}, 1); structs.KindOf(err) != structs.KindConflict {
		t.Errorf("changes of the cluster that it came from: %v", err)
	}
	for what, sql := range map[string]string{"meta": "SELECT count(*) FROM _debros_meta", "replies": "SELECT 2 + count(*) FROM _debros_replies"} {
		n, err := again.db.w.trustedInt64(sql)
		if err != nil || n != 2 {
			t.Errorf("%s: %d, %v", what, n, err)
		}
	}
}

// hashOfUser is of what users see.
func hashOfUser(t *testing.T, r *replica) string {
	t.Helper()
	return r.query("SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE tbl_name NOT LIKE '\\_debros%' ESCAPE '\\' ORDER BY name") + r.query("SELECT * FROM big ORDER BY 1, 2, 3")
}

func (w *writer) trustedInt64(sql string) (int64, error) {
	w.trusted = true
	defer func() { w.trusted = false }()
	return w.Int64(sql)
}

func TestPrepareRefusesCraftedFiles(t *testing.T) {
	const open = "PRAGMA writable_schema=1"
	forged := func(schema ...string) string {
		return stockFile(t, append([]string{"CREATE TABLE t (a, b)", "INSERT INTO t VALUES (1, 2)", open}, schema...)...)
	}
	own := strings.Split(strings.TrimSpace(schema), ";\n")
	for name, c := range map[string]struct{ path, want string }{
		"table under another name": {forged("UPDATE sqlite_schema SET name = 'u', tbl_name = 'u'"), "malformed"},
		"our table under another name": {forged("UPDATE sqlite_schema SET sql = 'CREATE TABLE _debros_meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID'"),
			"sound"},
		"view that is our table": {forged("INSERT INTO sqlite_schema VALUES ('view', 'v', 'v', 0, 'CREATE VIEW _debros_meta AS SELECT 1 AS key, 1 AS value')"), "malformed"},
		"trigger on our table": {stockFile(t, append(own[:2:2], "CREATE TRIGGER x AFTER UPDATE ON _debros_meta BEGIN SELECT 1; END",
			"INSERT INTO _debros_meta VALUES ('format', 1), ('applied', 0)", open,
			"UPDATE sqlite_schema SET name = 'sqlite_autoindex__debros_replies_1' WHERE type = 'trigger'")...), "sound"},
		"trigger on our table under a false name": {stockFile(t, append(own[:2:2], "CREATE TABLE t (a)", "CREATE TRIGGER x AFTER UPDATE ON _debros_meta BEGIN SELECT 1; END",
			"INSERT INTO _debros_meta VALUES ('format', 1), ('applied', 0)", open,
			"UPDATE sqlite_schema SET tbl_name = 't' WHERE type = 'trigger'")...), "reserved|sound"},
		"two tables on one page":          {forged("INSERT INTO sqlite_schema VALUES ('table', 'u', 'u', 2, 'CREATE TABLE u (a, b)')"), "2nd reference"},
		"table without pages":             {forged("INSERT INTO sqlite_schema VALUES ('table', 'u', 'u', 0, 'CREATE TABLE u (a, b)')"), "sound"},
		"index without pages":             {forged("INSERT INTO sqlite_schema VALUES ('index', 'i', 't', 0, 'CREATE INDEX i ON t (a)')"), "sound"},
		"unknown function in a trigger":   {forged("INSERT INTO sqlite_schema VALUES ('trigger', 'x', 't', 0, 'CREATE TRIGGER x AFTER INSERT ON t BEGIN ROLLBACK; END')"), "sound|could not be made"},
		"rollback in a trigger":           {stockFile(t, "CREATE TABLE t (a)", "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT RAISE(ROLLBACK, 'x'); END"), "ROLLBACK is not allowed"},
		"platform's functions in a index": {stockFile(t, "CREATE TABLE t (a)", "CREATE INDEX i ON t (sin(a))"), "sin"},
		"extension's virtual table":       {stockFile(t, "CREATE VIRTUAL TABLE d USING dbstat"), "unknown kind"},
		"statistics of another shape":     {forged("INSERT INTO sqlite_schema VALUES ('view', 'sqlite_stat1', 'sqlite_stat1', 0, 'CREATE VIEW sqlite_stat1 AS SELECT 1')"), "SQLite's own"},
		"strings in double quotes":        {stockFile(t, "CREATE TABLE t (a CHECK (a <> \"x\"))"), "double"},
		"UTF-16":                          {stockFile(t, "PRAGMA encoding='UTF-16'", "CREATE TABLE t (a)"), "UTF-16"},
		"rowids used up":                  {stockFile(t, "CREATE TABLE t (a)", "INSERT INTO t (rowid) VALUES (9223372036854775807)"), "rowids"},
		"row too large":                   {stockFile(t, "CREATE TABLE t (a)", "INSERT INTO t VALUES (zeroblob(5000000))"), "4194304"},
		"damaged full-text index":         {stockFile(t, "CREATE VIRTUAL TABLE f USING fts5(a)", "INSERT INTO f VALUES ('x y')", "UPDATE f_data SET block = x'0102030405' WHERE id > 10"), "f|malformed"},
	} {
		to, _, err := prepare(t, c.path, Options{})
		var refusal *structs.Error
		if !errors.As(err, &refusal) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		said := refusal.Message + " " + refusal.Hint
		found := false
		for _, want := range strings.Split(c.want, "|") {
			found = found || strings.Contains(said, want)
		}
		if !found {
			t.Errorf("%s: %s", name, said)
		}
		_ = to
	}
}

func TestPrepareRefusesWhatIsNoDatabase(t *testing.T) {
	good, err := os.ReadFile(stockFile(t, "CREATE TABLE t (a)", "CREATE INDEX i ON t (a)",
		"INSERT INTO t SELECT i FROM (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 9000) SELECT i FROM c)"))
	if err != nil {
		t.Fatal(err)
	}
	page := append([]byte(nil), good...)
	page[16], page[17] = 0x20, 0 // 8192
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":           {nil, "empty"},
		"text":            {[]byte("CREATE TABLE t (a);"), "no SQLite file"},
		"header only":     {good[:100], ""},
		"half a header":   {good[:50], "shorter"},
		"cut short":       {good[:len(good)/2], "malformed"},
		"wrong page size": {page, ""},
	} {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := prepare(t, path, Options{})
		var refusal *structs.Error
		if !errors.As(err, &refusal) || refusal.Kind != structs.KindInvalid || !strings.Contains(refusal.Message, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPrepareEndsWithItsContext(t *testing.T) {
	path := stockFile(t, "CREATE TABLE t (a)", "INSERT INTO t SELECT i FROM (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 9000) SELECT i FROM c)")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Prepare(ctx, path, filepath.Join(t.TempDir(), "to"), Options{}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// FuzzPrepare feeds damaged files to Prepare. What it accepts is written through every table without a fault of this
// machine: a replica would stop at one.
func FuzzPrepare(f *testing.F) {
	good, err := os.ReadFile(stockFile(f, "PRAGMA page_size=512", "CREATE TABLE t (a INTEGER PRIMARY KEY, b)", "CREATE INDEX tb ON t (b)", "INSERT INTO t (b) VALUES (1), ('x'), (NULL)",
		"CREATE VIEW v AS SELECT 1", "CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT new.b; END"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, uint16(0), byte(0))
	f.Add(good, uint16(600), byte(1))
	f.Add(good[:1500], uint16(18), byte(3))
	f.Fuzz(func(t *testing.T, data []byte, at uint16, flip byte) {
		if len(data) > 0 {
			data = append([]byte(nil), data...)
			data[int(at)%len(data)] ^= flip
		}
		path := filepath.Join(t.TempDir(), "x.db")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		to, _, err := prepare(t, path, Options{})
		if err != nil {
			var refusal *structs.Error
			if !errors.As(err, &refusal) {
				t.Fatalf("taken for a fault of this machine: %v", err)
			}
			return
		}
		r := opened(t, to, Options{})
		for _, o := range []string{"INSERT INTO t (b) VALUES (5)", "DELETE FROM t", "DROP TABLE t", "CREATE TABLE fresh (a)"} {
			r.exec(o) // fails the test at a fault
		}
	})
}
