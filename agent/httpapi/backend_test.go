package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/hashicorp/serf/coordinate"

	"github.com/debros/debros/internal/acl"
	"github.com/debros/debros/rpc"
	"github.com/debros/debros/rpc/transport"
	"github.com/debros/debros/state"
	"github.com/debros/debros/state/archive"
	"github.com/debros/debros/state/fsm"
	"github.com/debros/debros/structs"
)

// cluster is the real endpoints over a real FSM and store, with a log of one server kept in memory
// below them; the agent beside it is scripted.
type cluster struct {
	fsm     *fsm.FSM
	methods map[string]transport.Method
	streams map[string]transport.StreamMethod
	stop    chan struct{}

	mu     sync.Mutex // protects the following
	index  uint64
	fail   error               // what every RPC answers, when set
	calls  map[string]int      // RPCs by method
	level  structs.Consistency // of the last read
	open   int                 // streams
	after  map[string]func()   // run after an RPC of the name
	tokens map[string]string   // of the last question by method

	behind  bool // it knows of entries that it has not applied
	leave   func(force bool) error
	monitor func(ctx context.Context, level string, json bool, w io.Writer) error
	denied  AgentOp
}

const testNode = "s1"

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{
		fsm: fsm.New(state.New(), nil), stop: make(chan struct{}), index: 10,
		methods: map[string]transport.Method{}, streams: map[string]transport.StreamMethod{},
		calls: map[string]int{}, after: map[string]func(){}, tokens: map[string]string{},
	}
	if err := c.State().OpenDatabases(filepath.Join(t.TempDir(), "db"), ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.State().CloseDatabases(); err != nil {
			t.Error(err)
		}
	})
	for _, m := range rpc.Methods(c) {
		c.methods[m.Name] = m
	}
	for _, m := range rpc.Streams(c) {
		c.streams[m.Name] = m
	}
	node := structs.Node{
		ID: "12D3KooWtest", Name: testNode, Address: "10.0.0.1", Datacenter: "dc1", Role: structs.RoleServer,
		Status: structs.NodeAlive, Meta: map[string]string{"rack": "r1"},
	}
	if _, _, err := c.Apply(t.Context(), structs.CommandNode, &structs.NodeRequest{Op: structs.NodeUpsert, Node: node}); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cluster) Apply(_ context.Context, ct structs.CommandType, body any) (any, uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	raw, err := structs.Encode(body)
	if err != nil {
		return nil, 0, err
	}
	data, err := fsm.EncodeEntry(&structs.Entry{Time: time.Now().UnixNano(), Seed: 1, Commands: []structs.Command{{Type: ct, Body: raw}}})
	if err != nil {
		return nil, 0, err
	}
	c.index++
	res := c.fsm.Apply(&raft.Log{Index: c.index, Term: 1, Type: raft.LogCommand, Data: data}).([]structs.CommandResult)
	if res[0].Err != nil {
		return nil, 0, res[0].Err
	}
	return res[0].Reply, c.index, nil
}

func (c *cluster) Forward(_ context.Context, _ string, to rpc.ForwardTo, _, _ any) (bool, error) {
	return c.elsewhere(to)
}

func (c *cluster) ForwardStream(_ context.Context, _ string, to rpc.ForwardTo, _ any, _ io.Reader, _ io.Writer) (bool, error) {
	return c.elsewhere(to)
}

func (c *cluster) elsewhere(to rpc.ForwardTo) (bool, error) {
	if to.Datacenter != "" && to.Datacenter != c.Datacenter() {
		return true, structs.Errorf(structs.KindNoPath, "no path to datacenter %q", to.Datacenter)
	}
	return false, nil
}

func (c *cluster) State() *state.Store { return c.fsm.Store() }

func (c *cluster) Sound() error { return nil }

func (c *cluster) ReadReady(ctx context.Context, o *structs.QueryOptions) error {
	c.mu.Lock()
	c.level = o.Consistency
	c.mu.Unlock()
	if o.MinIndex == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, max(o.MinWait, time.Millisecond))
	defer cancel()
	if c.fsm.WaitApplied(ctx, o.MinIndex) != nil {
		return structs.Errorf(structs.KindUnavailable, "index %d is not applied here yet", o.MinIndex)
	}
	return nil
}

func (c *cluster) CaughtUp() bool                                       { return !c.behind }
func (c *cluster) LeaderInfo() (bool, time.Duration)                    { return true, 3 * time.Millisecond }
func (c *cluster) Raft() rpc.RaftOps                                    { return raftOps{c} }
func (c *cluster) Limits() rpc.Limits                                   { return rpc.Limits{} }
func (c *cluster) RenewSession(context.Context, *structs.Session) error { return nil }
func (c *cluster) ForgetEdge(context.Context, string) (uint64, error)   { return 0, nil }

