package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

func TestNamespaceLife(t *testing.T) {
	b := newTestBackend(t)
	apply := func(op structs.NamespaceOp, info structs.NamespaceInfo) (*structs.NamespaceReply, error) {
		return ask[structs.NamespaceReply](context.Background(), b, "Namespace.Apply", &structs.NamespaceRequest{Op: op, Namespace: info})
	}
	rep, err := apply(structs.NamespaceCreate, structs.NamespaceInfo{Name: "team", Description: "ours", Meta: map[string]string{"a": "b"}})
	if err != nil || rep.Index == 0 || rep.Namespace.Description != "ours" {
		t.Fatalf("create: %+v, %v", rep, err)
	}
	_, err = apply(structs.NamespaceCreate, structs.NamespaceInfo{Name: "team"})
	wantKind(t, err, structs.KindConflict)
	got := mustAsk[structs.NamespaceListReply](t, b, "Namespace.Get", &structs.NamespaceListRequest{Name: "team"}).Namespaces
	if len(got) != 1 || got[0].Meta["a"] != "b" {
		t.Errorf("get: %+v", got)
	}
	if _, err := apply(structs.NamespaceDelete, structs.NamespaceInfo{Name: "team"}); err != nil {
		t.Error(err)
	}
	if n := len(mustAsk[structs.NamespaceListReply](t, b, "Namespace.Get", &structs.NamespaceListRequest{Name: "team"}).Namespaces); n != 0 {
		t.Errorf("%d namespaces after the deletion", n)
	}
	many := map[string]string{}
	for i := range metaPairsMax + 1 {
		many[strings.Repeat("k", i+1)] = ""
	}
	for name, c := range map[string]struct {
		op   structs.NamespaceOp
		info structs.NamespaceInfo
		want structs.Kind
	}{
		"no name":              {structs.NamespaceCreate, structs.NamespaceInfo{}, structs.KindInvalid},
		"invalid name":         {structs.NamespaceCreate, structs.NamespaceInfo{Name: "../etc"}, structs.KindInvalid},
		"unknown operation":    {"rename", structs.NamespaceInfo{Name: "a"}, structs.KindInvalid},
		"default is for ever":  {structs.NamespaceDelete, structs.NamespaceInfo{Name: "default"}, structs.KindInvalid},
		"long description":     {structs.NamespaceCreate, structs.NamespaceInfo{Name: "a", Description: strings.Repeat("x", 2000)}, structs.KindTooLarge},
		"description in bytes": {structs.NamespaceCreate, structs.NamespaceInfo{Name: "a", Description: "\xff"}, structs.KindInvalid},
		"too many pairs":       {structs.NamespaceCreate, structs.NamespaceInfo{Name: "a", Meta: many}, structs.KindTooLarge},
		"empty meta key":       {structs.NamespaceCreate, structs.NamespaceInfo{Name: "a", Meta: map[string]string{"": "x"}}, structs.KindInvalid},
		"long meta value":      {structs.NamespaceCreate, structs.NamespaceInfo{Name: "a", Meta: map[string]string{"k": strings.Repeat("x", 600)}}, structs.KindTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			b.applied = nil
			_, err := apply(c.op, c.info)
			wantKind(t, err, c.want)
			if len(b.applied) != 0 {
				t.Error("it was proposed all the same")
			}
		})
	}
}

