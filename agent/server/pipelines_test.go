package server

import (
	"net"
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
