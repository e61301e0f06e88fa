package rpc

import (
	"context"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

// goodRequests holds for every method a request that succeeds on a fresh backend; sess is the id of a session.
func goodRequests(sess string) map[string]any {
	kv := func(op structs.KVOp) []structs.TxnOp {
		return []structs.TxnOp{{KV: &structs.TxnKVOp{Verb: op, Pair: structs.KVPair{Key: "t"}}}}
	}
	return map[string]any{
		"KV.Apply":                    &structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: "k"}},
		"KV.Get":                      &structs.KeyRequest{Key: "k"},
		"KV.List":                     &structs.KVListRequest{},
		"KV.Keys":                     &structs.KVListRequest{},
		"KV.Count":                    &structs.KVListRequest{},
		"Txn.Apply":                   &structs.TxnRequest{Ops: kv(structs.KVSet)},
		"Txn.Read":                    &structs.TxnReadRequest{Ops: kv(structs.KVGet)},
		"Session.Apply":               &structs.SessionRequest{Op: structs.SessionCreate, Session: structs.Session{Node: "n1"}},
		"Session.Renew":               &structs.SessionRenewRequest{ID: sess},
		"Session.Get":                 &structs.SessionGetRequest{ID: sess},
		"Session.Node":                &structs.SessionGetRequest{Node: "n1"},
		"Session.List":                &structs.SessionListRequest{},
		"Namespace.Apply":             &structs.NamespaceRequest{Op: structs.NamespaceUpsert, Namespace: structs.NamespaceInfo{Name: "team"}},
		"Namespace.List":              &structs.NamespaceListRequest{},
		"Namespace.Get":               &structs.NamespaceListRequest{Name: "default"},
		"Catalog.Nodes":               &structs.NodeListRequest{},
		"Catalog.Node":                &structs.NodeListRequest{Name: "n1"},
		"Catalog.Datacenters":         &structs.QueryRequest{},
		"Catalog.Register":            &structs.NodeRegisterRequest{ID: "n1", Name: "n1", Meta: map[string]string{"rack": "7"}},
		"Catalog.Forget":              &structs.NodeForgetRequest{Name: "e1"},
		"Status.Leader":               &structs.QueryRequest{},
		"Status.Peers":                &structs.QueryRequest{},
		"Status.Ping":                 &structs.QueryRequest{},
		"Status.ReadIndex":            &structs.ReadIndexRequest{},
		"Status.Stats":                &structs.QueryRequest{},
		"Operator.RaftConfiguration":  &structs.QueryRequest{},
		"Operator.RaftRemovePeer":     &structs.RaftPeerRequest{ID: "n2"},
		"Operator.RaftTransferLeader": &structs.RaftPeerRequest{},
		"Operator.AutopilotGet":       &structs.QueryRequest{},
		"Operator.AutopilotSet":       &structs.AutopilotRequest{Config: structs.AutopilotConfig{LastContactThreshold: time.Second}},
		"Operator.AutopilotHealth":    &structs.QueryRequest{},
		"Operator.Verify":             &structs.VerifyRequest{},
		"Operator.VerifyReport":       &structs.VerifyReportRequest{},
		"SQL.Execute":                 &structs.SQLRequest{Statements: []structs.SQLStatement{{SQL: "select 1"}}},
		"SQL.ApplyDatabase":           &structs.SQLDatabaseRequest{Op: structs.SQLDatabaseEnsure, Database: structs.SQLDatabase{Name: "d"}},
		"SQL.Databases":               &structs.SQLDatabaseListRequest{},
		"Stream.Apply":                &structs.StreamRequest{Op: structs.StreamUpdate, Stream: structs.Stream{Name: "news"}},
		"Stream.Publish":              &structs.StreamPublishRequest{Messages: []structs.StreamMessage{{Topic: "news.today"}}},
		"Stream.Get":                  &structs.StreamGetRequest{Name: "news"},
		"Stream.List":                 &structs.StreamListRequest{},
		"Stream.Read":                 &structs.StreamReadRequest{Name: "news"},
	}
}

func newSessionOn(t testing.TB, b *testBackend) string {
	t.Helper()
	return mustAsk[structs.SessionReply](t, b, "Session.Apply", &structs.SessionRequest{
		Op: structs.SessionCreate, Session: structs.Session{Node: "n1"},
	}).ID
}

func TestEveryMethodAnswersAGoodRequest(t *testing.T) {
	b := newTestBackend(t)
	requests := goodRequests(newSessionOn(t, b))
	for _, m := range Methods(b) {
		req, ok := requests[m.Name]
		if !ok {
			t.Errorf("%s is in no test: add it to goodRequests", m.Name)
			continue
		}
		if got, want := reflect.TypeOf(m.New()), reflect.TypeOf(req); got != want {
			t.Errorf("%s takes %s, want %s", m.Name, got, want)
			continue
		}
		rep, err := m.Handle(context.Background(), req)
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
			continue
		}
		if r, ok := rep.(interface{ Meta() *structs.QueryMeta }); ok {
			if meta := r.Meta(); meta.Index == 0 || !meta.KnownLeader || meta.LastContact == 0 {
				t.Errorf("%s: incomplete meta %+v", m.Name, *meta)
			}
		}
	}
}

