package state

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/debros/debros/structs"
)

// once is a transaction of a request id; its digest is its operations' own.
func once(id string, ops ...structs.TxnOp) *structs.TxnRequest {
	req := txnRequest(ops...)
	req.RequestID, req.Digest = id, []byte(fmt.Sprintf("%d", len(ops)))
	return req
}

// tryTxn is applyTxn with what was refused.
func (r *rig) tryTxn(req *structs.TxnRequest) (reply *structs.TxnReply, refusal *structs.Error) {
	r.t.Helper()
	r.entry(func(tx *Txn) {
		var err error
		if reply, refusal, err = tx.Txn(req); err != nil {
			r.t.Fatal(err)
		}
	})
	return reply, refusal
}

// firstValue is the first value of the first row that a statement returned.
func firstValue(t *testing.T, r structs.SQLResult) int64 {
	t.Helper()
	values, err := r.Rows[0].Values()
	if err != nil {
		t.Fatal(err)
	}
	return values[0].Integer()
}

func TestARepeatedTransactionIsDoneOnce(t *testing.T) {
	r := mixedRig(t)
	req := once("one", kvOp(structs.KVSet, "k", "v"), kvOp(structs.KVGet, "have", ""),
		sqlOp("b", "insert into t values(7) returning a", "update t set a = a + 100"), sqlOp("", "insert into t values(8)"))
	first := r.applyTxn(req)
	if len(first.Errors) != 0 || first.Replayed {
		t.Fatalf("%+v", first)
	}
	r.set("k", "other")
	before := everything(t, r.s)
	for range 2 {
		again := r.applyTxn(req)
		if !again.Replayed || again.Index != first.Index || len(again.Errors) != 0 || len(again.Results) != 4 {
			t.Fatalf("%+v", again)
		}
		if kv := again.Results[1].KV; kv == nil || string(kv.Value) != "old" {
			t.Errorf("what it read: %+v", kv)
		}
		b := again.Results[2].SQL.Results
		if len(b) != 2 || len(b[0].Rows) != 1 || firstValue(t, b[0]) != 7 || b[1].RowsAffected != 2 {
			t.Errorf("what b gave: %+v", b)
		}
		if d := again.Results[3].SQL.Results; len(d) != 1 || d[0].LastInsertID != 8 {
			t.Errorf("what the default one gave: %+v", d)
		}
	}
	if after := everything(t, r.s); after != before {
		t.Errorf("it did something:\n%s\nbefore:\n%s", after, before)
	}
	if _, refusal := r.tryTxn(once("one", kvOp(structs.KVSet, "k", "w"))); refusal == nil || refusal.Kind != structs.KindInvalid {
		t.Errorf("another transaction of the same id: %v", refusal)
	}
	other := once("one", kvOp(structs.KVSet, "k", "w"))
	other.Namespace = "other"
	r.namespace(structs.NamespaceCreate, "other")
	if reply := r.applyTxn(other); reply.Replayed || len(reply.Errors) != 0 {
		t.Errorf("the same id in another namespace: %+v", reply)
	}
}

func TestAFailedTransactionIsTriedAgain(t *testing.T) {
	r := mixedRig(t)
	req := once("one", sqlOp("", "insert into t values(5)"), kvOp(structs.KVCheckNotExists, "have", ""))
	for range 2 {
		if reply := r.applyTxn(req); len(reply.Errors) != 1 || reply.Replayed {
			t.Fatalf("%+v", reply)
		}
	}
	r.kv(structs.KVDelete, structs.KVPair{Key: "have"})
	for n := range 2 {
		if reply := r.applyTxn(req); len(reply.Errors) != 0 || reply.Replayed != (n == 1) {
			t.Fatalf("%+v", reply)
		}
	}
	if got := read(t, r.s, "", "select count(*) from t"); got != "2\n" {
		t.Error(got)
	}
}

