package server

import (
	"testing"

	"github.com/debros/debros/structs"
)

// An older server would take the SQL of a transaction for an operation that is missing, and do nothing where the others do.
func TestCommandsNeedServersThatKnowThem(t *testing.T) {
	kv := structs.TxnOp{KV: &structs.TxnKVOp{Verb: structs.KVSet}}
	for _, c := range []struct {
		want int
		t    structs.CommandType
		body any
	}{
		{structs.FSMVersionSQL, structs.CommandSQL, &structs.SQLRequest{}},
		{structs.FSMVersionSQL, structs.CommandSQLDatabase, &structs.SQLDatabaseRequest{Op: structs.SQLDatabaseCreate}},
		{structs.FSMVersionChanges, structs.CommandSQLDatabase, &structs.SQLDatabaseRequest{Op: structs.SQLDatabaseCreate, Database: structs.SQLDatabase{ChangesBytes: 1}}},
		{structs.FSMVersionChanges, structs.CommandSQLDatabase, &structs.SQLDatabaseRequest{Op: structs.SQLDatabaseSetChanges}},
		{structs.FSMVersionUpload, structs.CommandSQLUpload, &structs.SQLUploadRequest{}},
		{structs.FSMVersionSQL, structs.CommandTxn, &structs.TxnRequest{Ops: []structs.TxnOp{kv, {SQL: &structs.TxnSQLOp{}}}}},
		{structs.FSMVersionStreams, structs.CommandTxn, &structs.TxnRequest{Ops: []structs.TxnOp{kv, {Publish: &structs.StreamMessage{}}}}},
		{structs.FSMVersionStreams, structs.CommandStream, &structs.StreamRequest{}},
		{structs.FSMVersionStreams, structs.CommandPublish, &structs.StreamPublishRequest{}},
		{0, structs.CommandTxn, &structs.TxnRequest{Ops: []structs.TxnOp{kv}}},
		{0, structs.CommandKV, &structs.KVRequest{}},
	} {
		if got, _ := versionFor(c.t, c.body); got != c.want {
			t.Errorf("command %d %+v: %d", c.t, c.body, got)
		}
	}
}