func TestCatalogAnswersFromTheNodesTable(t *testing.T) {
	b := newTestBackend(t)
	b.apply(t, structs.CommandNode, &structs.NodeRequest{Op: structs.NodeUpsert, Node: structs.Node{
		ID: "n2", Name: "n2", Datacenter: "dc0", Status: structs.NodeAlive,
	}})
	if n := len(mustAsk[structs.NodeListReply](t, b, "Catalog.Nodes", &structs.NodeListRequest{}).Nodes); n != 2 {
		t.Errorf("%d nodes, want 2", n)
	}
	one := mustAsk[structs.NodeListReply](t, b, "Catalog.Node", &structs.NodeListRequest{Name: "n2"}).Nodes
	if len(one) != 1 || one[0].ID != "n2" {
		t.Errorf("got %+v", one)
	}
	if n := len(mustAsk[structs.NodeListReply](t, b, "Catalog.Node", &structs.NodeListRequest{Name: "nobody"}).Nodes); n != 0 {
		t.Errorf("%d nodes of an unknown name", n)
	}
	dcs := mustAsk[structs.DatacentersReply](t, b, "Catalog.Datacenters", &structs.QueryRequest{}).Datacenters
	if !slices.Equal(dcs, []string{"dc0", "dc1"}) {
		t.Errorf("datacenters %v", dcs)
	}
}

func TestNodesRegisterTheirMeta(t *testing.T) {
	b := newTestBackend(t)
	register := func(req structs.NodeRegisterRequest) error {
		_, err := ask[structs.WriteReply](context.Background(), b, "Catalog.Register", &req)
		return err
	}
	if err := register(structs.NodeRegisterRequest{ID: "n1", Name: "n1", Meta: map[string]string{"rack": "7"}}); err != nil {
		t.Fatal(err)
	}
	if n := mustAsk[structs.NodeListReply](t, b, "Catalog.Node", &structs.NodeListRequest{Name: "n1"}).Nodes[0]; n.Meta["rack"] != "7" {
		t.Errorf("meta %v", n.Meta)
	}
	wantKind(t, register(structs.NodeRegisterRequest{Name: "n1"}), structs.KindInvalid)
	wantKind(t, register(structs.NodeRegisterRequest{ID: "n1"}), structs.KindInvalid)
	wantKind(t, register(structs.NodeRegisterRequest{ID: "n1", Name: "n1", Meta: map[string]string{"\x00": ""}}), structs.KindInvalid)
	wantKind(t, register(structs.NodeRegisterRequest{ID: "n9", Name: "n9"}), structs.KindUnavailable)
	wantKind(t, register(structs.NodeRegisterRequest{ID: "clone", Name: "n1"}), structs.KindUnavailable)
}

func TestAutopilotHasADefaultAndCAS(t *testing.T) {
	b := newTestBackend(t)
	get := func() *structs.AutopilotReply {
		return mustAsk[structs.AutopilotReply](t, b, "Operator.AutopilotGet", &structs.QueryRequest{})
	}
	if c := get().Config; !c.CleanupDeadServers || c.MaxTrailingLogs != 250 || c.ModifyIndex != 0 {
		t.Errorf("before anything was set: %+v", c)
	}
	set := mustAsk[structs.AutopilotReply](t, b, "Operator.AutopilotSet", &structs.AutopilotRequest{Config: structs.AutopilotConfig{MinQuorum: 3, LastContactThreshold: time.Second}})
	if !set.OK || get().Config.MinQuorum != 3 {
		t.Errorf("set: %+v, then %+v", set, get())
	}
	stale := mustAsk[structs.AutopilotReply](t, b, "Operator.AutopilotSet", &structs.AutopilotRequest{CAS: true, Config: structs.AutopilotConfig{MinQuorum: 5, LastContactThreshold: time.Second, ModifyIndex: 1}})
	if stale.OK || get().Config.MinQuorum != 3 {
		t.Errorf("CAS with a stale index: %+v, then %+v", stale, get())
	}
	for _, bad := range []structs.AutopilotConfig{
		{LastContactThreshold: -1},
		{LastContactThreshold: 0}, // no server would be healthy
		{LastContactThreshold: time.Second, ServerStabilizationTime: -1},
		{LastContactThreshold: time.Second, MinQuorum: 1000},
	} {
		_, err := ask[structs.AutopilotReply](context.Background(), b, "Operator.AutopilotSet", &structs.AutopilotRequest{Config: bad})
		wantKind(t, err, structs.KindInvalid)
	}
}