func TestSeveralTransactionsOfAnEntryKeepTheirReplies(t *testing.T) {
	r := mixedRig(t)
	a, b := once("a", sqlOp("", "insert into t values(50) returning a")), once("b", sqlOp("", "insert into t values(60) returning a"))
	r.entry(func(tx *Txn) {
		mustTxn(t, tx, a)
		mustTxn(t, tx, b)
		if reply := mustTxn(t, tx, a); !reply.Replayed {
			t.Errorf("in the same entry: %+v", reply)
		}
	})
	for req, want := range map[*structs.TxnRequest]int64{a: 50, b: 60} {
		reply := r.applyTxn(req)
		if !reply.Replayed || firstValue(t, reply.Results[0].SQL.Results[0]) != want {
			t.Errorf("%s: %+v", req.RequestID, reply)
		}
	}
}

func TestRepliesOfTransactionsAreForgotten(t *testing.T) {
	r := mixedRig(t)
	rows := func() (n int) {
		for range scan[structs.StoredTxn](nil, r.s.view(nil).tx, tableTxnReplies, indexID, nil) {
			n++
		}
		return n
	}
	req := once("old", kvOp(structs.KVSet, "k", "v"), sqlOp("b", "select 1"))
	r.applyTxn(req)
	r.applyTxn(once("older", kvOp(structs.KVSet, "k", "v")))
	if refusal := r.database(structs.SQLDatabaseDrop, structs.SQLDatabase{Name: "b"}); refusal != nil {
		t.Fatal(refusal)
	}
	if _, refusal := r.tryTxn(req); refusal == nil || refusal.Kind != structs.KindGone || !strings.Contains(refusal.Message, "was done") {
		t.Errorf("its database is dropped: %v", refusal)
	}
	r.now = r.now.Add(txnRepliesAge)
	if reply := r.applyTxn(once("older", kvOp(structs.KVSet, "k", "v"))); reply.Replayed {
		t.Error("after a day")
	}
	if n := rows(); n != 1 {
		t.Errorf("%d rows are left of those of the day before", n)
	}
	big := kvOp(structs.KVGet, "big", "")
	r.set("big", strings.Repeat("x", 300_000))
	for i := range 200 {
		r.applyTxn(once(fmt.Sprint("big", i), big, kvOp(structs.KVSet, "k", "v")))
	}
	if n := rows(); n < 100 || n > txnRepliesBytesMax/300_000+1 {
		t.Errorf("%d rows of 300,000 bytes are kept", n)
	}
	other := once("x", kvOp(structs.KVSet, "k", "v"))
	other.Namespace = "other"
	r.namespace(structs.NamespaceCreate, "other")
	r.applyTxn(other)
	before := rows()
	r.namespace(structs.NamespaceDelete, "other")
	if n := rows(); n != before-1 {
		t.Errorf("%d rows, %d before the namespace was deleted", n, before)
	}
}

// After a crash the entries come again to databases that have them: what was a repetition must be one again.
func TestRepetitionsAreTheSameAfterACrash(t *testing.T) {
	log := []*structs.TxnRequest{
		once("one", kvOp(structs.KVSet, "n", "1"), sqlOp("", "create table if not exists t(a)", "insert into t values(1) returning a")),
		once("two", kvOp(structs.KVSet, "n", "2"), sqlOp("", "insert into t values(2) returning a")),
		once("one", kvOp(structs.KVSet, "n", "1"), sqlOp("", "create table if not exists t(a)", "insert into t values(1) returning a")),
		once("three", sqlOp("", "insert into t values(3)"), kvOp(structs.KVCheckNotExists, "n", "")),
		once("two", kvOp(structs.KVSet, "n", "2"), sqlOp("", "insert into t values(2) returning a")),
	}
	r := openLeftBehind(t, filepath.Join(t.TempDir(), "sql"), "boot 1")
	for _, req := range log {
		r.applyTxn(req)
	}
	want := everything(t, r.s)
	again := openLeftBehind(t, crashed(t, r.s), "boot 1")
	for i, req := range log {
		if reply := again.applyTxn(req); reply.Replayed != (i == 2 || i == 4) {
			t.Errorf("entry %d: %+v", i, reply)
		}
	}
	if got := everything(t, again.s); got != want {
		t.Fatalf("after the crash\n%s\nbefore\n%s", got, want)
	}
	for i, a := range []int64{1, 2} {
		reply := again.applyTxn(log[i])
		results := reply.Results[1].SQL.Results
		if !reply.Replayed || firstValue(t, results[len(results)-1]) != a {
			t.Errorf("%s: %+v", log[i].RequestID, reply)
		}
	}
}
