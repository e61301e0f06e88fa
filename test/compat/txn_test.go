package compat

import (
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
)

func txn(t *testing.T, client *api.Client, ops ...*api.KVTxnOp) (bool, *api.TxnResponse) {
	t.Helper()
	all := api.TxnOps{}
	for _, op := range ops {
		all = append(all, &api.TxnOp{KV: op})
	}
	ok, rep, meta, err := client.Txn().Txn(all, nil)
	must(t, err)
	if meta.LastIndex == 0 && ok {
		t.Error("no index")
	}
	return ok, rep
}

func TestTxnEveryVerb(t *testing.T) {
	client, p := sharedClient(t)
	session := newSession(t, client, nil)
	index := put(t, client.KV(), p+"old", "old").ModifyIndex
	put(t, client.KV(), p+"gone", "x")
	put(t, client.KV(), p+"tree/1", "x")
	put(t, client.KV(), p+"tree/2", "x")
	casIndex := put(t, client.KV(), p+"cas", "x").ModifyIndex
	deleteIndex := put(t, client.KV(), p+"delete-cas", "x").ModifyIndex

	ok, rep := txn(t, client,
		&api.KVTxnOp{Verb: api.KVSet, Key: p + "set", Value: []byte{0, 255}, Flags: 9},
		&api.KVTxnOp{Verb: api.KVGet, Key: p + "set"}, // sees what the one before did
		&api.KVTxnOp{Verb: api.KVCAS, Key: p + "cas", Value: []byte("y"), Index: casIndex},
		&api.KVTxnOp{Verb: api.KVLock, Key: p + "lock", Value: []byte("held"), Session: session},
		&api.KVTxnOp{Verb: api.KVCheckSession, Key: p + "lock", Session: session},
		&api.KVTxnOp{Verb: api.KVUnlock, Key: p + "lock", Session: session},
		&api.KVTxnOp{Verb: api.KVGetTree, Key: p + "tree/"},
		&api.KVTxnOp{Verb: api.KVGetOrEmpty, Key: p + "missing"},
		&api.KVTxnOp{Verb: api.KVCheckIndex, Key: p + "old", Index: index},
		&api.KVTxnOp{Verb: api.KVCheckNotExists, Key: p + "missing"},
		&api.KVTxnOp{Verb: api.KVDelete, Key: p + "gone"},
		&api.KVTxnOp{Verb: api.KVDeleteTree, Key: p + "tree/"},
		&api.KVTxnOp{Verb: api.KVDeleteCAS, Key: p + "delete-cas", Index: deleteIndex},
	)
	if !ok || len(rep.Errors) > 0 {
		t.Fatalf("failed: %+v", rep.Errors)
	}
	// Row 11: writes give their pair without the value; deletes and check-not-exists give nothing.
	want := []struct{ key, value string }{
		{"set", ""}, {"set", "\x00\xff"}, {"cas", ""}, {"lock", ""}, {"lock", ""}, {"lock", ""},
		{"tree/1", "x"}, {"tree/2", "x"}, {"missing", ""}, {"old", ""},
	}
	if len(rep.Results) != len(want) {
		t.Fatalf("%d results, want %d", len(rep.Results), len(want))
	}
	for i, w := range want {
		if kv := rep.Results[i].KV; kv == nil || kv.Key != p+w.key || string(kv.Value) != w.value {
			t.Errorf("result %d: %+v, want %v", i, kv, w)
		}
	}
	if rep.Results[0].KV.Flags != 9 || rep.Results[3].KV.Session != session || rep.Results[3].KV.LockIndex != 1 || rep.Results[5].KV.Session != "" {
		t.Errorf("flags or holder: %+v %+v %+v", rep.Results[0].KV, rep.Results[3].KV, rep.Results[5].KV)
	}
	keys, _, err := client.KV().Keys(p, "", nil)
	must(t, err)
	if got := strings.ReplaceAll(strings.Join(keys, " "), p, ""); got != "cas lock old set" {
		t.Errorf("left: %s", got)
	}
}

