package sqldb

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

// FuzzReplicasStayEqual gives the same SQL to a replica that keeps its connection and to one that restarts after
// every entry. SQLite's coverage is large: run it with -fuzzminimizetime 1x.
func FuzzReplicasStayEqual(f *testing.F) {
	for i, sql := range unsteady {
		f.Add(sql, unsteady[(i*7+3)%len(unsteady)], i%2 == 0)
	}
	for _, sql := range []string{"INSERT OR FAIL INTO a VALUES (3), (1), (4)", "INSERT OR IGNORE INTO a VALUES (1)", "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) INSERT INTO b SELECT i, i FROM c",
		"INSERT INTO a VALUES (9223372036854775807)", "ANALYZE; SELECT nosuch", "DROP TABLE a", "INSERT INTO f VALUES ('a b')"} {
		f.Add(sql, "INSERT INTO b VALUES (random(), 2)", true)
	}
	f.Fuzz(func(t *testing.T, one, two string, whole bool) {
		if len(one)+len(two) > 4000 {
			return
		}
		var answers [2][]string
		for i := range answers {
			r := newReplica(t, Options{})
			again := func() {
				if i == 1 {
					r.reopen()
				}
			}
			r.must("CREATE TABLE a (id INTEGER PRIMARY KEY)", "CREATE TABLE b (x, y)", "CREATE VIRTUAL TABLE f USING fts5(body)", "INSERT INTO a VALUES (1), (2)", "INSERT INTO b VALUES (1, 2)")
			again()
			for range 2 {
				reqs := []*structs.SQLRequest{request(one), request("INSERT INTO b VALUES (random(), changes())"), request(one, two), request(two)}
				for _, req := range reqs {
					req.WorkMax = 100_000
					req.Transaction = whole
				}
				answers[i] = append(answers[i], r.entry(reqs...)...)
				again()
			}
			answers[i] = append(answers[i], hashOf(t, r))
			if err := r.db.Close(); err != nil {
				t.Fatal(err)
			}
			r.e.Close()
		}
		same(t, strings.Join([]string{one, two}, " | "), answers[0], answers[1])
	})
}

// FuzzInstall feeds damaged files to Install; what it accepts must open and answer.
func FuzzInstall(f *testing.F) {
	r := newReplica(f, Options{PageBytes: 512})
	r.must("CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT, b)", "CREATE INDEX tb ON t (b)", "INSERT INTO t (b) VALUES (1), ('x'), (NULL)", "CREATE VIEW v AS SELECT 1")
	good := dump(f, r)
	f.Add(good, uint16(0), byte(0))
	f.Add(good, uint16(18), byte(0x10))
	f.Add(good[:700], uint16(18), byte(2))
	f.Add([]byte("SQLite format 3\x00"), uint16(0), byte(0))
	e, err := NewEngine(EngineOptions{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { e.Close() })
	f.Fuzz(func(t *testing.T, data []byte, at uint16, flip byte) {
		if len(data) > 0 {
			data = bytes.Clone(data)
			data[int(at)%len(data)] ^= flip
		}
		path := filepath.Join(t.TempDir(), "x.db")
		if err := Install(path, bytes.NewReader(data)); err != nil {
			return
		}
		db, err := e.Open(path, Options{})
		if err != nil {
			t.Fatalf("accepted, but not opened: %v", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err = db.Query(ctx, structs.SQLStatement{SQL: "SELECT count(*) FROM sqlite_schema"}, func(names, types []string) error { return nil }, func(structs.SQLRow) error { return nil })
		if err != nil {
			t.Errorf("accepted, but not read: %v", err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}
