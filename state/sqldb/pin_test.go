package sqldb

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/structs"
	_ "modernc.org/sqlite" // a SQLite that knows nothing of us
)

func dump(t testing.TB, r *replica) []byte {
	t.Helper()
	pin, err := r.db.Pin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer pin.Release()
	var buf bytes.Buffer
	if n, err := pin.WriteTo(&buf); err != nil || n != int64(buf.Len()) {
		t.Fatal(n, err)
	}
	return buf.Bytes()
}

func TestInstalledCopyIsTheSameAndGoesOnTheSame(t *testing.T) {
	for _, page := range []int{0, 512, 1024, 65536} {
		o := Options{PageBytes: page}
		a, b := newReplica(t, o), newReplica(t, o)
		story(t, a, func() {})
		copied := dump(t, a)
		if err := b.db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := Install(b.path, bytes.NewReader(copied)); err != nil {
			t.Fatal(err)
		}
		b.open()
		b.index = a.index
		if b.db.AppliedIndex() != a.index {
			t.Fatalf("applied %d, not %d", b.db.AppliedIndex(), a.index)
		}
		expect(t, hashOf(t, b), hashOf(t, a))
		more := request("CREATE TABLE z (a); INSERT INTO z SELECT random() FROM big", "ANALYZE", "DELETE FROM big WHERE v < 10")
		expect(t, b.entry(more)[0], a.entry(more)[0])
		expect(t, hashOf(t, b), hashOf(t, a))
		if x, y := dump(t, a), dump(t, b); len(x) != len(y) {
			t.Errorf("%d and %d bytes", len(x), len(y))
		}

		alone := filepath.Join(t.TempDir(), "copy.db")
		if err := os.WriteFile(alone, copied, 0o600); err != nil {
			t.Fatal(err)
		}
		stock, err := sql.Open("sqlite", alone)
		if err != nil {
			t.Fatal(err)
		}
		defer stock.Close()
		var check, mode string
		if err := stock.QueryRow("PRAGMA integrity_check").Scan(&check); err != nil || check != "ok" {
			t.Fatal(check, err)
		}
		if err := stock.QueryRow("PRAGMA journal_mode").Scan(&mode); err != nil || mode != "delete" {
			t.Fatal(mode, err)
		}
	}
}

