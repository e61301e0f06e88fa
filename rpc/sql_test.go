package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

// sql runs statements that must succeed on the default database.
func (b *testBackend) sql(t testing.TB, statements ...string) *structs.SQLReply {
	t.Helper()
	req := &structs.SQLRequest{}
	for _, s := range statements {
		req.Statements = append(req.Statements, structs.SQLStatement{SQL: s})
	}
	rep := mustAsk[structs.SQLReply](t, b, "SQL.Execute", req)
	for i, r := range rep.Results {
		if r.Err != nil {
			t.Fatalf("statement %d: %v", i, r.Err)
		}
	}
	return rep
}

// query reads a stream to its end.
func query(ctx context.Context, b Backend, req *structs.SQLQueryRequest) (begin *structs.SQLBegin, rows []structs.SQLRow, done *structs.SQLDone, frames int, err error) {
	var buf bytes.Buffer
	for _, m := range Streams(b) {
		if m.Name == "SQL.Query" {
			err = m.Handle(ctx, req, nil, &buf)
		}
	}
	if err != nil {
		return nil, nil, nil, 0, err
	}
	for {
		var c structs.SQLChunk
		if err := structs.ReadFrame(&buf, &c); err == io.EOF {
			return begin, rows, done, frames, nil
		} else if err != nil {
			return nil, nil, nil, 0, err
		}
		frames++
		if c.Begin != nil {
			begin = c.Begin
		}
		rows = append(rows, c.Rows...)
		done = c.Done
	}
}

func statement(sql string, args ...structs.SQLValue) structs.SQLStatement {
	return structs.SQLStatement{SQL: sql, Args: structs.NewSQLRow(args...)}
}

func TestSQLQueryStreamsWhatWasWritten(t *testing.T) {
	b := newTestBackend(t)
	b.sql(t, "create table t(a integer primary key, b text)")
	index := b.sql(t, "with recursive n(i) as (select 1 union all select i+1 from n where i<20000) insert into t select i, 'row ' || i from n").Index
	begin, rows, done, frames, err := query(t.Context(), b, &structs.SQLQueryRequest{SQLStatement: statement("select a, b from t where a > ?1 order by a", structs.IntegerValue(10))})
	if err != nil {
		t.Fatal(err)
	}
	if begin == nil || begin.Index < index || fmt.Sprint(begin.Columns, begin.Types) != "[a b] [integer text]" || !begin.KnownLeader {
		t.Fatalf("begin %+v", begin)
	}
	if len(rows) != 19990 || done == nil || done.Rows != 19990 || done.Err != nil || frames < 3 {
		t.Fatalf("%d rows in %d frames, done %+v", len(rows), frames, done)
	}
	for i, r := range rows {
		v, err := r.Values()
		if err != nil || len(v) != 2 || v[0].Integer() != int64(11+i) || v[1].Bytes() != fmt.Sprintf("row %d", 11+i) {
			t.Fatalf("row %d: %v, %v", i, v, err)
		}
	}
}

func TestSQLQueryWithoutRowsHasItsColumns(t *testing.T) {
	b := newTestBackend(t)
	begin, rows, done, frames, err := query(t.Context(), b, &structs.SQLQueryRequest{SQLStatement: statement("select 1 as one where 0")})
	if err != nil || frames != 1 || begin == nil || len(begin.Columns) != 1 || len(rows) != 0 || done == nil {
		t.Fatalf("%+v, %v, %+v, %d frames, %v", begin, rows, done, frames, err)
	}
}

func TestSQLQueryRefusesWritesAndWhatIsWrong(t *testing.T) {
	b := newTestBackend(t)
	b.sql(t, "create table t(a)", "insert into t values(1)")
	for _, sql := range []string{
		"insert into t values(2)", "with x as (select 1) insert into t select * from x", "delete from t returning a",
		"create table u(a)", "pragma user_version=7", "vacuum", "attach 'x' as y", "begin", "selec 1", "select * from none",
	} {
		begin, _, done, frames, err := query(t.Context(), b, &structs.SQLQueryRequest{SQLStatement: statement(sql)})
		if err != nil || begin != nil || frames != 1 || done == nil || done.Err == nil || done.Err.Kind == structs.KindInternal {
			t.Errorf("%q: %+v, %d frames, %v", sql, done, frames, err)
		}
	}
	if _, rows, _, _, err := query(t.Context(), b, &structs.SQLQueryRequest{SQLStatement: statement("select * from t")}); err != nil || len(rows) != 1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
}

func TestSQLErrorBehindRowsIsInTheLastChunk(t *testing.T) {
	b := newTestBackend(t)
	begin, rows, done, _, err := query(t.Context(), b, &structs.SQLQueryRequest{SQLStatement: statement(
		"with recursive n(i) as (select 1 union all select i+1 from n where i<9000) select abs(case i when 9000 then -9223372036854775807 - 1 else i end) from n")})
	if err != nil || begin == nil || len(rows) != 8999 || done == nil || done.Err == nil || done.Rows != 8999 {
		t.Errorf("%d rows, %+v, %v", len(rows), done, err)
	}
}

