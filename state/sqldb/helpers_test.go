package sqldb

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

var start = time.UnixMilli(1_700_000_000_123)

// replica is a database with the number of the next entry.
type replica struct {
	t     testing.TB
	e     *Engine
	db    *DB
	path  string
	o     Options
	index uint64
}

func newReplica(t testing.TB, o Options) *replica {
	t.Helper()
	e, err := NewEngine(EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	r := &replica{t: t, e: e, path: filepath.Join(t.TempDir(), "a.db"), o: o}
	r.open()
	t.Cleanup(func() { r.db.Close() })
	return r
}

func (r *replica) open() {
	r.t.Helper()
	var err error
	if r.db, err = r.e.Open(r.path, r.o); err != nil {
		r.t.Fatal(err)
	}
}

// reopen forgets all that connections remember.
func (r *replica) reopen() {
	r.t.Helper()
	if err := r.db.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

func stampOf(index uint64) structs.Stamp {
	return structs.Stamp{Index: index, Time: start.Add(time.Duration(index) * time.Second), Seed: index * 977}
}

// entry applies requests as one log entry and returns what they answered, printed.
func (r *replica) entry(reqs ...*structs.SQLRequest) []string {
	r.t.Helper()
	r.index++
	tx, err := r.db.Begin(stampOf(r.index))
	if err != nil {
		r.t.Fatal(err)
	}
	var out []string
	for _, req := range reqs {
		rep, refusal, err := tx.Execute(req)
		if err != nil {
			r.t.Fatalf("%s: %v", req.Statements[0].SQL, err)
		}
		out = append(out, show(r.t, rep, refusal))
	}
	if err := tx.Commit(); err != nil {
		r.t.Fatal(err)
	}
	return out
}

// exec applies one request of statements without arguments.
func (r *replica) exec(sql ...string) string {
	r.t.Helper()
	return r.entry(request(sql...))[0]
}

// must is exec of what may not fail.
func (r *replica) must(sql ...string) string {
	r.t.Helper()
	out := r.exec(sql...)
	if strings.Contains(out, "error") {
		r.t.Fatalf("%s: %s", sql, out)
	}
	return out
}

func request(sql ...string) *structs.SQLRequest {
	req := &structs.SQLRequest{}
	for _, s := range sql {
		req.Statements = append(req.Statements, structs.SQLStatement{SQL: s})
	}
	return req
}

func show(t testing.TB, rep *structs.SQLReply, refusal *structs.Error) string {
	t.Helper()
	if refusal != nil {
		return "refused: " + refusal.Kind.String() + ": " + refusal.Message
	}
	var parts []string
	for _, res := range rep.Results {
		switch {
		case res.Err != nil:
			parts = append(parts, "error: "+res.Err.Kind.String()+": "+res.Err.Message)
		case res.Columns != nil:
			s := strings.Join(res.Columns, ",")
			for _, row := range res.Rows {
				s += "\n" + showRow(t, row)
			}
			parts = append(parts, s)
		default:
			parts = append(parts, fmt.Sprintf("%d/%d", res.RowsAffected, res.LastInsertID))
		}
	}
	return strings.Join(parts, "; ")
}

func showRow(t testing.TB, row structs.SQLRow) string {
	t.Helper()
	values, err := row.Values()
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, v := range values {
		switch v.Kind() {
		case structs.SQLInteger:
			parts = append(parts, fmt.Sprint(v.Integer()))
		case structs.SQLReal:
			parts = append(parts, fmt.Sprint(v.Real()))
		case structs.SQLText:
			parts = append(parts, fmt.Sprintf("%q", v.Bytes()))
		case structs.SQLBlob:
			parts = append(parts, fmt.Sprintf("x%x", v.Bytes()))
		default:
			parts = append(parts, "NULL")
		}
	}
	return strings.Join(parts, "|")
}

// query reads rows, printed, one a line.
func (r *replica) query(sql string, args ...structs.SQLValue) string {
	r.t.Helper()
	out, err := r.tryQuery(context.Background(), sql, args...)
	if err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
	return out
}

func (r *replica) tryQuery(ctx context.Context, sql string, args ...structs.SQLValue) (string, error) {
	var lines []string
	err := r.db.Query(ctx, structs.SQLStatement{SQL: sql, Args: structs.NewSQLRow(args...)},
		func(names, types []string) error { return nil },
		func(row structs.SQLRow) error {
			lines = append(lines, showRow(r.t, row))
			return nil
		})
	return strings.Join(lines, "\n"), err
}
