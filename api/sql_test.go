package api_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/agent/httpapi/sqljson"
	"github.com/debros/debros/api"
	"github.com/debros/debros/structs"
)

func newSQL(t *testing.T) *api.SQL {
	t.Helper()
	client, err := api.New(api.Config{Address: shared.Node().API.Address(), Namespace: shared.Namespace()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client.SQL()
}

// TestValuesComeBackExactly sends each value as an argument and reads it twice: by a query and by RETURNING.
func TestValuesComeBackExactly(t *testing.T) {
	db := newSQL(t)
	if _, err := db.Exec(t.Context(), "CREATE TABLE v (a)"); err != nil {
		t.Fatal(err)
	}
	type id int32
	seven := 7
	for _, c := range []struct{ in, want any }{
		{nil, nil}, {(*int)(nil), nil}, {[]byte(nil), nil}, {sql.NullString{}, nil},
		{math.MaxInt64, int64(math.MaxInt64)}, {int64(math.MinInt64), int64(math.MinInt64)}, {uint64(1) << 62, int64(1) << 62}, {uint8(3), int64(3)},
		{id(-4), int64(-4)}, {&seven, int64(7)}, {true, int64(1)}, {false, int64(0)}, {sql.NullInt64{Int64: 9, Valid: true}, int64(9)},
		{1.0, 1.0}, {0.1, 0.1}, {float32(0.5), 0.5}, {1e300, 1e300}, {math.SmallestNonzeroFloat64, math.SmallestNonzeroFloat64}, {math.MaxFloat64, math.MaxFloat64},
		{math.Inf(1), math.Inf(1)}, {math.Inf(-1), math.Inf(-1)}, {float64(1 << 60), float64(1 << 60)},
		{"", ""}, {"é \"quoted\" \\ \n\t\x00 </b> \u2028", "é \"quoted\" \\ \n\t\x00 </b> \u2028"}, {"\xff\xfe", "\xff\xfe"}, {"{\"blob\":1}", "{\"blob\":1}"},
		{[]byte{}, []byte{}}, {[]byte{0, 255}, []byte{0, 255}}, {bytes.Repeat([]byte{7}, 200_000), bytes.Repeat([]byte{7}, 200_000)},
		{time.Date(2026, 1, 2, 3, 4, 5, 6000, time.FixedZone("", 3600)), "2026-01-02 02:04:05.000006"},
	} {
		var back, kind any
		if err := db.QueryRow(t.Context(), api.Stmt("SELECT ?1, typeof(?1)", c.in), nil, &back, &kind); err != nil {
			t.Errorf("%v: %v", c.in, err)
			continue
		}
		if !reflect.DeepEqual(back, c.want) {
			t.Errorf("%T %v: got %T %v", c.in, c.in, back, back)
		}
		if want := map[string]string{"<nil>": "null", "int64": "integer", "float64": "real", "string": "text", "[]uint8": "blob"}[fmt.Sprintf("%T", c.want)]; kind != want {
			t.Errorf("%T %v is stored as %v", c.in, c.in, kind)
		}
		res, err := db.Exec(t.Context(), "INSERT INTO v VALUES (?) RETURNING a", c.in)
		if err != nil {
			t.Errorf("%v: %v", c.in, err)
		} else if got := res.Rows[0].Values()[0]; !reflect.DeepEqual(got, c.want) {
			t.Errorf("RETURNING of %T %v: got %T %v", c.in, c.in, got, got)
		}
	}
	for _, bad := range [][]any{
		{uint64(1) << 63}, {math.NaN()}, {struct{}{}}, {make(chan int)}, {api.Named("", 1)}, {api.Named("a", 1), 2}, {1, api.Named("a", 1)},
		{api.Named("a", 1), api.Named("a", 2)}, {api.Named("a", api.Named("b", 1))},
	} {
		if _, err := db.Exec(t.Context(), "SELECT 1", bad...); !errors.Is(err, api.ErrInvalid) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestScanConvertsAndRefusesWhatWouldLose(t *testing.T) {
	db := newSQL(t)
	type name string
	for _, c := range []struct {
		expr string
		dest any
		want any // nil: an error
	}{
		{"5", new(int), 5}, {"5", new(uint8), uint8(5)}, {"5.0", new(int64), int64(5)}, {"'5'", new(int64), int64(5)}, {"1", new(bool), true},
		{"300", new(uint8), nil}, {"-1", new(uint), nil}, {"5.5", new(int), nil}, {"'x'", new(int), nil}, {"2", new(bool), nil}, {"9e18 * 2", new(int64), nil},
		{"5", new(float64), 5.0}, {"'1.5'", new(float32), float32(1.5)}, {"x'00'", new(float64), nil},
		{"'a'", new(string), "a"}, {"'a'", new(name), name("a")}, {"7", new(string), "7"}, {"1.0", new(string), "1.0"}, {"x'41'", new(string), "A"},
		{"'a'", new([]byte), []byte("a")}, {"x'00ff'", new([]byte), []byte{0, 255}}, {"NULL", new([]byte), []byte(nil)},
		{"NULL", new(string), nil}, {"NULL", new(int), nil}, {"NULL", new(time.Time), nil}, {"NULL", new(*int), (*int)(nil)}, {"3", new(*int), pointer(3)},
		{"NULL", new(sql.Null[string]), sql.Null[string]{}}, {"'s'", new(sql.Null[string]), sql.Null[string]{V: "s", Valid: true}},
		{"'2026-01-02 03:04:05.5'", new(time.Time), time.Date(2026, 1, 2, 3, 4, 5, 5e8, time.UTC)}, {"'2026-01-02'", new(time.Time), time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)},
		{"'2026-01-02T03:04:05Z'", new(time.Time), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, {"'soon'", new(time.Time), nil}, {"5", new(time.Time), nil},
		{"5", 5, nil}, {"5", (*int)(nil), nil}, {"5", new(struct{}), nil},
	} {
		err := db.QueryRow(t.Context(), api.Stmt("SELECT "+c.expr), nil, c.dest)
		if c.want == nil {
			if !errors.Is(err, api.ErrInvalid) {
				t.Errorf("%s into %T: %v", c.expr, c.dest, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s into %T: %v", c.expr, c.dest, err)
		} else if got := reflect.ValueOf(c.dest).Elem().Interface(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s into %T: got %v", c.expr, c.dest, got)
		}
	}
	if err := db.QueryRow(t.Context(), api.Stmt("SELECT 1, 2"), nil, new(int)); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("too few variables: %v", err)
	}
}

func pointer[T any](v T) *T { return &v }

// TestWriteWhoseAnswerIsLostIsDoneOnce loses the answer of a write that was done: the client asks again and the
// servers know the request.
func TestWriteWhoseAnswerIsLostIsDoneOnce(t *testing.T) {
	node, ns := shared.Node(), shared.Namespace()
	var lose atomic.Int32
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r2, err := http.NewRequestWithContext(r.Context(), r.Method, node.API.Address()+r.URL.RequestURI(), r.Body)
		if err != nil {
			panic(err)
		}
		r2.Header = r.Header
		reply, err := http.DefaultTransport.RoundTrip(r2)
		if err != nil {
			panic(err)
		}
		defer reply.Body.Close()
		body, _ := io.ReadAll(reply.Body)
		if lose.Add(-1) >= 0 { // it was done, and nobody hears of it
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				conn.Close()
			}
			return
		}
		w.WriteHeader(reply.StatusCode)
		w.Write(body)
	}))
	defer front.Close()
	client, err := api.New(api.Config{Address: front.URL, Namespace: ns, Retry: api.RetryPolicy{WaitMin: time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	db := client.SQL()
	if _, err := db.Exec(t.Context(), "CREATE TABLE c (n)"); err != nil {
		t.Fatal(err)
	}
	lose.Store(2)
	reply, err := db.Execute(t.Context(), &api.SQLRequest{Statements: []api.SQLStatement{api.Stmt("INSERT INTO c VALUES (1)")}}, nil)
	if err != nil || !reply.Replayed || reply.Results[0].RowsAffected != 1 {
		t.Fatalf("%+v, %v", reply, err)
	}
	var n int
	if err := db.QueryRow(t.Context(), api.Stmt("SELECT count(*) FROM c"), &api.QueryOptions{MinIndex: reply.Meta.Index}, &n); err != nil || n != 1 {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestStatementsWithoutTransactionStandAlone(t *testing.T) {
	db := newSQL(t)
	reply, err := db.Execute(t.Context(), &api.SQLRequest{Statements: []api.SQLStatement{
		api.Stmt("CREATE TABLE t (a UNIQUE)"), api.Stmt("INSERT INTO t VALUES (1)"), api.Stmt("INSERT INTO t VALUES (1)"), api.Stmt("INSERT INTO t VALUES (2)"),
	}}, nil)
	var failed *api.SQLError
	if !errors.As(err, &failed) || failed.Statement != 2 || !strings.HasPrefix(err.Error(), "statement 3: UNIQUE") {
		t.Fatalf("%v", err)
	}
	if len(reply.Results) != 4 || reply.Results[2].Err == nil || reply.Results[3].RowsAffected != 1 {
		t.Errorf("%+v", reply.Results)
	}
	one := int64(1)
	_, err = db.Execute(t.Context(), &api.SQLRequest{
		Guards:     []api.SQLGuard{{SQLStatement: api.Stmt("SELECT a FROM t"), Rows: &one}},
		Statements: []api.SQLStatement{api.Stmt("DELETE FROM t")},
	}, nil)
	if !errors.Is(err, api.ErrConflict) || errors.As(err, &failed) {
		t.Errorf("a guard that does not hold: %v", err)
	}
}

func TestQueryEndsWithItsContext(t *testing.T) {
	db := newSQL(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rows, err := db.Query(ctx, api.Stmt("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err = range rows.All() {
		if n++; n == 1000 {
			cancel()
		}
	}
	if !errors.Is(err, api.ErrCanceled) || n < 1000 {
		t.Errorf("after %d rows: %v", n, err)
	}
	if _, whole := rows.Summary(); whole {
		t.Error("a result that was given up counts as whole")
	}
}

// TestResultThatIsCutShortIsAnError: only the last line says that the rows are all there are.
func TestResultThatIsCutShortIsAnError(t *testing.T) {
	const head = `{"columns":["a"],"types":["integer"]}` + "\n"
	for name, c := range map[string]struct {
		body string
		want error
		rows int
	}{
		"no line at all":         {"", api.ErrUnavailable, 0},
		"no last line":           {head + "[1]\n[2]\n", api.ErrUnavailable, 2},
		"half a row":             {head + "[1]\n[2", api.ErrUnavailable, 1},
		"a row too narrow":       {head + "[1]\n[]\n", api.ErrUnavailable, 1},
		"no row of values":       {head + "[true]\n", api.ErrUnavailable, 0},
		"an error in the middle": {head + "[1]\n" + `{"error":{"kind":"too_large","message":"enough","hint":"ask for less"}}`, api.ErrTooLarge, 1},
		"whole":                  {head + "[1]\n[2]\n" + `{"rows":2,"elapsed_ms":0.5,"index":9}` + "\n", nil, 2},
	} {
		t.Run(name, func(t *testing.T) {
			f := agenttest.NewFront(t, shared.Node())
			f.Reply("POST", "/v1/sql/query", c.body)
			client, err := api.New(api.Config{Address: f.URL, Retry: api.RetryPolicy{Max: -1}})
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			rows, err := client.SQL().Query(t.Context(), api.Stmt("SELECT 1"), nil)
			if err == nil {
				for _, e := range rows.All() {
					if err = e; err == nil {
						n++
					}
				}
			}
			if !errors.Is(err, c.want) || n != c.rows {
				t.Fatalf("%d rows, %v", n, err)
			}
			if s, whole := SummaryOf(rows); whole != (c.want == nil) || whole && (s.Rows != 2 || s.Meta.Index != 9 || s.Elapsed != 500*time.Microsecond) {
				t.Errorf("summary %+v, %v", s, whole)
			}
		})
	}
}

func SummaryOf(rows *api.SQLRows) (api.SQLSummary, bool) {
	if rows == nil {
		return api.SQLSummary{}, false
	}
	return rows.Summary()
}

// TestRepliesOfTheServersAreRead encodes a reply with every field by the servers' own code.
func TestRepliesOfTheServersAreRead(t *testing.T) {
	rep := &structs.SQLReply{Replayed: true, Results: []structs.SQLResult{
		{RowsAffected: 3, LastInsertID: math.MaxInt64},
		{Columns: []string{"a", "b"}, Types: []string{"integer", ""}, Rows: []structs.SQLRow{
			structs.NewSQLRow(structs.IntegerValue(math.MinInt64), structs.RealValue(-1)),
			structs.NewSQLRow(structs.TextValue("\xff"), structs.BlobValue([]byte{1})),
			structs.NewSQLRow(structs.SQLValue{}, structs.RealValue(math.Inf(-1))),
		}},
		{Err: structs.Errorf(structs.KindConflict, "no").WithHint("do")},
	}}
	rep.Index = 42
	body, err := sqljson.AppendReply(nil, rep)
	if err != nil {
		t.Fatal(err)
	}
	f := agenttest.NewFront(t, shared.Node())
	f.Reply("POST", "/v1/sql/execute", string(body))
	client, err := api.New(api.Config{Address: f.URL})
	if err != nil {
		t.Fatal(err)
	}
	reply, err := client.SQL().Execute(t.Context(), &api.SQLRequest{Statements: make([]api.SQLStatement, 3)}, nil)
	var failed *api.SQLError
	if !errors.As(err, &failed) || failed.Statement != 2 || failed.Err.Kind != api.KindConflict || failed.Err.Message != "no" || failed.Err.Hint != "do" {
		t.Errorf("error %v", err)
	}
	if !reply.Replayed || reply.Meta.Index != 42 || reply.Results[0].RowsAffected != 3 || reply.Results[0].LastInsertID != math.MaxInt64 {
		t.Errorf("got %+v", reply)
	}
	want := [][]any{{int64(math.MinInt64), -1.0}, {"\xff", []byte{1}}, {nil, math.Inf(-1)}}
	r := reply.Results[1]
	if !reflect.DeepEqual(r.Columns, []string{"a", "b"}) || !reflect.DeepEqual(r.Types, []string{"integer", ""}) {
		t.Errorf("columns %v %v", r.Columns, r.Types)
	}
	for i := range want {
		if got := r.Rows[i].Values(); !reflect.DeepEqual(got, want[i]) {
			t.Errorf("row %d: %v", i, got)
		}
	}
}

func TestQueryThatWritesIsToldFromWhatIsNotAllowed(t *testing.T) {
	if ours, theirs := api.ErrQueryWrites, structs.ErrQueryWrites; string(ours.Kind) != theirs.Kind.String() || ours.Message != theirs.Message {
		t.Errorf("ours %v, the servers' %v", ours, theirs)
	}
	db := newSQL(t)
	for sql, writes := range map[string]bool{
		"CREATE TABLE t (a)": true, "PRAGMA user_version = 5": true, "DELETE FROM sqlite_sequence": false, "PRAGMA journal_mode = DELETE": false, "ATTACH 'x' AS y": false, "BEGIN": false,
	} {
		_, err := db.Query(t.Context(), api.Stmt(sql), nil)
		if err == nil || errors.Is(err, api.ErrQueryWrites) != writes {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
