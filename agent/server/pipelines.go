package server

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// pipelineTransport closes pipelines that raft would wait on for ever. In hashicorp/raft 1.8 a sender
// blocks in AppendEntries when the goroutine that takes the answers has ended (a newer term was seen)
// while requests were under way; only Close would free it, and only the sender calls Close. The
// goroutine then leaks, and Shutdown never ends.
type pipelineTransport struct {
	*raft.NetworkTransport

	// mu protects the following.
	mu   sync.Mutex
	open map[*pipeline]struct{}

	heartbeats sync.RWMutex // read-locked while one is handled; protects the following
	deaf       bool
}

// SetHeartbeatHandler implements raft.Transport.
func (t *pipelineTransport) SetHeartbeatHandler(handle func(raft.RPC)) {
	t.NetworkTransport.SetHeartbeatHandler(t.whileOpen(handle))
}

// whileOpen is handle until endHeartbeats.
func (t *pipelineTransport) whileOpen(handle func(raft.RPC)) func(raft.RPC) {
	return func(rpc raft.RPC) {
		t.heartbeats.RLock()
		defer t.heartbeats.RUnlock()
		if t.deaf {
			rpc.Respond(nil, raft.ErrRaftShutdown)
			return
		}
		handle(rpc)
	}
}

// endHeartbeats waits for the heartbeats that are being handled, and has those refused that come yet. Raft takes them on the
// connections' own goroutines, for which its shutdown does not wait: one with a new term would meet a closed log, and panic.
func (t *pipelineTransport) endHeartbeats() {
	t.heartbeats.Lock()
	defer t.heartbeats.Unlock()
	t.deaf = true
}

// AppendEntriesPipeline implements raft.Transport.
func (t *pipelineTransport) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	inner, err := t.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	p := &pipeline{AppendPipeline: inner, from: t}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = make(map[*pipeline]struct{})
	}
	t.open[p] = struct{}{}
	return p, nil
}

// closePipelines frees whoever is blocked in one; raft is shutting down.
func (t *pipelineTransport) closePipelines() {
	t.mu.Lock()
	var all []*pipeline
	for p := range t.open {
		all = append(all, p)
	}
	t.mu.Unlock()
	for _, p := range all {
		_ = p.Close() // the error is that of a connection that is given up anyway
	}
}

// pipeline is one that its transport knows of.
type pipeline struct {
	raft.AppendPipeline
	from *pipelineTransport
}

// AppendEntries implements raft.AppendPipeline. It never blocks longer than a message may take: answers
// that nobody took for so long are answers that nobody will take.
func (p *pipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	guard := time.AfterFunc(raftTransportTimeout, func() { _ = p.AppendPipeline.Close() })
	defer guard.Stop()
	return p.AppendPipeline.AppendEntries(args, resp)
}

// Close implements raft.AppendPipeline.
func (p *pipeline) Close() error {
	p.from.mu.Lock()
	delete(p.from.open, p)
	p.from.mu.Unlock()
	return p.AppendPipeline.Close()
}
