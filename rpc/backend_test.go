package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/internal/acl"
	"github.com/debros/debros/state"
	"github.com/debros/debros/state/fsm"
	"github.com/debros/debros/structs"
)

// testBackend is a cluster of one without consensus: a real FSM over a real store, to which Apply
// hands entries as Raft would.
type testBackend struct {
	fsm      *fsm.FSM
	shutdown chan struct{}

	mu sync.Mutex // protects the following
	// index of the next entry; tests begin high so that it differs from counts.
	index    uint64
	applied  []structs.CommandType
	forwards []ForwardTo
	renewed  []string

	// Set before use.
	behind   bool
	may      acl.Authorizer
	limits   Limits
	follower bool // requests for the leader are answered with KindNoLeader
	unsound  error
	notReady error // what ReadReady answers
	ready    int   // how often it was asked
}

func newTestBackend(t testing.TB) *testBackend {
	t.Helper()
	store := state.New()
	if err := store.OpenDatabases(filepath.Join(t.TempDir(), "sql"), ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.CloseDatabases(); err != nil {
			t.Error(err)
		}
	})
	b := &testBackend{
		fsm: fsm.New(store, nil), shutdown: make(chan struct{}), index: 99, may: acl.AllowAll(),
	}
	b.apply(t, structs.CommandStream, &structs.StreamRequest{
		WriteOptions: structs.WriteOptions{Namespace: "default"}, Op: structs.StreamCreate, Stream: structs.Stream{Name: "news"},
	})
	b.apply(t, structs.CommandNode, &structs.NodeRequest{Op: structs.NodeUpsert, Node: structs.Node{
		ID: "n1", Name: "n1", Address: "127.0.0.1", Datacenter: "dc1", Role: structs.RoleServer, Status: structs.NodeAlive,
	}})
	return b
}

// apply applies a command that must not be refused, and returns its index.
func (b *testBackend) apply(t testing.TB, kind structs.CommandType, body any) uint64 {
	t.Helper()
	_, index, err := b.Apply(context.Background(), kind, body)
	if err != nil {
		t.Fatalf("apply command type %d: %v", kind, err)
	}
	return index
}

// set writes a key in the default namespace.
func (b *testBackend) set(t testing.TB, key, value string) uint64 {
	t.Helper()
	return b.apply(t, structs.CommandKV, &structs.KVRequest{
		WriteOptions: structs.WriteOptions{Namespace: "default"}, Op: structs.KVSet,
		KV: structs.KVPair{Key: key, Value: []byte(value)},
	})
}

func (b *testBackend) delete(t testing.TB, key string) uint64 {
	t.Helper()
	return b.apply(t, structs.CommandKV, &structs.KVRequest{
		WriteOptions: structs.WriteOptions{Namespace: "default"}, Op: structs.KVDelete, KV: structs.KVPair{Key: key},
	})
}

func (b *testBackend) Apply(_ context.Context, t structs.CommandType, body any) (any, uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	raw, err := structs.Encode(body)
	if err != nil {
		return nil, 0, err
	}
	data, err := fsm.EncodeEntry(&structs.Entry{Time: time.Now().UnixNano(), Commands: []structs.Command{{Type: t, Body: raw}}})
	if err != nil {
		return nil, 0, err
	}
	b.index++
	b.applied = append(b.applied, t)
	results := b.fsm.Apply(&raft.Log{Index: b.index, Term: 1, Type: raft.LogCommand, Data: data}).([]structs.CommandResult)
	if results[0].Err != nil {
		return nil, 0, results[0].Err
	}
	return results[0].Reply, b.index, nil
}

func (b *testBackend) Forward(_ context.Context, _ string, to ForwardTo, req, _ any) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forwards = append(b.forwards, to)
	if to.Datacenter != "" && to.Datacenter != b.Datacenter() {
		return true, structs.Errorf(structs.KindNoPath, "No path to datacenter")
	}
	if to.Leader && b.follower {
		return true, structs.Errorf(structs.KindNoLeader, "no cluster leader")
	}
	if !isForwarded(req) {
		return true, errors.New("the request does not say that it is forwarded")
	}
	return false, nil
}

func isForwarded(req any) bool {
	switch r := req.(type) {
	case interface{ Query() *structs.QueryOptions }:
		return r.Query().Forwarded
	case interface{ Write() *structs.WriteOptions }:
		return r.Write().Forwarded
	}
	return false
}

func (b *testBackend) ForwardStream(ctx context.Context, method string, to ForwardTo, req any, _ io.Reader, _ io.Writer) (bool, error) {
	return b.Forward(ctx, method, to, req, nil)
}

func (b *testBackend) State() *state.Store { return b.fsm.Store() }

func (b *testBackend) ReadReady(context.Context, *structs.QueryOptions) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ready++
	return b.notReady
}

func (b *testBackend) Sound() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.unsound
}

func (b *testBackend) CaughtUp() bool { return !b.behind }

func (b *testBackend) LeaderInfo() (bool, time.Duration) { return true, 7 * time.Millisecond }

func (b *testBackend) Authorize(token string) (acl.Authorizer, error) {
	if token == "unknown" {
		return nil, structs.Errorf(structs.KindDenied, "token not found")
	}
	return b.may, nil
}

func (b *testBackend) Raft() RaftOps  { return testRaft{b} }
func (b *testBackend) Limits() Limits { return b.limits }

func (b *testBackend) RenewSession(_ context.Context, s *structs.Session) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.renewed = append(b.renewed, s.ID)
	return nil
}

func (b *testBackend) ForgetEdge(context.Context, string) (uint64, error) { return 0, nil }

func (b *testBackend) RegisterEdge(context.Context, structs.Node, bool) (uint64, error) {
	return 1, nil
}