func (c *cluster) RegisterEdge(context.Context, structs.Node, bool) (uint64, error) {
	return 1, nil
}
func (c *cluster) Datacenters() []string       { return nil }
func (c *cluster) Datacenter() string          { return "dc1" }
func (c *cluster) ShutdownCh() <-chan struct{} { return c.stop }

// agent adapts the cluster to Backend: the Authorize of rpc.Backend is another.
type agent struct{ *cluster }

func (c *cluster) Authorize(string) (acl.Authorizer, error) { return acl.AllowAll(), nil }

func (a agent) Authorize(_ context.Context, _ string, op AgentOp) error {
	if op == a.denied {
		return structs.Errorf(structs.KindDenied, "permission denied: the token lacks %s", op)
	}
	return nil
}

func (a agent) RPC(ctx context.Context, method string, req, reply any) error {
	a.mu.Lock()
	a.calls[method]++
	fail, after := a.fail, a.after[method]
	a.mu.Unlock()
	if fail != nil {
		return fail
	}
	m, ok := a.methods[method]
	if !ok {
		return fmt.Errorf("no such method: %s", method)
	}
	out, err := m.Handle(ctx, req)
	if err != nil {
		return err
	}
	reflect.ValueOf(reply).Elem().Set(reflect.ValueOf(out).Elem()) // panics on the wrong reply type
	if after != nil {
		after()
	}
	return nil
}

func (a agent) Stream(ctx context.Context, method string, req any, in io.Reader, out io.Writer) error {
	m, ok := a.streams[method]
	if !ok {
		return fmt.Errorf("no such stream: %s", method)
	}
	a.mu.Lock()
	a.calls[method]++
	a.open++
	fail := a.fail
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.open--
	}()
	if fail != nil {
		return fail
	}
	return m.Handle(ctx, req, in, out)
}

func (a agent) count(method string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls[method]
}

func (a agent) streaming() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.open
}

func (a agent) failWith(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fail = err
}

func (a agent) Self() Self {
	return Self{
		Config: SelfConfig{Datacenter: "dc1", NodeName: testNode, Server: true, Version: "1.0.0"},
		Member: a.members()[0], Stats: map[string]map[string]string{"raft": {"state": "Leader"}},
		Meta: map[string]string{"rack": "r1"},
	}
}

func (a agent) MembersWAN(_ context.Context, token string) ([]structs.Member, error) {
	a.note("MembersWAN", token)
	return []structs.Member{a.members()[0], {ID: "12D3KooWedge", Name: "e1", Role: structs.RoleEdge, Status: structs.MemberFailed, Datacenter: "dc1", Tags: map[string]string{"via": "relay"}}}, nil
}

func (a agent) Members(_ context.Context, token string) ([]structs.Member, error) {
	a.note("Members", token)
	return a.members(), nil
}

// note records the token of a question that goes on to servers.
func (a agent) note(what, token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens[what] = token
}

func (a agent) noted(what string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tokens[what]
}

func (a agent) members() []structs.Member {
	return []structs.Member{
		{
			ID: "12D3KooWtest", Name: testNode, Addr: "10.0.0.1", Port: 7946, Role: structs.RoleServer, Expect: 3, Status: structs.MemberAlive, Datacenter: "dc1",
			Build: "1.0.0", Ports: map[string]int{structs.PortHTTP: 5001, structs.PortServer: 7001},
		},
		{Name: "c1", Addr: "10.0.0.2", Port: 7946, Role: structs.RoleClient, Status: structs.MemberFailed, Datacenter: "dc1"},
	}
}

func (a agent) Join(_ context.Context, addrs []string, _ bool) (int, error) {
	if addrs[0] != "10.0.0.9:7946" {
		return 0, structs.Errorf(structs.KindUnavailable, "join %s: no answer", addrs[0])
	}
	return 1, nil
}

func (a agent) Leave(_ context.Context, force bool) error {
	if a.leave == nil {
		panic("nobody expected a leave")
	}
	return a.leave(force)
}
func (a agent) ForceLeave(_ context.Context, token, _ string, _ bool) error {
	a.note("ForceLeave", token)
	return nil
}
func (a agent) Reload(context.Context) (ReloadReport, error) {
	return ReloadReport{Changed: []string{"log_level"}, NeedsRestart: []string{"data_dir"}}, nil
}

