package state

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/debros/debros/structs"
)

// Consul row 11: verbs, results and errors.
func TestTxnVerbs(t *testing.T) {
	const setup = 3 // entries before the transaction: session, a, locked
	pair := func(key string) structs.KVPair { return structs.KVPair{Key: key} }
	for _, c := range []struct {
		name    string
		op      structs.TxnKVOp
		results []string // key=value of each
		failure string
	}{
		{"set", structs.TxnKVOp{Verb: structs.KVSet, Pair: structs.KVPair{Key: "n", Value: []byte("v")}}, []string{"n="}, ""},
		{"cas", structs.TxnKVOp{Verb: structs.KVCAS, Pair: structs.KVPair{Key: "n", Value: []byte("v")}}, []string{"n="}, ""},
		{"cas stale", structs.TxnKVOp{Verb: structs.KVCAS, Pair: pair("a")}, nil, `failed to set key "a", index is stale`},
		{"lock", structs.TxnKVOp{Verb: structs.KVLock, Pair: structs.KVPair{Key: "a", Session: "s"}}, []string{"a="}, ""},
		{"lock held", structs.TxnKVOp{Verb: structs.KVLock, Pair: structs.KVPair{Key: "locked", Session: "s2"}}, nil, `failed to lock key "locked", lock is already held`},
		{"lock without session", structs.TxnKVOp{Verb: structs.KVLock, Pair: pair("a")}, nil, "missing session"},
		{"lock by nobody", structs.TxnKVOp{Verb: structs.KVLock, Pair: structs.KVPair{Key: "a", Session: "x"}}, nil, `invalid session "x"`},
		{"unlock", structs.TxnKVOp{Verb: structs.KVUnlock, Pair: structs.KVPair{Key: "locked", Session: "s"}}, []string{"locked="}, ""},
		{"unlock not held", structs.TxnKVOp{Verb: structs.KVUnlock, Pair: structs.KVPair{Key: "a", Session: "s"}}, nil,
			`failed to unlock key "a", lock isn't held, or is held by another session`},
		{"get", structs.TxnKVOp{Verb: structs.KVGet, Pair: pair("a")}, []string{"a=1"}, ""},
		{"get missing", structs.TxnKVOp{Verb: structs.KVGet, Pair: pair("no")}, nil, `key "no" doesn't exist`},
		{"get-or-empty", structs.TxnKVOp{Verb: structs.KVGetOrEmpty, Pair: pair("a")}, []string{"a=1"}, ""},
		{"get-or-empty missing", structs.TxnKVOp{Verb: structs.KVGetOrEmpty, Pair: pair("no")}, []string{"no="}, ""},
		{"get-tree", structs.TxnKVOp{Verb: structs.KVGetTree, Pair: pair("a")}, []string{"a=1"}, ""},
		{"get-tree of nothing", structs.TxnKVOp{Verb: structs.KVGetTree, Pair: pair("no")}, nil, ""},
		{"check-index", structs.TxnKVOp{Verb: structs.KVCheckIndex, Pair: structs.KVPair{Key: "a", ModifyIndex: 12}}, []string{"a="}, ""},
		{"check-index stale", structs.TxnKVOp{Verb: structs.KVCheckIndex, Pair: structs.KVPair{Key: "a", ModifyIndex: 9}}, nil,
			`failed index check for key "a", current modify index 12 != 9`},
		{"check-index missing, index 0", structs.TxnKVOp{Verb: structs.KVCheckIndex, Pair: pair("no")}, nil, `failed to check index, key "no" doesn't exist`},
		{"check-session", structs.TxnKVOp{Verb: structs.KVCheckSession, Pair: structs.KVPair{Key: "locked", Session: "s"}}, []string{"locked="}, ""},
		{"check-session other", structs.TxnKVOp{Verb: structs.KVCheckSession, Pair: structs.KVPair{Key: "locked", Session: "t"}}, nil,
			`failed session check for key "locked", current session "s" != "t"`},
		{"check-session missing", structs.TxnKVOp{Verb: structs.KVCheckSession, Pair: pair("no")}, nil, `failed to check session, key "no" doesn't exist`},
		{"check-not-exists", structs.TxnKVOp{Verb: structs.KVCheckNotExists, Pair: pair("no")}, nil, ""},
		{"check-not-exists, exists", structs.TxnKVOp{Verb: structs.KVCheckNotExists, Pair: pair("a")}, nil, `key "a" exists`},
		{"delete", structs.TxnKVOp{Verb: structs.KVDelete, Pair: pair("a")}, nil, ""},
		{"delete missing", structs.TxnKVOp{Verb: structs.KVDelete, Pair: pair("no")}, nil, ""},
		{"delete-cas", structs.TxnKVOp{Verb: structs.KVDeleteCAS, Pair: structs.KVPair{Key: "a", ModifyIndex: 12}}, nil, ""},
		{"delete-cas stale", structs.TxnKVOp{Verb: structs.KVDeleteCAS, Pair: structs.KVPair{Key: "a", ModifyIndex: 2}}, nil, `failed to delete key "a", index is stale`},
		{"delete-cas missing", structs.TxnKVOp{Verb: structs.KVDeleteCAS, Pair: structs.KVPair{Key: "no", ModifyIndex: 2}}, nil, ""},
		{"delete-tree", structs.TxnKVOp{Verb: structs.KVDeleteTree, Pair: pair("")}, nil, ""},
		{"no key", structs.TxnKVOp{Verb: structs.KVSet}, nil, "Must provide key"},
		{"no key to read", structs.TxnKVOp{Verb: structs.KVGetTree}, nil, "Must provide key"},
		{"unknown verb", structs.TxnKVOp{Verb: "burn", Pair: pair("a")}, nil, `unknown KV verb "burn"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.session(structs.Session{ID: "s"})
			r.set("a", "1")
			r.lock("locked", "s")
			r.index = 10 + setup
			if c.op.Pair.Session == "s2" {
				r.session(structs.Session{ID: "s2"})
			}
			before := tables(t, r.s)
			reply := r.txn(c.op)
			var results []string
			for _, res := range reply.Results {
				results = append(results, fmt.Sprintf("%s=%s", res.KV.Key, res.KV.Value))
			}
			if !reflect.DeepEqual(results, c.results) {
				t.Errorf("results %q, want %q", results, c.results)
			}
			if c.failure == "" {
				if len(reply.Errors) > 0 {
					t.Errorf("failed: %v", reply.Errors)
				}
				return
			}
			if len(reply.Errors) != 1 || reply.Errors[0].What != c.failure {
				t.Errorf("errors %+v, want %q", reply.Errors, c.failure)
			}
			if string(tables(t, r.s)) != string(before) {
				t.Error("a failed transaction changed the tables")
			}
		})
	}
}

func TestTxnReportsEveryFailure(t *testing.T) {
	r := newRig(t)
	ops := txnOps(
		structs.TxnKVOp{Verb: structs.KVSet, Pair: structs.KVPair{Key: "a"}},
		structs.TxnKVOp{Verb: structs.KVGet, Pair: structs.KVPair{Key: "b"}},
		structs.TxnKVOp{},
		structs.TxnKVOp{Verb: structs.KVCheckNotExists, Pair: structs.KVPair{Key: "a"}}, // sees the set before it
	)
	ops[2].KV = nil
	req := &structs.TxnRequest{Ops: ops}
	req.Namespace = ns
	var reply *structs.TxnReply
	reply = r.applyTxn(req)
	want := []structs.TxnError{{OpIndex: 1, What: `key "b" doesn't exist`}, {OpIndex: 2, What: "no operation specified"}, {OpIndex: 3, What: `key "a" exists`}}
	if !reflect.DeepEqual(reply.Errors, want) || reply.Results != nil {
		t.Errorf("got %+v, want errors %+v", reply, want)
	}
	req.Namespace = "no"
	reply = r.applyTxn(req)
	if len(reply.Errors) != 1 {
		t.Errorf("unknown namespace: %+v", reply)
	}
}

func TestTxnResultsHaveTheNewIndex(t *testing.T) {
	r := newRig(t)
	r.set("same", "1")
	at := r.index
	reply := r.txn(
		structs.TxnKVOp{Verb: structs.KVSet, Pair: structs.KVPair{Key: "a", Value: []byte("1")}},
		structs.TxnKVOp{Verb: structs.KVSet, Pair: structs.KVPair{Key: "same", Value: []byte("1")}},
		structs.TxnKVOp{Verb: structs.KVGet, Pair: structs.KVPair{Key: "a"}},
	)
	wantEqual(t, "errors", len(reply.Errors), 0)
	wantEqual(t, "index of a write", reply.Results[0].KV.ModifyIndex, r.index)
	wantEqual(t, "index of an identical write", reply.Results[1].KV.ModifyIndex, at)
	wantEqual(t, "value read", string(reply.Results[2].KV.Value), "1")
	wantEqual(t, "stored value", string(r.get("a").Value), "1") // results are copies
}

// A failing transaction is taken back alone: other commands of its entry stay.
func TestFailedTxnLeavesNoTrace(t *testing.T) {
	build := func(withTxn bool) *Store {
		r := newRig(t)
		r.session(structs.Session{ID: "s"})
		for i := range 20 {
			r.set(fmt.Sprintf("t/%d", i), "v", 1000)
		}
		r.lock("t/locked", "s")
		r.set("gone", "v")
		r.kv(structs.KVDelete, structs.KVPair{Key: "gone"})
		fail := &structs.TxnRequest{Ops: txnOps(
			structs.TxnKVOp{Verb: structs.KVSet, Pair: structs.KVPair{Key: "new", Value: []byte("v")}, TTL: 5},
			structs.TxnKVOp{Verb: structs.KVSet, Pair: structs.KVPair{Key: "first", Value: []byte("changed")}},
			structs.TxnKVOp{Verb: structs.KVSet, Pair: structs.KVPair{Key: "t/1", Value: []byte("changed")}},
			structs.TxnKVOp{Verb: structs.KVUnlock, Pair: structs.KVPair{Key: "t/locked", Session: "s"}},
			structs.TxnKVOp{Verb: structs.KVLock, Pair: structs.KVPair{Key: "t/2", Session: "s"}},
			structs.TxnKVOp{Verb: structs.KVDelete, Pair: structs.KVPair{Key: "t/3"}},
			structs.TxnKVOp{Verb: structs.KVSet, Pair: structs.KVPair{Key: "gone", Value: []byte("again")}},
			structs.TxnKVOp{Verb: structs.KVDelete, Pair: structs.KVPair{Key: "gone"}},
			structs.TxnKVOp{Verb: structs.KVDeleteTree, Pair: structs.KVPair{Key: "t/"}},
			structs.TxnKVOp{Verb: structs.KVSet, Pair: structs.KVPair{Key: "t/1", Value: []byte("again")}},
			structs.TxnKVOp{Verb: structs.KVGet, Pair: structs.KVPair{Key: "no"}},
		)}
		fail.Namespace = ns
		set := func(tx *Txn, key string) {
			req := &structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: key, Value: []byte("kept")}}
			req.Namespace = ns
			if _, err := tx.KV(req); err != nil {
				t.Fatal(err)
			}
		}
		r.entry(func(tx *Txn) {
			if withTxn {
				mustTxn(t, tx, fail) // before anything else touched the tables
			}
		})
		r.entry(func(tx *Txn) {
			set(tx, "first")
			if withTxn && len(mustTxn(t, tx, fail).Errors) != 1 {
				t.Error("the transaction did not fail as meant")
			}
			set(tx, "last")
		})
		return r.s
	}
	if with, without := dump(t, build(true)), dump(t, build(false)); string(with) != string(without) {
		t.Errorf("a failed transaction left something:\n%s\nwithout it:\n%s", with, without)
	}
}

func TestTxnReadRefusesWrites(t *testing.T) {
	r := newRig(t)
	r.set("a", "1")
	before := dump(t, r.s)
	reply := r.s.TxnRead(txnOps(
		structs.TxnKVOp{Verb: structs.KVGet, Pair: structs.KVPair{Key: "a"}},
		structs.TxnKVOp{Verb: structs.KVGetTree, Pair: structs.KVPair{Key: "a"}},
	), ns)
	wantEqual(t, "results", len(reply.Results), 2)
	wantEqual(t, "index", reply.Index, r.index)
	reply = r.s.TxnRead(txnOps(
		structs.TxnKVOp{Verb: structs.KVDelete, Pair: structs.KVPair{Key: "a"}},
		structs.TxnKVOp{Verb: "burn", Pair: structs.KVPair{Key: "a"}},
	), ns)
	wantEqual(t, "errors", len(reply.Errors), 2)
	if string(dump(t, r.s)) != string(before) {
		t.Error("a transaction of reads changed the store")
	}
}