func TestPinHoldsItsMomentWhileTheWriterGoesOn(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
	before := hashOf(t, r)
	pin, err := r.db.Pin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r.must("INSERT INTO t VALUES (2)", "CREATE TABLE u (a)")
	sum, err := pin.Hash(context.Background())
	if err != nil || pin.AppliedIndex() != 1 {
		t.Fatal(pin.AppliedIndex(), err)
	}
	pin.Release()
	pin.Release()
	if after := hashOf(t, r); after == before || strings.HasPrefix(before, string(sum[:])) {
		t.Error("the hash does not see a change")
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.db.Pin(canceled); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	r.db.Close()
	if _, err := r.db.Pin(context.Background()); err == nil {
		t.Error("a closed database is pinned")
	}
}

func TestHashSeesEveryPart(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (a, b)", "CREATE TABLE w (k PRIMARY KEY, v) WITHOUT ROWID", "CREATE TABLE odd (rowid, _rowid_)", "INSERT INTO t VALUES (1, 2)", "INSERT INTO w VALUES (1, 2)", "INSERT INTO odd VALUES (1, 2)")
	seen := map[string]string{hashOf(t, r): "the beginning"}
	for _, sql := range []string{"UPDATE t SET a = 1.0", "UPDATE t SET a = '1'", "UPDATE t SET rowid = 7", "UPDATE w SET v = 3", "UPDATE odd SET oid = 9", "PRAGMA user_version=4", "CREATE VIEW v AS SELECT 1", "ALTER TABLE t RENAME TO u"} {
		r.must(sql)
		h := hashOf(t, r)
		if what, ok := seen[h]; ok {
			t.Errorf("the hash after %s is that after %s", sql, what)
		}
		seen[h] = sql
	}
}

func TestInstallRefusesWhatIsNoSoundDatabaseAndHarmsNothing(t *testing.T) {
	r := newReplica(t, Options{})
	r.must("CREATE TABLE t (a)", "CREATE INDEX ti ON t (a)", "INSERT INTO t SELECT i FROM (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 5000) SELECT i FROM c)")
	good := dump(t, r)
	stock := func(statements ...string) []byte {
		path := filepath.Join(t.TempDir(), "x.db")
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range statements {
			if _, err := db.Exec(s); err != nil {
				t.Fatal(s, err)
			}
		}
		db.Close()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	flipped := bytes.Clone(good)
	for i := len(flipped)/2 + 100; i < len(flipped)/2+200; i++ {
		flipped[i] ^= 0x55
	}
	ours := []string{schema}
	bad := map[string][]byte{
		"no database":       []byte(strings.Repeat("nonsense ", 1000)),
		"cut short":         good[:len(good)/2],
		"damaged":           flipped,
		"one table of ours": stock("CREATE TABLE _debros_meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID"),
		"no format": stock("CREATE TABLE _debros_meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
			"CREATE TABLE _debros_replies (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, ms INTEGER NOT NULL, bytes INTEGER NOT NULL, reply BLOB NOT NULL)"),
		"another meta":     stock("CREATE TABLE _debros_meta (key, value)"),
		"reserved names":   stock("CREATE TABLE _debros_meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID", "CREATE TRIGGER x AFTER UPDATE ON _debros_meta BEGIN SELECT 1; END"),
		"reserved trigger": stock("CREATE TABLE t (a)", "CREATE TABLE _Debros_X (a)"),
		"UTF-16":           stock("PRAGMA encoding='UTF-16'", "CREATE TABLE t (a)"),
		"highest rowid":    stock("CREATE TABLE t (a)", "INSERT INTO t (rowid, a) VALUES (9223372036854775807, 1)"),
		"odd sequence":     stock("CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT)", "INSERT INTO sqlite_sequence VALUES ('t', 9223372036854775807)"),
		"lone changes":     stock("CREATE TABLE _debros_changes (a)"),
		"other changes":    stock(append(ours, "INSERT INTO _debros_meta VALUES ('changes', 5), ('changes-index', 5), ('changes-seq', 5)", "CREATE TABLE _debros_changes (a)")...),
		"changes not kept": stock(append(ours, changesSchema)...),
		"lost changes":     stock(append(ours, "INSERT INTO _debros_meta VALUES ('changes', 5), ('changes-index', 5), ('changes-seq', 5)")...),
		"unknown vtable":   stock("CREATE VIRTUAL TABLE d USING dbstat"),
	}
	before := hashOf(t, r)
	r.db.Close()
	for name, data := range bad {
		err := Install(r.path, bytes.NewReader(data))
		var refusal *structs.Error
		if !errors.As(err, &refusal) || refusal.Kind != structs.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(filepath.Dir(r.path), "*")); len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}
	r.open()
	expect(t, hashOf(t, r), before)
	r.db.Close()
	if err := Install(r.path, bytes.NewReader(stock("CREATE TABLE mine (a)", "INSERT INTO mine VALUES (5)"))); err != nil {
		t.Fatal(err)
	}
	r.open()
	expect(t, r.query("SELECT * FROM mine"), "5")
	if r.db.AppliedIndex() != 0 {
		t.Errorf("applied %d", r.db.AppliedIndex())
	}
}

func TestContextEndsAQueryWithinAMoment(t *testing.T) {
	r := newReplica(t, Options{ReadersMax: 1})
	r.must("CREATE TABLE t (a)")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	started := time.Now()
	_, err := r.tryQuery(ctx, "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT count(*) FROM c")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	expect(t, r.query("SELECT 1"), "1") // the connection is free and works
	stop := errors.New("stop")
	n := 0
	err = r.db.Query(context.Background(), structs.SQLStatement{SQL: "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT i FROM c"},
		func(names, types []string) error { return nil },
		func(structs.SQLRow) error {
			if n++; n == 10 {
				return stop
			}
			return nil
		})
	if !errors.Is(err, stop) {
		t.Error(err)
	}
	r.db.Close()
	if err := r.db.Close(); err != nil {
		t.Error(err)
	}
	if _, err := r.tryQuery(context.Background(), "SELECT 1"); err == nil {
		t.Error("a closed database answers")
	}
}

func TestQuerySeesSchemaChangesAndTypes(t *testing.T) {
	r := newReplica(t, Options{ReadersMax: 1})
	r.must("CREATE TABLE t (a VARCHAR(10), b)")
	describe := func(sql string) (out string) {
		t.Helper()
		err := r.db.Query(context.Background(), structs.SQLStatement{SQL: sql}, func(names, types []string) error {
			out = strings.Join(names, ",") + " " + strings.Join(types, ",")
			return nil
		}, func(structs.SQLRow) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	expect(t, describe("SELECT * FROM t"), "a,b varchar(10),")
	r.must("ALTER TABLE t ADD COLUMN c INTEGER")
	expect(t, describe("SELECT * FROM t"), "a,b,c varchar(10),,integer")
	r.must("DROP TABLE t", "CREATE TABLE t (x REAL)")
	expect(t, describe("SELECT * FROM t"), "x real")
	expect(t, describe("-- nothing"), " ")
}
