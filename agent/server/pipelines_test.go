package server

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// silentLayer connects to a peer that reads and never answers.
type silentLayer struct{ net.Listener }

func (silentLayer) Dial(raft.ServerAddress, time.Duration) (net.Conn, error) {
	here, there := net.Pipe()
	go func() {
		buf := make([]byte, 4096)
		for {
			if _, err := there.Read(buf); err != nil {
				return
			}
		}
	}()
	return here, nil
}

func TestASenderBlockedInAPipelineIsFreedWhenRaftStops(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	trans := &pipelineTransport{NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: silentLayer{l}, Timeout: time.Hour, Logger: hclog.NewNullLogger(),
	})}
	defer trans.Close()
	p, err := trans.AppendEntriesPipeline("peer", "peer@nowhere")
	if err != nil {
		t.Fatal(err)
	}
	freed := make(chan error, 1)
	go func() {
		for { // until the hand-off blocks: nobody takes answers
			if _, err := p.AppendEntries(&raft.AppendEntriesRequest{}, &raft.AppendEntriesResponse{}); err != nil {
				freed <- err
				return
			}
		}
	}()
	select {
	case err := <-freed:
		t.Fatalf("the sender did not block: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	trans.closePipelines()
	select {
	case <-freed:
	case <-time.After(patience):
		t.Fatal("the sender is still blocked")
	}
	if len(trans.open) != 0 {
		t.Errorf("%d pipelines are still listed", len(trans.open))
	}
}

// A heartbeat under way when the server closes would write to a log that is closed by then: raft panics at that.
func TestClosingWaitsForHeartbeatsAndRefusesMore(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	trans := &pipelineTransport{NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: silentLayer{l}, Timeout: time.Second, Logger: hclog.NewNullLogger(),
	})}
	defer trans.Close()
	begun, finish := make(chan struct{}), make(chan struct{})
	var handled atomic.Int32
	handle := trans.whileOpen(func(rpc raft.RPC) {
		begun <- struct{}{}
		<-finish
		handled.Add(1)
		rpc.Respond(&raft.AppendEntriesResponse{}, nil)
	})
	first := make(chan raft.RPCResponse, 1)
	go handle(raft.RPC{RespChan: first})
	<-begun
	ended := make(chan struct{})
	go func() {
		trans.endHeartbeats()
		if handled.Load() != 1 {
			t.Error("it did not wait for the heartbeat")
		}
		close(ended)
	}()
	time.Sleep(50 * time.Millisecond)
	close(finish)
	<-ended
	if r := <-first; r.Error != nil {
		t.Error(r.Error)
	}
	late := make(chan raft.RPCResponse, 1)
	handle(raft.RPC{RespChan: late})
	if r := <-late; !errors.Is(r.Error, raft.ErrRaftShutdown) || handled.Load() != 1 {
		t.Errorf("a late heartbeat: %v, %d handled", r.Error, handled.Load())
	}
}
