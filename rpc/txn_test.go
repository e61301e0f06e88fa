package rpc

import (
	"context"
	"strings"
	"testing"

	"github.com/debros/debros/internal/acl"
	"github.com/debros/debros/structs"
)

func txnOp(verb structs.KVOp, key, value string) structs.TxnOp {
	return structs.TxnOp{KV: &structs.TxnKVOp{Verb: verb, Pair: structs.KVPair{Key: key, Value: []byte(value)}}}
}

func TestTxnAppliesAllOrNothing(t *testing.T) {
	b := newTestBackend(t)
	ok := mustAsk[structs.TxnReply](t, b, "Txn.Apply", &structs.TxnRequest{Ops: []structs.TxnOp{
		txnOp(structs.KVSet, "a", "1"), txnOp(structs.KVSet, "b", "2"), txnOp(structs.KVGetTree, "a", ""),
	}})
	if len(ok.Errors) != 0 || len(ok.Results) != 3 || ok.Index == 0 {
		t.Fatalf("got %+v", ok)
	}
	failed := mustAsk[structs.TxnReply](t, b, "Txn.Apply", &structs.TxnRequest{Ops: []structs.TxnOp{
		txnOp(structs.KVSet, "c", "3"), txnOp(structs.KVCheckNotExists, "a", ""), txnOp(structs.KVGet, "missing", ""),
	}})
	if len(failed.Errors) != 2 || len(failed.Results) != 0 || failed.Errors[0].OpIndex != 1 || failed.Errors[1].OpIndex != 2 {
		t.Errorf("got %+v, want operations 1 and 2 to have failed", failed)
	}
	if mustAsk[structs.KVGetReply](t, b, "KV.Get", &structs.KeyRequest{Key: "c"}).Entry != nil {
		t.Error("a failed transaction wrote")
	}
}

// TestBadOperationsAreReportedTogether: as the store reports conditions, and before the log.
func TestBadOperationsAreReportedTogether(t *testing.T) {
	b := newTestBackend(t)
	b.applied = nil
	rep := mustAsk[structs.TxnReply](t, b, "Txn.Apply", &structs.TxnRequest{Ops: []structs.TxnOp{
		txnOp(structs.KVSet, "good", "1"),
		{},
		txnOp("conquer", "a", ""),
		txnOp(structs.KVSet, "", ""),
		txnOp(structs.KVGet, "a\x00", ""),
		txnOp(structs.KVCheckSession, "a", ""),
		{KV: &structs.TxnKVOp{Verb: structs.KVGet, Pair: structs.KVPair{Key: "a"}, TTL: 1}},
		txnOp(structs.KVDeleteTree, "", ""),
	}})
	var at []int
	for _, e := range rep.Errors {
		at = append(at, e.OpIndex)
		if e.What == "" {
			t.Errorf("operation %d failed without a reason", e.OpIndex)
		}
	}
	if len(at) != 6 || at[0] != 1 || at[5] != 6 || rep.Index == 0 {
		t.Errorf("operations %v failed, want 1 to 6 (index %d)", at, rep.Index)
	}
	if len(b.applied) != 0 {
		t.Error("it was proposed all the same")
	}
}

func TestTxnIsBounded(t *testing.T) {
	b := newTestBackend(t)
	many := make([]structs.TxnOp, TxnOpsMaxDefault+1)
	for i := range many {
		many[i] = txnOp(structs.KVGet, "a", "")
	}
	for name, c := range map[string]struct {
		ops  []structs.TxnOp
		want structs.Kind
	}{
		"too many":       {many, structs.KindTooLarge},
		"value too long": {[]structs.TxnOp{txnOp(structs.KVSet, "a", strings.Repeat("v", structs.ValueBytesMaxDefault+1))}, structs.KindTooLarge},
		"key too long":   {[]structs.TxnOp{txnOp(structs.KVGet, strings.Repeat("k", structs.KeyBytesMax+1), "")}, structs.KindTooLarge},
		"too many bytes": {[]structs.TxnOp{
			txnOp(structs.KVSet, "a", strings.Repeat("v", structs.ValueBytesMaxDefault)), txnOp(structs.KVSet, "b", strings.Repeat("v", structs.ValueBytesMaxDefault)),
		}, structs.KindTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ask[structs.TxnReply](context.Background(), b, "Txn.Apply", &structs.TxnRequest{Ops: c.ops})
			wantKind(t, err, c.want)
			if (name == "value too long" || name == "too many bytes") && !strings.Contains(err.Error(), "too large") {
				t.Errorf("%v: Terraform splits its state on the words too large", err)
			}
			_, err = ask[structs.TxnReply](context.Background(), b, "Txn.Read", &structs.TxnReadRequest{Ops: c.ops})
			wantKind(t, err, c.want)
		})
	}
	mustAsk[structs.TxnReply](t, b, "Txn.Read", &structs.TxnReadRequest{Ops: many[1:]})
	mustAsk[structs.TxnReply](t, b, "Txn.Read", &structs.TxnReadRequest{})
	_, err := ask[structs.TxnReply](context.Background(), b, "Txn.Apply", &structs.TxnRequest{})
	wantKind(t, err, structs.KindInvalid)
}