func TestOnlyServersMayAskForReadIndexAndStats(t *testing.T) {
	for _, m := range Methods(newTestBackend(t)) {
		want := m.Name == "Status.ReadIndex" || m.Name == "Status.Stats"
		if m.ServersOnly != want {
			t.Errorf("%s: ServersOnly = %v, want %v", m.Name, m.ServersOnly, want)
		}
	}
}

// TestEveryMethodAsksTheAuthorizer: nothing is written, and nothing read, without a right.
func TestEveryMethodAsksTheAuthorizer(t *testing.T) {
	b := newTestBackend(t)
	requests := goodRequests(newSessionOn(t, b))
	b.set(t, "t", "secret")
	b.set(t, "k", "secret")
	b.sql(t, "create table secret(a)")
	b.may = denyAll{}
	b.applied = nil
	open := map[string]bool{ // see statusMethods and catalogDatacenters
		"Status.Leader": true, "Status.Peers": true, "Status.Ping": true, "Status.ReadIndex": true, "Status.Stats": true,
		"Catalog.Datacenters": true,
	}
	for _, m := range Methods(b) {
		if open[m.Name] {
			continue
		}
		rep, err := m.Handle(context.Background(), requests[m.Name])
		switch r := rep.(type) {
		case nil:
			if structs.KindOf(err) != structs.KindDenied {
				t.Errorf("%s: %v, want it denied", m.Name, err)
			}
		case *structs.SessionListReply:
			if len(r.Sessions) != 0 {
				t.Errorf("%s shows sessions", m.Name)
			}
		case *structs.NodeListReply:
			if len(r.Nodes) != 0 {
				t.Errorf("%s shows nodes", m.Name)
			}
		case *structs.NamespaceListReply:
			if len(r.Namespaces) != 0 {
				t.Errorf("%s shows namespaces", m.Name)
			}
		case *structs.StreamListReply:
			if len(r.Streams) != 0 {
				t.Errorf("%s shows streams", m.Name)
			}
		case *structs.SQLDatabaseListReply:
			if len(r.Databases) != 0 {
				t.Errorf("%s shows databases", m.Name)
			}
		default:
			t.Errorf("%s answered without a right: %+v", m.Name, rep)
		}
	}
	for _, m := range Streams(b) {
		wantKind(t, m.Handle(context.Background(), m.New(), strings.NewReader(""), io.Discard), structs.KindDenied)
	}
	if len(b.applied) != 0 {
		t.Errorf("commands were proposed without a right: %v", b.applied)
	}
}

// setOptions changes the options of a copy of req, reads and writes alike.
func setOptions(req any, ns structs.Namespace, dc, token string, forwarded bool) any {
	c := reflect.New(reflect.TypeOf(req).Elem())
	c.Elem().Set(reflect.ValueOf(req).Elem())
	switch r := c.Interface().(type) {
	case interface{ Query() *structs.QueryOptions }:
		o := r.Query()
		o.Namespace, o.Datacenter, o.Token, o.Forwarded = ns, dc, token, forwarded
	case interface{ Write() *structs.WriteOptions }:
		o := r.Write()
		o.Namespace, o.Datacenter, o.Token, o.Forwarded = ns, dc, token, forwarded
	}
	return c.Interface()
}

func TestEveryMethodKnowsItsDoor(t *testing.T) {
	b := newTestBackend(t)
	requests := goodRequests(newSessionOn(t, b))
	noDoor := map[string]bool{"Status.Ping": true, "Status.ReadIndex": true, "Status.Stats": true}
	for _, m := range Methods(b) {
		if noDoor[m.Name] {
			continue
		}
		req := requests[m.Name]
		for name, c := range map[string]struct {
			req  any
			want structs.Kind
		}{
			"other datacenter":  {setOptions(req, "", "elsewhere", "", false), structs.KindNoPath},
			"own datacenter":    {setOptions(req, "default", "dc1", "", false), 0},
			"unknown token":     {setOptions(req, "", "", "unknown", false), structs.KindDenied},
			"invalid namespace": {setOptions(req, "Not/Valid", "", "", false), structs.KindInvalid},
		} {
			_, err := m.Handle(context.Background(), c.req)
			if c.want == 0 && err != nil || c.want != 0 && (err == nil || structs.KindOf(err) != c.want) {
				t.Errorf("%s, %s: %v", m.Name, name, err)
			}
			if isForwarded(c.req) {
				t.Errorf("%s, %s: the request stays marked as forwarded", m.Name, name)
			}
		}
	}
}