// Row 11: every failing operation is reported, and nothing is done.
func TestTxnReportsEveryFailure(t *testing.T) {
	client, p := sharedClient(t)
	put(t, client.KV(), p+"a", "1")
	session := "11111111-2222-3333-4444-555555555555"
	ok, rep := txn(t, client,
		&api.KVTxnOp{Verb: api.KVSet, Key: p + "written", Value: []byte("x")},
		&api.KVTxnOp{Verb: api.KVGet, Key: p + "missing"},
		&api.KVTxnOp{Verb: api.KVCAS, Key: p + "a", Index: 1},
		&api.KVTxnOp{Verb: api.KVLock, Key: p + "a", Session: session},
		&api.KVTxnOp{Verb: api.KVUnlock, Key: p + "a", Session: session},
		&api.KVTxnOp{Verb: api.KVCheckSession, Key: p + "a", Session: session},
		&api.KVTxnOp{Verb: api.KVCheckIndex, Key: p + "missing", Index: 0},
		&api.KVTxnOp{Verb: api.KVCheckNotExists, Key: p + "a"},
		&api.KVTxnOp{Verb: api.KVDeleteCAS, Key: p + "a", Index: 1},
	)
	if ok || len(rep.Results) > 0 || len(rep.Errors) != 8 {
		t.Fatalf("ok %v, %d results, errors %+v", ok, len(rep.Results), rep.Errors)
	}
	for i, e := range rep.Errors {
		if e.OpIndex != i+1 || e.What == "" {
			t.Errorf("error %d: %+v", i, e)
		}
	}
	if got := get(t, client.KV(), p+"written"); got != nil {
		t.Errorf("a failed transaction wrote %+v", got)
	}
}

func TestTxnRefusesUnknownVerbsAndEmptyKeys(t *testing.T) {
	client, p := sharedClient(t)
	ok, rep := txn(t, client,
		&api.KVTxnOp{Verb: "explode", Key: p + "a"},
		&api.KVTxnOp{Verb: api.KVGet},
	)
	if ok || len(rep.Errors) != 2 || rep.Errors[1].OpIndex != 1 || !strings.Contains(rep.Errors[1].What, "Must provide key") {
		t.Errorf("ok %v, errors %+v", ok, rep.Errors)
	}
}

func TestTxnOfReadsTakesConsistency(t *testing.T) {
	client, p := sharedClient(t)
	put(t, client.KV(), p+"a", "1")
	for _, q := range []*api.QueryOptions{nil, {AllowStale: true}, {RequireConsistent: true}} {
		ok, rep, meta, err := client.Txn().Txn(api.TxnOps{{KV: &api.KVTxnOp{Verb: api.KVGet, Key: p + "a"}}}, q)
		must(t, err)
		if !ok || len(rep.Results) != 1 || string(rep.Results[0].KV.Value) != "1" || !meta.KnownLeader {
			t.Errorf("%+v: ok %v, %+v, meta %+v", q, ok, rep, meta)
		}
	}
}

func TestTxnSizes(t *testing.T) {
	client, p := sharedClient(t)
	for _, none := range []api.TxnOps{nil, {}} {
		ok, rep, _, err := client.Txn().Txn(none, nil)
		if must(t, err); !ok || len(rep.Results)+len(rep.Errors) > 0 {
			t.Errorf("%#v: ok %v, %+v", none, ok, rep)
		}
	}
	ops := func(n int) (all api.TxnOps) {
		for range n {
			all = append(all, &api.TxnOp{KV: &api.KVTxnOp{Verb: api.KVSet, Key: p + "a", Value: []byte("v")}})
		}
		return all
	}
	ok, _, _, err := client.Txn().Txn(ops(128), nil)
	if must(t, err); !ok {
		t.Error("128 operations failed")
	}
	if _, _, _, err := client.Txn().Txn(ops(129), nil); err == nil || !strings.Contains(err.Error(), "too many operations") {
		t.Errorf("129 operations: %v", err)
	}
}

// The older entry of the client, which takes KV operations only.
func TestKVTxn(t *testing.T) {
	client, p := sharedClient(t)
	ok, rep, _, err := client.KV().Txn(api.KVTxnOps{
		{Verb: api.KVSet, Key: p + "a", Value: []byte("v")}, {Verb: api.KVGet, Key: p + "a"},
	}, nil)
	must(t, err)
	if !ok || len(rep.Results) != 2 || string(rep.Results[1].Value) != "v" {
		t.Errorf("ok %v, %+v", ok, rep)
	}
}
