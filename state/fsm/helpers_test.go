package fsm

import (
	"bytes"
	"encoding/binary"
	"flag"
	"hash/crc32"
	"io"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

var update = flag.Bool("update", false, "write golden files that do not exist yet")

// seal makes any payload an entry with a right version and checksum.
func seal(payload []byte) []byte {
	data := []byte{entryVersion}
	data = binary.BigEndian.AppendUint32(data, crc32.Checksum(payload, castagnoli))
	return append(data, payload...)
}

// memSink is a raft.SnapshotSink in memory.
type memSink struct {
	bytes.Buffer
	failAfter         int // bytes; 0 = never
	err               error
	closed, cancelled bool
}

func (*memSink) ID() string      { return "mem" }
func (s *memSink) Close() error  { s.closed = true; return nil }
func (s *memSink) Cancel() error { s.cancelled = true; return nil }

func (s *memSink) Write(p []byte) (int, error) {
	if s.failAfter > 0 && s.Len()+len(p) > s.failAfter {
		return 0, s.err
	}
	return s.Buffer.Write(p)
}

// stream is the snapshot stream of f as it is now.
func stream(t testing.TB, f *FSM) []byte {
	t.Helper()
	snap, err := f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	sink := &memSink{}
	if err := snap.Persist(sink); err != nil {
		t.Fatal(err)
	}
	snap.Release()
	if !sink.closed || sink.cancelled {
		t.Fatal("the sink was not closed")
	}
	return sink.Bytes()
}

// newStore is a store that keeps databases.
func newStore(t testing.TB) *state.Store {
	t.Helper()
	s := state.New()
	if err := s.OpenDatabases(filepath.Join(t.TempDir(), "sql"), ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.CloseDatabases(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// sql is a request of statements, each for itself.
func sql(t testing.TB, statements ...string) structs.Command {
	t.Helper()
	r := &structs.SQLRequest{WriteOptions: structs.WriteOptions{Namespace: structs.DefaultNamespace}}
	for _, s := range statements {
		r.Statements = append(r.Statements, structs.SQLStatement{SQL: s})
	}
	return command(t, structs.CommandSQL, r)
}

// restored is a new FSM made of a stream.
func restored(t testing.TB, data []byte) *FSM {
	t.Helper()
	f := New(newStore(t), nil)
	if err := f.Restore(io.NopCloser(bytes.NewReader(data))); err != nil {
		t.Fatal(err)
	}
	return f
}

// entryLog makes the raft log of an entry.
func entryLog(t testing.TB, index uint64, e *structs.Entry) *raft.Log {
	t.Helper()
	return &raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: encodeEntry(t, e)}
}

// apply applies commands as one entry and gives their results.
func apply(t testing.TB, f *FSM, index uint64, cs ...structs.Command) []structs.CommandResult {
	t.Helper()
	e := &structs.Entry{Time: int64(index) * 1e9, Seed: index, Commands: cs}
	results, ok := f.Apply(entryLog(t, index, e)).([]structs.CommandResult)
	if !ok || len(results) != len(cs) {
		t.Fatalf("entry %d: %d results for %d commands", index, len(results), len(cs))
	}
	return results
}

func set(t testing.TB, key, value string) structs.Command {
	t.Helper()
	r := &structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: key, Value: []byte(value)}}
	r.Namespace = structs.DefaultNamespace
	return command(t, structs.CommandKV, r)
}

const (
	clusterA structs.ClusterID = "aaaaaaaa-0000-4000-8000-00000000000a"
	clusterB structs.ClusterID = "bbbbbbbb-0000-4000-8000-00000000000b"
)

// sample is an FSM with something in every table.
func sample(t testing.TB) *FSM {
	t.Helper()
	f := sampleV1(t)
	apply(t, f, 26, command(t, structs.CommandCluster, &structs.ClusterRequest{ID: clusterA}))
	apply(t, f, 27, sql(t, "create table t(a)", "insert into t values(1)", "insert into t values('x')"))
	apply(t, f, 28, command(t, structs.CommandSQLDatabase, &structs.SQLDatabaseRequest{
		WriteOptions: structs.WriteOptions{Namespace: structs.DefaultNamespace}, Op: structs.SQLDatabaseCreate,
		Database: structs.SQLDatabase{Name: "unused", PageBytes: 1024}}))
	ns := structs.WriteOptions{Namespace: structs.DefaultNamespace}
	stream := func(op structs.StreamOp) structs.Command {
		return command(t, structs.CommandStream, &structs.StreamRequest{WriteOptions: ns, Op: op, Stream: structs.Stream{Name: "orders"}, Consumer: structs.StreamConsumer{Name: "c", Filter: "orders.*"}})
	}
	for _, r := range apply(t, f, 29, stream(structs.StreamCreate), command(t, structs.CommandPublish, &structs.StreamPublishRequest{WriteOptions: ns, Messages: []structs.StreamMessage{
		{Topic: "orders.eu", ID: "id", Headers: map[string]string{"b": "2", "a": "1"}, Data: []byte("\x00")}, {Topic: "orders"},
	}}), stream(structs.StreamConsumerSet)) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	return f
}

// sampleV1 is an FSM with something in every table that the first builds had.
func sampleV1(t testing.TB) *FSM {
	t.Helper()
	f := New(newStore(t), nil)
	ns := structs.WriteOptions{Namespace: structs.DefaultNamespace}
	session := func(id string, op structs.SessionOp) structs.Command {
		return command(t, structs.CommandSession, &structs.SessionRequest{WriteOptions: ns, Op: op, Session: structs.Session{
			ID: id, Name: "n", Node: "s1", LockDelay: 15e9, TTL: "10s", NodeChecks: []string{"serfHealth"},
		}})
	}
	lock := func(key, id string) structs.Command {
		return command(t, structs.CommandKV, &structs.KVRequest{WriteOptions: ns, Op: structs.KVLock,
			KV: structs.KVPair{Key: key, Session: id, Value: []byte("held")}})
	}
	for i, cs := range [][]structs.Command{
		{{Type: structs.CommandNone}},
		{command(t, structs.CommandNode, &structs.NodeRequest{Op: structs.NodeUpsert, Node: structs.Node{
			ID: "12D3KooWExample", Name: "s1", Address: "127.0.0.1", Datacenter: "dc1", Role: structs.RoleServer,
			Status: structs.NodeAlive, Meta: map[string]string{"rack": "7"}, Ports: map[string]int{"server": 7001}, Version: "0.1.0",
		}})},
		{command(t, structs.CommandNamespace, &structs.NamespaceRequest{Op: structs.NamespaceCreate,
			Namespace: structs.NamespaceInfo{Name: "team-a", Description: "d", Meta: map[string]string{"k": "v"}}})},
		{session("11111111-1111-1111-1111-111111111111", structs.SessionCreate), session("22222222-2222-2222-2222-222222222222", structs.SessionCreate)},
		{lock("lock/a", "11111111-1111-1111-1111-111111111111"), lock("lock/b", "22222222-2222-2222-2222-222222222222")},
		{set(t, "a", "1"), set(t, "b", ""), set(t, "gone", "x")},
		{command(t, structs.CommandKV, &structs.KVRequest{WriteOptions: ns, Op: structs.KVSet, TTL: 60e9,
			KV: structs.KVPair{Key: "brief", Value: []byte("\x00\xff"), Flags: 1 << 63}})},
		{command(t, structs.CommandKV, &structs.KVRequest{WriteOptions: ns, Op: structs.KVDelete, KV: structs.KVPair{Key: "gone"}})},
		{session("22222222-2222-2222-2222-222222222222", structs.SessionDestroy)},
		{command(t, structs.CommandAutopilot, &structs.AutopilotRequest{Config: structs.AutopilotConfig{CleanupDeadServers: true, MinQuorum: 3}})},
	} {
		for j, r := range apply(t, f, uint64(10+i), cs...) {
			if r.Err != nil {
				t.Fatalf("entry %d command %d: %v", 10+i, j, r.Err)
			}
		}
	}
	f.Apply(&raft.Log{Index: 25, Term: 2, Type: raft.LogConfiguration})
	return f
}
