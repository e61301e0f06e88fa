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

// The version that a cluster was raised to stays, whatever its state holds later.
func TestTheVersionOfAClusterRisesWithTheLastServerAndNeverFalls(t *testing.T) {
	c := newCluster(t, 0, nil)
	c.fsm = structs.FSMVersionOfCluster - 1
	for _, id := range []structs.NodeID{"id0", "id1", "id2"} {
		c.join(id, "", 3)
	}
	leader := c.leader()
	c.id()
	for _, n := range c.nodes[:2] {
		c.upgrade(n, structs.FSMVersion)
	}
	if leader == c.nodes[2] { // a leader knows itself
		c.upgrade(c.nodes[0], structs.FSMVersionOfCluster-1)
	}
	for range 3 {
		if err := leader.ensureCluster(t.Context()); err != nil || leader.store.FSMVersion() != 0 {
			t.Fatal(err, leader.store.FSMVersion(), "raised over the head of a server")
		}
	}
	for _, n := range c.nodes {
		c.upgrade(n, structs.FSMVersion)
	}
	c.changed()
	for _, n := range c.nodes {
		eventually(t, "the version on "+string(n.id), func() bool { return n.store.FSMVersion() == structs.FSMVersion })
	}
	old := c.start("old", "", 0)
	m, _ := old.member(old.id)
	m.FSM = structs.FSMVersion - 1
	c.roster.set(m)
	c.nodes = append(c.nodes, old)
	leader.MembershipChanged()
	eventually(t, "the refusal", func() bool { return leader.strangers.has("old") })
}
