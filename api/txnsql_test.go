package api_test

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/api"
)

// TestTxnOfKeysAndDatabases sends what a file of operations says to a real agent.
func TestTxnOfKeysAndDatabases(t *testing.T) {
	client, err := api.New(api.Config{Address: shared.Node().API.Address(), Namespace: shared.Namespace()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, _, err := client.SQL().CreateDatabase(t.Context(), &api.SQLDatabase{Name: "other"}, nil); err != nil {
		t.Fatal(err)
	}
	var ops []api.TxnOp
	if err := json.Unmarshal([]byte(`[
		{"SQL":{"Statements":["create table t(a integer primary key, b)",{"SQL":"insert into t values(:n, :v) returning *","Args":{"n":9007199254740993,"v":{"blob":"AP8="}}}]}},
		{"KV":{"Verb":"set","Key":"k","Value":"dg=="}},
		{"SQL":{"database":"other","statements":[{"sql":"create table u(a)"},{"sql":"insert into u values(?),(?),(?),(?)","args":[1,2.0,true,null]},"select * from u"],"guards":[{"sql":"select 1 where ?","args":[false],"rows":0}]}}]`), &ops); err != nil {
		t.Fatal(err)
	}
	ok, reply, err := client.Txn(t.Context(), ops, nil)
	if err != nil || !ok || len(reply.Results) != 3 || reply.Meta.Index == 0 {
		t.Fatalf("%v %+v %v", ok, reply, err)
	}
	if got := reply.Results[0].SQL.Results[1]; len(got.Rows) != 1 || !reflect.DeepEqual(got.Rows[0].Values(), []any{int64(9007199254740993), []byte{0, 255}}) {
		t.Errorf("%+v", got)
	}
	var column []any
	for _, row := range reply.Results[2].SQL.Results[2].Rows {
		column = append(column, row.Values()...)
	}
	if !reflect.DeepEqual(column, []any{int64(1), 2.0, int64(1), nil}) {
		t.Errorf("%#v", column)
	}

	// The reply is JSON again, in the agent's form.
	again, err := json.Marshal(reply)
	if err != nil || !strings.Contains(string(again), `{"SQL":{"Results":[{},{"rows_affected":4,"last_insert_id":4},{"columns":["a"],"types":[""],"rows":[[1],[2.0],[1],[null]]}]}}`) {
		t.Errorf("%s, %v", again, err)
	}

	ok, reply, err = client.Txn(t.Context(), []api.TxnOp{
		client.SQL().Database("other").Op(api.Stmt("delete from u")),
		{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "k", Value: []byte("no")}},
		client.SQL().Op(api.Stmt("insert into t values(?, ?)", 1, math.Inf(-1)), api.Stmt("insert into t values(1, 2)")),
	}, nil)
	if err != nil || ok || len(reply.Errors) != 1 || reply.Errors[0].OpIndex != 2 || !strings.HasPrefix(reply.Errors[0].What, "statement 2: UNIQUE") {
		t.Fatalf("%v %+v %v", ok, reply, err)
	}
	var n int
	if err := client.SQL().Database("other").QueryRow(t.Context(), api.Stmt("select count(*) from u"), nil, &n); err != nil || n != 4 {
		t.Errorf("%d rows, %v: the transaction that failed has deleted some", n, err)
	}
	if pair, _, err := client.KV().Get(t.Context(), "k", nil); err != nil || string(pair.Value) != "v" {
		t.Errorf("%+v, %v", pair, err)
	}
}

func TestTxnOpIsReadAsItIsWritten(t *testing.T) {
	rows := int64(3)
	op := api.TxnOp{SQL: &api.SQLTxnOp{
		Database:   "d",
		Statements: []api.SQLStatement{api.Stmt("a", int64(1), 1.0, "x", "\xff", []byte("\x00"), nil, math.Inf(1)), api.Stmt("b", api.Named("n", int64(2))), api.Stmt("c")},
		Guards:     []api.SQLGuard{{SQLStatement: api.Stmt("g", "<&>"), Rows: &rows, First: []any{int64(5), nil}, Digest: []byte{1, 255}}},
	}}
	text, err := json.Marshal(op)
	if err != nil {
		t.Fatal(err)
	}
	var back api.TxnOp
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, op) {
		t.Errorf("%+v came back as %+v of %s", op.SQL, back.SQL, text)
	}
	for _, bad := range []string{
		`{"SQL":{"Statemens":["x"]}}`, `{"SQL":{"Statements":[{"SQL":"x","Arg":[1]}]}}`, `{"SQL":{"Statements":[5]}}`, `{"SQL":{"Statements":[{"SQL":"x","Args":[[]]}]}}`,
		`{"SQL":{"Statements":[{"SQL":"x","Args":[{"blob":"*"}]}]}}`, `{"SQL":{"Statements":[{"SQL":"x","Args":"y"}]}}`, `{"SQL":{"Guards":[{"SQL":"x","Rows":"1"}]}}`, `{"SQL":{"Statements":[{"SQL":"x","Args":{"n":{}}}]}}`,
	} {
		if err := json.Unmarshal([]byte(bad), &back); err == nil {
			t.Errorf("%s was read as %+v", bad, back.SQL)
		}
	}
	if _, _, err := (&api.Client{}).Txn(t.Context(), []api.TxnOp{{SQL: &api.SQLTxnOp{Statements: []api.SQLStatement{api.Stmt("x", math.NaN())}}}}, nil); err == nil {
		t.Error("NaN was sent")
	}
}