func TestTxnReadWritesNothing(t *testing.T) {
	b := newTestBackend(t)
	b.set(t, "a", "1")
	b.applied = nil
	for _, verb := range []structs.KVOp{
		structs.KVSet, structs.KVCAS, structs.KVDelete, structs.KVDeleteCAS, structs.KVDeleteTree,
	} {
		_, err := ask[structs.TxnReply](context.Background(), b, "Txn.Read", &structs.TxnReadRequest{Ops: []structs.TxnOp{txnOp(verb, "a", "")}})
		wantKind(t, err, structs.KindInvalid)
	}
	rep := mustAsk[structs.TxnReply](t, b, "Txn.Read", &structs.TxnReadRequest{Ops: []structs.TxnOp{
		txnOp(structs.KVGet, "a", ""), txnOp(structs.KVGetOrEmpty, "missing", ""), txnOp(structs.KVCheckNotExists, "missing", ""),
	}})
	if len(rep.Errors) != 0 || len(rep.Results) != 2 || string(rep.Results[0].KV.Value) != "1" {
		t.Errorf("got %+v", rep)
	}
	if len(b.applied) != 0 {
		t.Errorf("commands %v were proposed", b.applied)
	}
}

func TestTxnTreesHideWhatMayNotBeRead(t *testing.T) {
	b := newTestBackend(t)
	b.set(t, "a", "1")
	b.set(t, "b-secret", "2")
	b.may = secretive{acl.AllowAll()}
	rep := mustAsk[structs.TxnReply](t, b, "Txn.Apply", &structs.TxnRequest{Ops: []structs.TxnOp{
		txnOp(structs.KVSet, "c-secret", "3"), txnOp(structs.KVDeleteTree, "nothing", ""), {KV: &structs.TxnKVOp{Verb: structs.KVGetTree, Pair: structs.KVPair{Key: "b"}}},
	}})
	if len(rep.Errors) != 0 || len(rep.Results) != 1 || rep.Results[0].KV.Key != "c-secret" {
		t.Errorf("got %+v, want the receipt of the write alone", rep)
	}
	_, err := ask[structs.TxnReply](context.Background(), b, "Txn.Apply", &structs.TxnRequest{Ops: []structs.TxnOp{txnOp(structs.KVGet, "b-secret", "")}})
	wantKind(t, err, structs.KindDenied)
}

// FuzzTxn hands foreign bytes to the decoder and what it makes of them to the endpoint.
func FuzzTxn(f *testing.F) {
	for _, req := range []structs.TxnRequest{
		{},
		{Ops: []structs.TxnOp{{}, txnOp(structs.KVSet, "a", "1"), txnOp(structs.KVGetTree, "a", "")}},
		{WriteOptions: structs.WriteOptions{Namespace: "default", Token: "t"}, Ops: []structs.TxnOp{txnOp(structs.KVLock, "a", ""), txnOp(structs.KVDeleteTree, "", "")}},
		{Ops: []structs.TxnOp{{SQL: &structs.TxnSQLOp{Database: "default", Statements: []structs.SQLStatement{statement("select ?", structs.IntegerValue(1))}}}, txnOp(structs.KVSet, "a", "1")}},
		{Ops: []structs.TxnOp{txnOp(structs.KVCheckIndex, "a", ""), txnOp("conquer", "\x00", ""), {KV: &structs.TxnKVOp{Verb: structs.KVSet, Pair: structs.KVPair{Key: "a"}, TTL: -1}}}},
	} {
		raw, err := structs.Encode(&req)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	b := newTestBackend(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var req structs.TxnRequest
		if structs.Decode(raw, &req) != nil {
			return
		}
		ops := len(req.Ops)
		before := b.State().Index()
		rep, err := ask[structs.TxnReply](context.Background(), b, "Txn.Apply", &req)
		if err != nil {
			if structs.KindOf(err) == structs.KindInternal {
				t.Fatalf("an internal error for foreign bytes: %v", err)
			}
			if b.State().Index() != before {
				t.Fatal("a refused transaction reached the log")
			}
			return
		}
		if len(rep.Errors) > 0 && len(rep.Results) > 0 {
			t.Fatalf("both results and errors: %+v", rep)
		}
		for _, e := range rep.Errors {
			if e.OpIndex < 0 || e.OpIndex >= ops {
				t.Fatalf("error of operation %d of %d", e.OpIndex, ops)
			}
		}
	})
}