func (a agent) Monitor(ctx context.Context, level string, json bool, w io.Writer) error {
	return a.monitor(ctx, level, json, w)
}

func (a agent) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "metrics "+r.URL.Query().Get("format"))
	})
}
func (a agent) Host(context.Context) (any, error)               { return map[string]any{"CPU": 2}, nil }
func (a agent) Maintenance(context.Context, bool, string) error { return nil }
func (a agent) Version() Version                                { return Version{HumanVersion: "1.0.0"} }

func (a agent) Coordinates() []structs.Coordinate {
	return []structs.Coordinate{{Node: testNode, Coord: coordinate.NewCoordinate(coordinate.DefaultConfig())}}
}

func (a agent) Keyring(context.Context, structs.KeyringOp, string) (*structs.KeyringResponse, error) {
	return &structs.KeyringResponse{Datacenter: "dc1", Keys: map[string]int{"k": 1}, PrimaryKeys: map[string]int{"k": 1}, NumNodes: 1}, nil
}

// The network's methods echo what they were asked, so that tests see what a request came to.
func (a agent) NetworkSelf() (*structs.NetworkSelf, error) {
	return &structs.NetworkSelf{ID: "12D3KooWtest", Members: 2, Strangers: 1, UptimeSeconds: 1.5}, nil
}

func (a agent) NetworkPeers(_ context.Context, token string) ([]*structs.NetworkPeer, error) {
	a.note("NetworkPeers", token)
	return []*structs.NetworkPeer{{ID: "a", Member: true, Connected: true}, {ID: "b"}}, nil
}

func (a agent) NetworkConnect(_ context.Context, addr string) (structs.NodeID, error) {
	return structs.NodeID("at " + addr), nil
}

func (a agent) NetworkDisconnect(_ context.Context, id string) error {
	if id != "a" {
		return structs.Errorf(structs.KindNotFound, "peer %s is not connected", id)
	}
	return nil
}

func (a agent) NetworkFindPeer(_ context.Context, id string) (*structs.NetworkAddrs, error) {
	return &structs.NetworkAddrs{ID: structs.NodeID(id), Addresses: []string{"/ip4/10.0.0.1/tcp/4001"}}, nil
}

func (a agent) NetworkProviders(_ context.Context, offer string, limit int) ([]*structs.NetworkAddrs, error) {
	return make([]*structs.NetworkAddrs, limit), nil
}

func (a agent) NetworkPing(_ context.Context, id string, count int) (*structs.NetworkPing, error) {
	return &structs.NetworkPing{ID: structs.NodeID(id), Pings: make([]structs.NetworkPingReply, count)}, nil
}

func (a agent) NetworkGet(_ context.Context, key string) (*structs.NetworkRecord, error) {
	return &structs.NetworkRecord{Key: key, Data: []byte("x")}, nil
}

func (a agent) NetworkPut(_ context.Context, name string, data []byte, life time.Duration) (string, error) {
	return fmt.Sprintf("%s %d %s", name, len(data), life), nil
}

// raftOps is a cluster of one server.
type raftOps struct{ c *cluster }

func (raftOps) Leader() (structs.NodeID, string)            { return "12D3KooWtest", "10.0.0.1:7001" }
func (raftOps) Peers() ([]string, error)                    { return []string{"10.0.0.1:7001"}, nil }
func (raftOps) Stats() structs.ServerStatsReply             { return structs.ServerStatsReply{} }
func (r raftOps) ReadIndex(context.Context) (uint64, error) { return r.c.fsm.AppliedIndex(), nil }
func (raftOps) AutopilotDefault() structs.AutopilotConfig {
	return structs.AutopilotConfig{CleanupDeadServers: true, LastContactThreshold: 200 * time.Millisecond, MaxTrailingLogs: 250, ServerStabilizationTime: 10 * time.Second}
}

func (raftOps) Configuration(context.Context) (*structs.RaftConfigReply, error) {
	return &structs.RaftConfigReply{ConfigIndex: 1, ClusterID: "c", Refused: []*structs.RefusedServer{{
		ID: "12D3KooWother", Node: "x1", Address: "10.0.0.9:7001", ClusterID: "d", Reason: "it belongs to another cluster",
	}}, Servers: []*structs.RaftServer{{
		ID: "12D3KooWtest", Node: testNode, Address: "10.0.0.1:7001", Leader: true, Voter: true, ProtocolVersion: "3", LastIndex: 11,
	}}}, nil
}

