package rpc

import (
	"context"
	"strings"
	"testing"

	"github.com/debros/debros/internal/acl"
	"github.com/debros/debros/structs"
)

func sqlTxnOp(statements ...structs.SQLStatement) structs.TxnOp {
	return structs.TxnOp{SQL: &structs.TxnSQLOp{Statements: statements}}
}

// one is the only value of a query's only row.
func one(t *testing.T, b *testBackend, sql string) int64 {
	t.Helper()
	_, rows, done, _, err := query(t.Context(), b, &structs.SQLQueryRequest{SQLStatement: statement(sql)})
	if err != nil || done.Err != nil || len(rows) != 1 {
		t.Fatal(rows, done, err)
	}
	v, _, err := rows[0].Next()
	if err != nil {
		t.Fatal(err)
	}
	return v.Integer()
}

func TestTxnMixesKVAndSQL(t *testing.T) {
	b := newTestBackend(t)
	b.sql(t, "create table t(a integer primary key)")
	ok := mustAsk[structs.TxnReply](t, b, "Txn.Apply", &structs.TxnRequest{Ops: []structs.TxnOp{
		sqlTxnOp(statement("insert into t values(?) returning a", structs.IntegerValue(7)), statement("select count(*) from t")),
		txnOp(structs.KVSet, "k", "v"),
	}})
	if len(ok.Errors) != 0 || len(ok.Results) != 2 || len(ok.Results[0].SQL.Results) != 2 || ok.Results[1].KV.Key != "k" || ok.Index == 0 {
		t.Fatalf("%+v", ok)
	}
	failed := mustAsk[structs.TxnReply](t, b, "Txn.Apply", &structs.TxnRequest{Ops: []structs.TxnOp{
		txnOp(structs.KVSet, "k", "w"), sqlTxnOp(statement("insert into t values(8)")), sqlTxnOp(statement("insert into t values(7)")),
	}})
	if len(failed.Errors) != 1 || failed.Errors[0].OpIndex != 2 || !strings.Contains(failed.Errors[0].What, "UNIQUE") || failed.Results != nil {
		t.Fatalf("%+v", failed)
	}
	if n := one(t, b, "select count(*) from t"); n != 1 {
		t.Errorf("%d rows after a failed transaction", n)
	}
	if e := mustAsk[structs.KVGetReply](t, b, "KV.Get", &structs.KeyRequest{Key: "k"}).Entry; string(e.Value) != "v" {
		t.Errorf("the key is %q after a failed transaction", e.Value)
	}
}

// The bounds of one SQL request are those of a whole transaction: its operations share them.
func TestSQLOfATxnSharesTheBoundsOfARequest(t *testing.T) {
	b := newTestBackend(t)
	spy := &spyBackend{testBackend: b}
	if _, err := ask[structs.TxnReply](t.Context(), spy, "Txn.Apply", &structs.TxnRequest{Ops: []structs.TxnOp{
		{SQL: &structs.TxnSQLOp{Statements: []structs.SQLStatement{statement("select 1")}, WorkMax: 1 << 60, RowsMax: 1 << 30, BytesMax: 1 << 40}},
		txnOp(structs.KVSet, "k", "v"), sqlTxnOp(statement("select 2")),
	}}); err != nil {
		t.Fatal(err)
	}
	var proposed structs.TxnRequest
	if len(spy.bodies) != 1 {
		t.Fatalf("%d commands", len(spy.bodies))
	}
	if err := structs.Decode([]byte(spy.bodies[0]), &proposed); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 2} {
		op := proposed.Ops[i].SQL
		if op.WorkMax != structs.SQLWorkMax/2 || op.RowsMax != sqlRowsMax/2 || op.BytesMax != sqlRowBytesMax/2 || op.Database != structs.DefaultDatabase {
			t.Errorf("operation %d is proposed as %+v", i, op)
		}
	}
}

func TestBadSQLOfATxnIsNotProposed(t *testing.T) {
	b := newTestBackend(t)
	half := statement("select 1 /* " + strings.Repeat("x", SQLBytesMaxDefault/2) + " */")
	many := make([]structs.SQLStatement, sqlStatementsMax/2+1)
	for name, c := range map[string]struct {
		ops  []structs.TxnOp
		want structs.Kind
		text string
	}{
		"nothing to do":     {[]structs.TxnOp{sqlTxnOp()}, structs.KindInvalid, "operation 0"},
		"bad database":      {[]structs.TxnOp{{SQL: &structs.TxnSQLOp{Database: "../x", Statements: many[:1]}}}, structs.KindInvalid, "database name"},
		"bad arguments":     {[]structs.TxnOp{txnOp(structs.KVGet, "a", ""), sqlTxnOp(structs.SQLStatement{SQL: "select ?", Args: []byte{99}})}, structs.KindInvalid, "statement 1 of operation 1"},
		"too many bytes":    {[]structs.TxnOp{sqlTxnOp(half), sqlTxnOp(half)}, structs.KindTooLarge, "sql_bytes_max"},
		"too many together": {[]structs.TxnOp{sqlTxnOp(many...), sqlTxnOp(many...)}, structs.KindTooLarge, "statements"},
	} {
		t.Run(name, func(t *testing.T) {
			b.applied = nil
			_, err := ask[structs.TxnReply](context.Background(), b, "Txn.Apply", &structs.TxnRequest{Ops: c.ops})
			wantKind(t, err, c.want)
			if err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v, want %q in it", err, c.text)
			}
			if len(b.applied) != 0 {
				t.Error("it was proposed")
			}
		})
	}
	rep := mustAsk[structs.TxnReply](t, b, "Txn.Apply", &structs.TxnRequest{Ops: []structs.TxnOp{
		{KV: txnOp(structs.KVSet, "a", "").KV, SQL: sqlTxnOp(statement("select 1")).SQL},
	}})
	if len(rep.Errors) != 1 || len(b.applied) != 0 {
		t.Errorf("an operation of both: %+v", rep)
	}
}

func TestTxnReadHasNoSQL(t *testing.T) {
	b := newTestBackend(t)
	_, err := ask[structs.TxnReply](context.Background(), b, "Txn.Read", &structs.TxnReadRequest{Ops: []structs.TxnOp{txnOp(structs.KVGet, "a", ""), sqlTxnOp(statement("select 1"))}})
	wantKind(t, err, structs.KindInvalid)
	if err == nil || !strings.Contains(err.Error(), "operation 1 is SQL") {
		t.Errorf("%v", err)
	}
}

// noSQL may do everything but write to databases.
type noSQL struct{ acl.Authorizer }

func (noSQL) SQLWrite(structs.Namespace, string) bool { return false }

func TestSQLOfATxnNeedsThePermissionToWrite(t *testing.T) {
	b := newTestBackend(t)
	b.may = noSQL{acl.AllowAll()}
	b.applied = nil
	_, err := ask[structs.TxnReply](context.Background(), b, "Txn.Apply", &structs.TxnRequest{Ops: []structs.TxnOp{txnOp(structs.KVSet, "a", "1"), sqlTxnOp(statement("select 1"))}})
	wantKind(t, err, structs.KindDenied)
	if len(b.applied) != 0 {
		t.Error("it was proposed")
	}
}
