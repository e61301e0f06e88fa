package pubsub

import (
	ps "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// tracer hears of what GossipSub loses, which it does without an error to anybody.
type tracer struct{ b *Bus }

var _ ps.RawTracer = tracer{}

// DropRPC implements pubsub.RawTracer: a peer's queue is full.
func (t tracer) DropRPC(*ps.RPC, peer.ID) {
	t.b.dropped.Add(1)
	count("mesh_dropped", 1)
}

// UndeliverableMessage implements pubsub.RawTracer: our own queue is full.
func (tracer) UndeliverableMessage(*ps.Message) { count("mesh_dropped", 1) }

// RejectMessage implements pubsub.RawTracer.
func (tracer) RejectMessage(_ *ps.Message, reason string) {
	if reason == ps.RejectValidationQueueFull || reason == ps.RejectValidationThrottled {
		count("mesh_dropped", 1)
	}
}

// The rest of pubsub.RawTracer is of no interest here.

func (tracer) OnNewOutboundStream(peer.ID, protocol.ID) {}
func (tracer) OnClosedOutboundStream(peer.ID)           {}
func (tracer) Join(string)                              {}
func (tracer) Leave(string)                             {}
func (tracer) Graft(peer.ID, string)                    {}
func (tracer) Prune(peer.ID, string)                    {}
func (tracer) ValidateMessage(*ps.Message)              {}
func (tracer) DeliverMessage(*ps.Message)               {}
func (tracer) DuplicateMessage(*ps.Message)             {}
func (tracer) ThrottlePeer(peer.ID)                     {}
func (tracer) RecvRPC(*ps.RPC)                          {}
func (tracer) SendRPC(*ps.RPC, peer.ID)                 {}