func TestSQLStaleReadMayNotBeTooStale(t *testing.T) {
	b := newTestBackend(t)
	_, age := b.LeaderInfo()
	req := &structs.SQLQueryRequest{SQLStatement: statement("select 1"), Freshness: int64(age) / 2}
	req.Consistency = structs.Stale
	if _, _, _, _, err := query(t.Context(), b, req); !errors.Is(err, structs.ErrStaleRead) {
		t.Errorf("%v after %v", err, age)
	}
	req.Freshness = int64(age) * 2
	if _, rows, _, _, err := query(t.Context(), b, req); err != nil || len(rows) != 1 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

func TestSQLStrictFreshnessIsAboutWhatIsApplied(t *testing.T) {
	b := newTestBackend(t)
	b.sql(t, "create table t(a)")
	req := &structs.SQLQueryRequest{SQLStatement: statement("select 1"), FreshnessStrict: true}
	req.Consistency = structs.Stale
	refused := func(behind bool, freshness time.Duration) bool {
		b.behind, req.Freshness = behind, int64(freshness)
		_, _, _, _, err := query(t.Context(), b, req)
		if err != nil && !errors.Is(err, structs.ErrStaleRead) {
			t.Fatal(err)
		}
		return err != nil
	}
	_, heard := b.LeaderInfo()
	if refused(true, heard+time.Hour) {
		t.Error("a server that is behind by less is refused")
	}
	for time.Since(b.State().Time()) <= heard*2 {
		time.Sleep(time.Millisecond) // the entry grows old
	}
	if !refused(true, heard*2) {
		t.Error("a server that is behind by more than that answers")
	}
	if refused(false, heard*2) {
		t.Error("a server that has applied all it knows of is refused for the age of its last entry")
	}
	req.FreshnessStrict = false
	if refused(true, heard*2) {
		t.Error("without strict, it is about what was heard")
	}
}

func TestSQLRequestIsBounded(t *testing.T) {
	b := newTestBackend(t)
	b.limits = Limits{SQLBytesMax: 1000}
	long := statement("select ?1", structs.TextValue(strings.Repeat("x", 1000)))
	for what, c := range map[string]struct {
		req  structs.SQLRequest
		want structs.Kind
	}{
		"nothing":      {structs.SQLRequest{}, structs.KindInvalid},
		"too long":     {structs.SQLRequest{Statements: []structs.SQLStatement{long}}, structs.KindTooLarge},
		"too many":     {structs.SQLRequest{Statements: make([]structs.SQLStatement, sqlStatementsMax+1)}, structs.KindTooLarge},
		"bad args":     {structs.SQLRequest{Statements: []structs.SQLStatement{{SQL: "select ?", Args: structs.SQLRow{99}}}}, structs.KindInvalid},
		"lone name":    {structs.SQLRequest{Statements: []structs.SQLStatement{{SQL: "select :a", Names: []string{"a"}}}}, structs.KindInvalid},
		"bad id":       {structs.SQLRequest{Statements: []structs.SQLStatement{statement("select 1")}, RequestID: "a\x00"}, structs.KindInvalid},
		"bad database": {structs.SQLRequest{Statements: []structs.SQLStatement{statement("select 1")}, Database: "../../x"}, structs.KindInvalid},
		"no database":  {structs.SQLRequest{Statements: []structs.SQLStatement{statement("select 1")}, Database: "none"}, structs.KindNotFound},
	} {
		_, err := ask[structs.SQLReply](t.Context(), b, "SQL.Execute", &c.req)
		wantKindOf(t, what, err, c.want)
	}
	_, _, _, _, err := query(t.Context(), b, &structs.SQLQueryRequest{SQLStatement: long})
	wantKindOf(t, "long query", err, structs.KindTooLarge)
	for _, page := range []int{-1, 3, 500, 131072} {
		_, err := ask[structs.SQLDatabaseReply](t.Context(), b, "SQL.ApplyDatabase", &structs.SQLDatabaseRequest{
			Op: structs.SQLDatabaseCreate, Database: structs.SQLDatabase{Name: "d", PageBytes: page}})
		wantKindOf(t, fmt.Sprintf("page size %d", page), err, structs.KindInvalid)
	}
}

func wantKindOf(t *testing.T, what string, err error, want structs.Kind) {
	t.Helper()
	if err == nil || structs.KindOf(err) != want {
		t.Errorf("%s: %v, want kind %s", what, err, want)
	}
}

func TestSQLDatabasesAreListedInPages(t *testing.T) {
	b := newTestBackend(t)
	for _, name := range []string{"c", "a", "b"} {
		mustAsk[structs.SQLDatabaseReply](t, b, "SQL.ApplyDatabase", &structs.SQLDatabaseRequest{Op: structs.SQLDatabaseCreate, Database: structs.SQLDatabase{Name: name}})
	}
	first := mustAsk[structs.SQLDatabaseListReply](t, b, "SQL.Databases", &structs.SQLDatabaseListRequest{QueryOptions: structs.QueryOptions{PerPage: 2}})
	if len(first.Databases) != 2 || first.Databases[0].Name != "a" || first.NextToken == "" {
		t.Fatalf("%+v", first)
	}
	rest := mustAsk[structs.SQLDatabaseListReply](t, b, "SQL.Databases", &structs.SQLDatabaseListRequest{QueryOptions: structs.QueryOptions{PerPage: 2, NextToken: first.NextToken}})
	if len(rest.Databases) != 1 || rest.Databases[0].Name != "c" || rest.NextToken != "" {
		t.Fatalf("%+v", rest)
	}
}