// TestWritesAndLeaderReadsGoToTheLeader: and a forwarded request says so, so that it is not passed on twice.
func TestWritesAndLeaderReadsGoToTheLeader(t *testing.T) {
	b := newTestBackend(t)
	requests := goodRequests(newSessionOn(t, b))
	b.follower = true
	b.applied = nil
	for _, m := range Methods(b) {
		_, isWrite := requests[m.Name].(interface{ Write() *structs.WriteOptions })
		leaderRead := m.Name == "Operator.RaftConfiguration" || m.Name == "Operator.AutopilotHealth" || m.Name == "Operator.VerifyReport"
		b.forwards = nil
		_, err := m.Handle(context.Background(), setOptions(requests[m.Name], "", "", "", true))
		if isWrite || leaderRead {
			if err == nil || structs.KindOf(err) != structs.KindNoLeader {
				t.Errorf("%s: %v, want KindNoLeader on a follower", m.Name, err)
			}
			if len(b.forwards) != 1 || !b.forwards[0].Leader || !b.forwards[0].Forwarded {
				t.Errorf("%s: forwards %+v", m.Name, b.forwards)
			}
		} else if err != nil {
			t.Errorf("%s: %v, want an answer from a follower", m.Name, err)
		}
	}
	if len(b.applied) != 0 {
		t.Errorf("a follower proposed %v", b.applied)
	}
	_, err := ask[structs.KVGetReply](context.Background(), b, "KV.Get",
		&structs.KeyRequest{Key: "k", QueryOptions: structs.QueryOptions{Consistency: structs.Leader}})
	wantKind(t, err, structs.KindNoLeader)
	mustAsk[structs.RaftConfigReply](t, b, "Operator.RaftConfiguration",
		&structs.QueryRequest{QueryOptions: structs.QueryOptions{Consistency: structs.Stale}})
}

func TestReadsWaitUntilTheStateIsReady(t *testing.T) {
	b := newTestBackend(t)
	requests := goodRequests(newSessionOn(t, b))
	b.notReady = structs.Errorf(structs.KindUnavailable, "index not applied here")
	for _, method := range []string{
		"KV.Get", "KV.List", "KV.Keys", "KV.Count", "Txn.Read", "Session.Get", "Session.Node", "Session.List", "Session.Renew",
		"Namespace.List", "Namespace.Get", "Catalog.Nodes", "Catalog.Node", "Catalog.Datacenters", "Operator.AutopilotGet",
	} {
		_, err := ask[struct{}](context.Background(), b, method, requests[method])
		if err == nil || structs.KindOf(err) != structs.KindUnavailable {
			t.Errorf("%s: %v, want KindUnavailable", method, err)
		}
	}
	if len(b.renewed) != 0 {
		t.Error("a session was renewed by a server that could not prove that it leads")
	}
}

func TestQueryOptionsAreChecked(t *testing.T) {
	b := newTestBackend(t)
	for name, o := range map[string]structs.QueryOptions{
		"consistency":       {Consistency: 9},
		"negative wait":     {Wait: -1},
		"negative min wait": {MinWait: -1},
		"negative page":     {PerPage: -1},
		"garbage token":     {NextToken: "garbage"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ask[structs.KVListReply](context.Background(), b, "KV.List", &structs.KVListRequest{QueryOptions: o})
			wantKind(t, err, structs.KindInvalid)
		})
	}
}

// TestTheLogHoldsNoToken: a token in a log entry would be readable by every server for ever.
func TestTheLogHoldsNoToken(t *testing.T) {
	b := newTestBackend(t)
	spy := &spyBackend{testBackend: b}
	requests := goodRequests(newSessionOn(t, b))
	for _, m := range Methods(spy) {
		req := requests[m.Name]
		if _, ok := req.(interface{ Write() *structs.WriteOptions }); !ok {
			continue
		}
		if _, err := m.Handle(context.Background(), setOptions(req, "", "", "sesame-open", false)); err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
	}
	if len(spy.bodies) < 5 {
		t.Fatalf("%d commands were proposed, want one of each kind", len(spy.bodies))
	}
	for _, body := range spy.bodies {
		if strings.Contains(body, "sesame-open") {
			t.Errorf("the token is in the log: %q", body)
		}
	}
}

type spyBackend struct {
	*testBackend
	bodies []string
}

func (s *spyBackend) Apply(ctx context.Context, t structs.CommandType, body any) (any, uint64, error) {
	raw, err := structs.Encode(body)
	if err != nil {
		return nil, 0, err
	}
	s.bodies = append(s.bodies, string(raw))
	return s.testBackend.Apply(ctx, t, body)
}