func TestRaftPeersAreNamedOneWay(t *testing.T) {
	b := newTestBackend(t)
	for name, c := range map[string]struct {
		req  structs.RaftPeerRequest
		want structs.Kind
	}{
		"neither": {structs.RaftPeerRequest{}, structs.KindInvalid},
		"both":    {structs.RaftPeerRequest{ID: "n2", Address: "127.0.0.1:7001"}, structs.KindInvalid},
		"garbage": {structs.RaftPeerRequest{ID: "n\x00"}, structs.KindInvalid},
		"unknown": {structs.RaftPeerRequest{ID: "unknown"}, structs.KindNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ask[structs.WriteReply](context.Background(), b, "Operator.RaftRemovePeer", &c.req)
			wantKind(t, err, c.want)
		})
	}
	if i := mustAsk[structs.WriteReply](t, b, "Operator.RaftRemovePeer", &structs.RaftPeerRequest{Address: "127.0.0.1:7001"}).Index; i != 77 {
		t.Errorf("index %d, want that of the configuration entry", i)
	}
}

func stream(t *testing.T, b Backend, method string, o structs.QueryOptions, in io.Reader, out io.Writer) error {
	t.Helper()
	for _, m := range Streams(b) {
		if m.Name == method {
			return m.Handle(t.Context(), &structs.SnapshotRequest{QueryOptions: o}, in, out)
		}
	}
	return errors.New("no such stream: " + method)
}

func TestSnapshotGoesOutAndIn(t *testing.T) {
	b := newTestBackend(t)
	b.set(t, "a", "kept")
	var archive bytes.Buffer
	if err := stream(t, b, "Snapshot.Save", structs.QueryOptions{}, nil, &archive); err != nil {
		t.Fatal(err)
	}
	b.set(t, "a", "forgotten")
	broken := bytes.NewReader(archive.Bytes()[:archive.Len()-1])
	wantKind(t, stream(t, b, "Snapshot.Restore", structs.QueryOptions{}, broken, nil), structs.KindInvalid)
	wantKind(t, stream(t, b, "Snapshot.Restore", structs.QueryOptions{}, nil, nil), structs.KindInvalid)
	if got := mustAsk[structs.KVGetReply](t, b, "KV.Get", &structs.KeyRequest{Key: "a"}).Entry; string(got.Value) != "forgotten" {
		t.Errorf("a broken archive changed the state: %+v", got)
	}
	if err := stream(t, b, "Snapshot.Restore", structs.QueryOptions{}, &archive, nil); err != nil {
		t.Fatal(err)
	}
	if got := mustAsk[structs.KVGetReply](t, b, "KV.Get", &structs.KeyRequest{Key: "a"}).Entry; string(got.Value) != "kept" {
		t.Errorf("after the restore: %+v", got)
	}
}

func TestSnapshotStreamsKnowTheirDoor(t *testing.T) {
	b := newTestBackend(t)
	for _, method := range []string{"Snapshot.Save", "Snapshot.Restore"} {
		wantKind(t, stream(t, b, method, structs.QueryOptions{Datacenter: "elsewhere"}, strings.NewReader(""), io.Discard), structs.KindNoPath)
		wantKind(t, stream(t, b, method, structs.QueryOptions{Token: "unknown"}, strings.NewReader(""), io.Discard), structs.KindDenied)
	}
	b.follower = true
	wantKind(t, stream(t, b, "Snapshot.Restore", structs.QueryOptions{}, strings.NewReader(""), nil), structs.KindNoLeader)
	b.notReady = structs.Errorf(structs.KindNoLeader, "no cluster leader")
	var out bytes.Buffer
	wantKind(t, stream(t, b, "Snapshot.Save", structs.QueryOptions{}, nil, &out), structs.KindNoLeader)
	if out.Len() != 0 {
		t.Error("bytes were written before the error")
	}
}