func (raftOps) RemovePeer(_ context.Context, id structs.NodeID, address string) (uint64, error) {
	if id != "gone" && address != "10.0.0.3:7001" {
		return 0, structs.Errorf(structs.KindNotFound, "no such server")
	}
	return 12, nil
}
func (raftOps) TransferLeadership(context.Context, structs.NodeID, string) error { return nil }

func (raftOps) AutopilotHealth(context.Context) (*structs.AutopilotHealthReply, error) {
	return &structs.AutopilotHealthReply{Healthy: false, Leader: "12D3KooWtest", Voters: []structs.NodeID{"12D3KooWtest"}, Servers: []structs.ServerHealth{{
		ID: "12D3KooWtest", Name: testNode, SerfStatus: structs.MemberAlive, Leader: true, Voter: true, LastContact: 5 * time.Millisecond,
	}}}, nil
}

func (raftOps) Verify(_ context.Context, reinstall structs.NodeID) (uint64, error) {
	if reinstall != "" && reinstall != "12D3KooWother" {
		return 0, structs.Errorf(structs.KindNotFound, "no such server")
	}
	return 14, nil
}

func (raftOps) VerifyReport(at uint64) (*structs.VerifyReport, error) {
	if at > 14 {
		return nil, structs.Errorf(structs.KindNotFound, "there was none")
	}
	return &structs.VerifyReport{
		Index: 14, Outcome: structs.VerifyDifferent, Time: time.Unix(1_700_000_000, 0).UTC(),
		Servers: []*structs.VerifyServer{
			{ID: "12D3KooWtest", Node: testNode, Address: "10.0.0.1:7001", Leader: true, Voter: true, Verdict: structs.VerdictRight, Hash: "aa", Databases: 1, DatabasesDone: 1, Took: structs.ReadableDuration(5 * time.Millisecond), Build: "1.0.0"},
			{ID: "12D3KooWother", Node: "x1", Address: "10.0.0.9:7001", Voter: true, Verdict: structs.VerdictDifferent, Hash: "bb", Databases: 1, DatabasesDone: 1, Build: "1.0.0", Quarantine: "it holds something else"},
		},
		Differences: []*structs.VerifyDifference{{Part: "table kv", Right: "cc", Hashes: map[structs.NodeID]string{"12D3KooWtest": "cc", "12D3KooWother": "dd"}}},
	}, nil
}

type sink struct{ bytes.Buffer }

func (*sink) ID() string    { return "1-1" }
func (*sink) Cancel() error { return nil }
func (*sink) Close() error  { return nil }

func (r raftOps) SnapshotSave(_ context.Context, w io.Writer) error {
	snap, err := r.c.fsm.Snapshot()
	if err != nil {
		return err
	}
	var s sink
	if err := snap.Persist(&s); err != nil {
		return err
	}
	return archive.Write(w, archive.Meta{ID: "1-1", Index: r.c.fsm.AppliedIndex(), Term: 1, CreatedAt: time.Now(), SizeBytes: int64(s.Len())}, &s)
}

func (r raftOps) SnapshotRestore(_ context.Context, in io.Reader) (uint64, error) {
	var buf bytes.Buffer
	m, err := archive.Read(in, &buf)
	if err != nil {
		return 0, structs.Errorf(structs.KindInvalid, "the archive is damaged: %v", err)
	}
	return m.Index, r.c.fsm.Restore(io.NopCloser(&buf))
}

// Live topics are tested where there is an overlay, in package agent. Here every topic is one that a stream keeps.
var errNoOverlay = structs.Errorf(structs.KindUnsupported, "no overlay")

func (a agent) PublishMessages(context.Context, Caller, []*structs.Message) error {
	return errNoOverlay
}

func (a agent) SubscribeMessages(context.Context, Caller, structs.SubscribeOptions) (Subscription, error) {
	return nil, errNoOverlay
}

func (a agent) RequestMessages(context.Context, Caller, *structs.Message, int) ([]*structs.Message, error) {
	return nil, errNoOverlay
}

func (a agent) Topics(context.Context, Caller) ([]structs.TopicInfo, error) { return nil, errNoOverlay }

func (a agent) Subscribers(context.Context, Caller, string) ([]structs.Subscriber, error) {
	return nil, errNoOverlay
}

func (a agent) StreamOf(_ context.Context, _ Caller, topic string) (string, error) { return topic, nil }

func (a agent) StreamsAmong(context.Context, Caller, []string) ([]string, error) { return nil, nil }

func (a agent) Events(context.Context, Caller, uint64) ([]*structs.UserEvent, uint64, error) {
	return nil, 0, errNoOverlay
}

func (a agent) FireEvent(context.Context, Caller, *structs.UserEvent) error { return errNoOverlay }
