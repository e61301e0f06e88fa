package server

import (
	"testing"

	"github.com/debros/debros/structs"
)

// An older server would take the SQL of a transaction for an operation that is missing, and do nothing where the others do.
func TestTransactionNeedsServersThatKnowSQLWhenItHasSome(t *testing.T) {
	kv := structs.TxnOp{KV: &structs.TxnKVOp{Verb: structs.KVSet}}
	for _, c := range []struct {
		want bool
		t    structs.CommandType
		body any
	}{
		{true, structs.CommandSQL, &structs.SQLRequest{}},
		{true, structs.CommandSQLDatabase, &structs.SQLDatabaseRequest{}},
		{true, structs.CommandSQLUpload, &structs.SQLUploadRequest{}},
		{true, structs.CommandTxn, &structs.TxnRequest{Ops: []structs.TxnOp{kv, {SQL: &structs.TxnSQLOp{}}}}},
		{false, structs.CommandTxn, &structs.TxnRequest{Ops: []structs.TxnOp{kv}}},
		{false, structs.CommandKV, &structs.KVRequest{}},
	} {
		if got := needsSQL(c.t, c.body); got != c.want {
			t.Errorf("command %d %+v: %v", c.t, c.body, got)
		}
	}
}
