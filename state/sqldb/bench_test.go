package sqldb

import (
	"context"
	"fmt"
	"testing"

	"github.com/debros/debros/structs"
)

// BenchmarkExecuteInsert is the part of the FSM in a batched single-row insert: 64 requests share an entry.
func BenchmarkExecuteInsert(b *testing.B) { benchmarkInsert(b, 0) }

// BenchmarkExecuteInsertKeepingChanges is the same in a database whose changes are kept.
func BenchmarkExecuteInsertKeepingChanges(b *testing.B) { benchmarkInsert(b, 64<<20) }

func benchmarkInsert(b *testing.B, changes int64) {
	r := newReplica(b, Options{})
	r.must("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, n INTEGER)")
	r.keepChanges(changes)
	req := request("INSERT INTO t (name, n) VALUES (?, ?)")
	req.Statements[0].Args = structs.NewSQLRow(structs.TextValue("a name of some length"), structs.IntegerValue(42))
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += 64 {
		r.index++
		tx, err := r.db.Begin(stampOf(r.index))
		if err != nil {
			b.Fatal(err)
		}
		for range min(64, b.N-done) {
			if _, refusal, err := tx.Execute(req); refusal != nil || err != nil {
				b.Fatal(refusal, err)
			}
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkChanges reads the feed, a change an operation.
func BenchmarkChanges(b *testing.B) {
	r := newReplica(b, Options{})
	r.must("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, n INTEGER)")
	r.keepChanges(64 << 20)
	r.must("INSERT INTO t (name, n) SELECT 'name ' || i, i * 3 FROM (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 100000) SELECT i FROM c)")
	from, n := structs.SQLPosition{}, 0
	b.ReportAllocs()
	b.ResetTimer()
	for n < b.N {
		runs, at, err := r.db.Changes(context.Background(), from, 256<<10)
		if err != nil {
			b.Fatal(err)
		}
		for i := range runs {
			if err := runs[i].Each(func(*structs.SQLChange) error { n++; return nil }); err != nil {
				b.Fatal(err)
			}
		}
		if from = at; len(runs) == 0 {
			from = structs.SQLPosition{}
		}
	}
}

func BenchmarkQuery(b *testing.B) {
	r := newReplica(b, Options{})
	r.must("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, n INTEGER)",
		"INSERT INTO t (name, n) SELECT 'name ' || i, i * 3 FROM (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 10000) SELECT i FROM c)")
	for _, rows := range []int64{1, 1000} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			st := structs.SQLStatement{SQL: "SELECT id, name, n FROM t WHERE id BETWEEN ? AND ?", Args: structs.NewSQLRow(structs.IntegerValue(500), structs.IntegerValue(499+rows))}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			columns := func(names, types []string) error { return nil }
			bytes := 0
			row := func(r structs.SQLRow) error { bytes += len(r); return nil }
			b.ReportAllocs()
			for b.Loop() {
				if err := r.db.Query(ctx, st, columns, row); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
