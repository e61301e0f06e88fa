package api_test

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"

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
