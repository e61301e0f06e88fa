package rpc

import (
	"context"
	"io"
	"net"
	"reflect"
	"testing"

	"github.com/debros/debros/rpc/transport"
	"github.com/debros/debros/structs"
)

// overTheWire serves methods on loopback and returns a pool with its address.
func overTheWire(t *testing.T, methods []transport.Method, streams []transport.StreamMethod) (*transport.Pool, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv, err := transport.Listen(l, transport.Config{}, methods, streams)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve() }()
	pool := transport.NewPool(transport.Config{}, nil)
	t.Cleanup(func() {
		pool.Close()
		srv.Close()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return pool, l.Addr().String()
}

// TestEveryMethodIsTheSameOverTheWire: what a client agent sees is what a server's own agent sees.
func TestEveryMethodIsTheSameOverTheWire(t *testing.T) {
	b := newTestBackend(t)
	session := newSessionOn(t, b)
	b.set(t, "t", "value")
	pool, addr := overTheWire(t, Methods(b), Streams(b))
	requests := goodRequests(session)
	for _, m := range Methods(b) {
		req := requests[m.Name]
		local, err := m.Handle(context.Background(), req)
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
			continue
		}
		remote := reflect.New(reflect.TypeOf(local).Elem()).Interface()
		if err := pool.Call(t.Context(), addr, m.Name, req, remote); err != nil {
			t.Errorf("%s over the wire: %v", m.Name, err)
			continue
		}
		if _, isWrite := req.(interface{ Write() *structs.WriteOptions }); isWrite {
			continue // done twice: other indexes, other ids
		}
		want, err := structs.Encode(local)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := structs.Encode(remote); err != nil || string(got) != string(want) {
			t.Errorf("%s: %+v over the wire, %+v here (%v)", m.Name, remote, local, err)
		}
	}
}

func TestErrorsKeepTheirKindOverTheWire(t *testing.T) {
	b := newTestBackend(t)
	pool, addr := overTheWire(t, Methods(b), Streams(b))
	err := pool.Call(t.Context(), addr, "KV.Apply", &structs.KVRequest{Op: structs.KVSet}, &structs.KVReply{})
	wantKind(t, err, structs.KindInvalid)
	err = pool.Stream(t.Context(), addr, "Snapshot.Save", &structs.SnapshotRequest{QueryOptions: structs.QueryOptions{Token: "unknown"}}, nil, io.Discard)
	wantKind(t, err, structs.KindDenied)
}

// TestBlockingQueryOverTheWireEndsWithItsCaller: or every client that hangs up leaves a watch behind.
func TestBlockingQueryOverTheWireEndsWithItsCaller(t *testing.T) {
	methods := Methods(newTestBackend(t))
	begun, ended := make(chan struct{}), make(chan error, 1)
	for i, m := range methods {
		if m.Name == "KV.Get" {
			methods[i].Handle = func(ctx context.Context, req any) (any, error) {
				close(begun)
				rep, err := m.Handle(ctx, req)
				ended <- err
				return rep, err
			}
		}
	}
	pool, addr := overTheWire(t, methods, nil)
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() {
		req := &structs.KeyRequest{Key: "a", QueryOptions: structs.QueryOptions{Index: 1 << 40}}
		answered <- pool.Call(ctx, addr, "KV.Get", req, &structs.KVGetReply{})
	}()
	<-begun
	cancel()
	wantKind(t, <-answered, structs.KindCanceled)
	wantKind(t, <-ended, structs.KindCanceled)
}