func (b *testBackend) Datacenters() []string { return []string{"dc0"} }

func (b *testBackend) Datacenter() string          { return "dc1" }
func (b *testBackend) ShutdownCh() <-chan struct{} { return b.shutdown }

// testRaft has the snapshots of the real FSM and otherwise fixed answers.
type testRaft struct{ b *testBackend }

func (r testRaft) Leader() (structs.NodeID, string) { return "n1", "127.0.0.1:7001" }
func (r testRaft) Peers() ([]string, error)         { return []string{"127.0.0.1:7001"}, nil }
func (r testRaft) Stats() structs.ServerStatsReply  { return structs.ServerStatsReply{LastIndex: 9} }
func (r testRaft) AutopilotDefault() structs.AutopilotConfig {
	return structs.AutopilotConfig{CleanupDeadServers: true, MaxTrailingLogs: 250}
}

func (r testRaft) ReadIndex(context.Context) (uint64, error) { return 42, nil }

func (r testRaft) Configuration(context.Context) (*structs.RaftConfigReply, error) {
	return &structs.RaftConfigReply{Servers: []*structs.RaftServer{{ID: "n1"}}, ConfigIndex: 3}, nil
}

func (r testRaft) RemovePeer(_ context.Context, id structs.NodeID, _ string) (uint64, error) {
	if id == "unknown" {
		return 0, structs.Errorf(structs.KindNotFound, "no such server")
	}
	return 77, nil
}

func (r testRaft) TransferLeadership(context.Context, structs.NodeID, string) error { return nil }

func (r testRaft) AutopilotHealth(context.Context) (*structs.AutopilotHealthReply, error) {
	return &structs.AutopilotHealthReply{Healthy: true, Leader: "n1"}, nil
}

func (testRaft) Verify(_ context.Context, reinstall structs.NodeID) (uint64, error) {
	if reinstall != "" {
		return 0, structs.Errorf(structs.KindNotFound, "no such server")
	}
	return 5, nil
}

func (testRaft) VerifyReport(at uint64) (*structs.VerifyReport, error) {
	return &structs.VerifyReport{Index: at, Outcome: structs.VerifyEqual}, nil
}

type memorySink struct{ bytes.Buffer }

func (*memorySink) ID() string    { return "test" }
func (*memorySink) Cancel() error { return nil }
func (*memorySink) Close() error  { return nil }

func (r testRaft) SnapshotSave(_ context.Context, w io.Writer) error {
	snap, err := r.b.fsm.Snapshot()
	if err != nil {
		return err
	}
	defer snap.Release()
	var sink memorySink
	if err := snap.Persist(&sink); err != nil {
		return err
	}
	_, err = w.Write(sink.Bytes())
	return err
}

func (r testRaft) SnapshotRestore(_ context.Context, in io.Reader) (uint64, error) {
	if err := r.b.fsm.Restore(io.NopCloser(in)); err != nil {
		return 0, structs.Errorf(structs.KindInvalid, "damaged archive: %v", err)
	}
	return r.b.State().Index(), nil
}

// ask calls a method as the transport or the local agent does.
func ask[Rep any](ctx context.Context, b Backend, method string, req any) (*Rep, error) {
	for _, m := range Methods(b) {
		if m.Name != method {
			continue
		}
		rep, err := m.Handle(ctx, req)
		if err != nil {
			return nil, err
		}
		return rep.(*Rep), nil
	}
	return nil, errors.New("no such method: " + method)
}

// mustAsk is ask for what must succeed.
func mustAsk[Rep any](t testing.TB, b Backend, method string, req any) *Rep {
	t.Helper()
	rep, err := ask[Rep](context.Background(), b, method, req)
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	return rep
}

// wantKind fails unless err is of a kind.
func wantKind(t testing.TB, err error, want structs.Kind) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one of kind %s", want)
	}
	if got := structs.KindOf(err); got != want {
		t.Fatalf("error of kind %s, want %s: %v", got, want, err)
	}
}

// denyAll refuses everything.
type denyAll struct{}

func (denyAll) KVRead(structs.Namespace, string) bool        { return false }
func (denyAll) KVList(structs.Namespace, string) bool        { return false }
func (denyAll) KVWrite(structs.Namespace, string) bool       { return false }
func (denyAll) KVWritePrefix(structs.Namespace, string) bool { return false }
func (denyAll) SQLRead(structs.Namespace, string) bool       { return false }
func (denyAll) SQLWrite(structs.Namespace, string) bool      { return false }
func (denyAll) TopicRead(structs.Namespace, string) bool     { return false }
func (denyAll) TopicWrite(structs.Namespace, string) bool    { return false }
func (denyAll) StreamWrite(structs.Namespace, string) bool   { return false }
func (denyAll) SessionRead(structs.Namespace, string) bool   { return false }
func (denyAll) SessionWrite(structs.Namespace, string) bool  { return false }
func (denyAll) NamespaceRead(structs.Namespace) bool         { return false }
func (denyAll) NamespaceWrite(structs.Namespace) bool        { return false }
func (denyAll) NodeRead(string) bool                         { return false }
func (denyAll) AgentRead(string) bool                        { return false }
func (denyAll) AgentWrite(string) bool                       { return false }
func (denyAll) EventRead(structs.Namespace, string) bool     { return false }
func (denyAll) EventWrite(structs.Namespace, string) bool    { return false }
func (denyAll) OperatorRead() bool                           { return false }
func (denyAll) OperatorWrite() bool                          { return false }
func (denyAll) KeyringRead() bool                            { return false }
func (denyAll) KeyringWrite() bool                           { return false }
func (denyAll) SnapshotRead() bool                           { return false }
func (denyAll) SnapshotWrite() bool                          { return false }