// An answer that is lost is asked for again, and what it was about is done once.
func TestATxnWhoseAnswerIsLostIsDoneOnce(t *testing.T) {
	agent, ns := shared.Node().API.Address(), shared.Namespace()
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("request_id"))
		out, err := http.NewRequestWithContext(r.Context(), r.Method, agent+r.URL.RequestURI(), r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		res, err := http.DefaultClient.Do(out)
		if err != nil {
			t.Error(err)
			return
		}
		defer res.Body.Close()
		if len(asked) < 3 {
			if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
				conn.Close()
			}
			return
		}
		w.Header().Set("X-Consul-Index", res.Header.Get("X-Consul-Index"))
		w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(w, res.Body)
	}))
	defer server.Close()
	client, err := api.New(api.Config{Address: server.URL, Namespace: ns, Retry: api.RetryPolicy{WaitMin: time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	direct, err := api.New(api.Config{Address: agent, Namespace: ns})
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	if _, err := direct.SQL().Exec(t.Context(), "create table once(a)"); err != nil {
		t.Fatal(err)
	}
	ops := []api.TxnOp{
		direct.SQL().Op(api.Stmt("insert into once values(7) returning a")),
		{KV: &api.KVTxnOp{Verb: api.KVCheckNotExists, Key: "once"}},
		{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "once", Value: []byte("1")}},
	}
	ok, reply, err := client.Txn(t.Context(), ops, nil)
	if err != nil || !ok || !reply.Replayed || len(reply.Results[0].SQL.Results[0].Rows) != 1 {
		t.Fatalf("%v %+v %v", ok, reply, err)
	}
	if len(asked) != 3 || asked[0] == "" || asked[1] != asked[0] || asked[2] != asked[0] {
		t.Errorf("asked as %q", asked)
	}
	var n int
	if err := direct.SQL().QueryRow(t.Context(), api.Stmt("select count(*) from once"), nil, &n); err != nil || n != 1 {
		t.Errorf("%d rows, %v", n, err)
	}
	if ok, reply, err = direct.Txn(t.Context(), ops, nil); err != nil || ok || reply.Replayed {
		t.Errorf("another transaction of the same operations: %v %+v %v", ok, reply, err)
	}
	for n := range 2 {
		ok, reply, err := direct.Txn(t.Context(), ops[:1], &api.WriteOptions{RequestID: "mine"})
		if err != nil || !ok || reply.Replayed != (n == 1) {
			t.Errorf("by an id of the caller's: %v %+v %v", ok, reply, err)
		}
	}
	if _, _, err := direct.Txn(t.Context(), ops[2:], &api.WriteOptions{RequestID: "mine"}); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("another transaction by that id: %v", err)
	}
}
