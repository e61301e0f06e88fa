package pubsub

import (
	"regexp"
	"sync"

	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// peerTopicsMax bounds the carriers that GossipSub remembers a peer to have joined.
const peerTopicsMax = 8192

var carrierRE = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,127}\.([0-9]{1,2}|presence|events)$`)

// filter refuses subscriptions of other agents to what is no carrier, and to too many.
type filter struct {
	b *Bus

	mu     sync.Mutex // protects the following
	topics map[peer.ID]map[string]struct{}
}

func newFilter(b *Bus) *filter { return &filter{b: b, topics: map[peer.ID]map[string]struct{}{}} }

// CanSubscribe implements pubsub.SubscriptionFilter.
func (f *filter) CanSubscribe(topic string) bool { return carrierRE.MatchString(topic) }

// FilterIncomingSubscriptions implements pubsub.SubscriptionFilter.
func (f *filter) FilterIncomingSubscriptions(from peer.ID, subs []*pb.RPC_SubOpts) ([]*pb.RPC_SubOpts, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.topics[from] == nil {
		f.forget()
		f.topics[from] = map[string]struct{}{}
	}
	have := f.topics[from]
	out := subs[:0]
	for _, s := range subs {
		topic := s.GetTopicid()
		switch _, known := have[topic]; {
		case !s.GetSubscribe():
			delete(have, topic)
		case !f.CanSubscribe(topic), !known && len(have) >= peerTopicsMax:
			count("refused", 1)
			continue
		default:
			have[topic] = struct{}{}
		}
		out = append(out, s)
	}
	return out, nil
}

// forget drops peers that are gone; a new one is when there may be some.
func (f *filter) forget() {
	for p := range f.topics {
		if f.b.cfg.Host.Network().Connectedness(p) == network.NotConnected {
			delete(f.topics, p)
		}
	}
}
