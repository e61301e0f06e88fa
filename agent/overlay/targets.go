package overlay

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// source is who named a peer; a peer may have several.
type source uint8

const (
	fromLearned   source = 1 << iota // another member, or mDNS
	fromSaved                        // it was a member when this node last ran
	fromNeighbor                     // gossip: a member of the LAN
	fromServer                       // gossip: a server of the LAN, always kept connected
	fromBootstrap                    // the configuration
	fromOperator                     // debros connect
)

// lasting are sources whose peers are kept however often they fail, and told are those that say where a peer
// is and are not believed everything.
const (
	lasting = fromNeighbor | fromServer | fromBootstrap | fromOperator
	told    = fromLearned | fromSaved
)

// target is a peer that this node knows how to reach.
type target struct {
	info    peer.AddrInfo
	source  source
	fails   int
	next    time.Time // not before
	dialing bool
	lastErr error

	pinging  bool
	pinged   time.Time
	misses   int
	lastSeen time.Time
}

// add makes a peer known from a source. Addresses are merged for a learned peer and replaced by a source
// that is sure of them. It reports whether the peer is held.
func (k *keeper) add(info peer.AddrInfo, from source) bool {
	if info.ID == k.o.host.ID() || info.ID == "" {
		return false
	}
	k.mu.Lock()
	t := k.targets[info.ID]
	if t == nil {
		if from == fromLearned && len(k.targets) >= learnedMax {
			k.mu.Unlock()
			return false
		}
		t = &target{info: peer.AddrInfo{ID: info.ID}}
		k.targets[info.ID] = t
	}
	if t.source&from == 0 || from == fromOperator {
		t.next, t.fails = time.Time{}, 0
	}
	t.source |= from
	if from&told == 0 {
		t.info.Addrs = info.Addrs
		k.o.gater.name(info.ID, info.Addrs)
	} else if t.source&lasting == 0 {
		t.info.Addrs = info.Addrs
	}
	k.mu.Unlock()
	k.poke()
	return true
}

// drop takes a source away from a peer.
func (k *keeper) drop(p peer.ID, from source) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.targets[p]
	if t == nil {
		return
	}
	if t.source &^= from; t.source == 0 && !t.dialing && !t.pinging {
		delete(k.targets, p)
	}
	if t.source&lasting == 0 {
		k.o.gater.forget(p)
	}
}

// of are the peers of a source.
func (k *keeper) of(from source) map[peer.ID]bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := map[peer.ID]bool{}
	for p, t := range k.targets {
		if t.source&from != 0 {
			out[p] = true
		}
	}
	return out
}

// joined notes that a peer is a member now. It is kept even if it came by itself.
func (k *keeper) joined(p peer.ID) {
	k.add(peer.AddrInfo{ID: p, Addrs: k.o.rule.filter(k.o.host.Peerstore().Addrs(p))}, fromLearned)
	k.mu.Lock()
	defer k.mu.Unlock()
	if t := k.targets[p]; t != nil {
		now := time.Now()
		t.fails, t.misses, t.lastErr, t.pinged, t.lastSeen, t.next = 0, 0, nil, now, now, time.Time{}
	}
}

// lost notes that a member is gone: it is dialled again soon, not at once, since it may just restart.
func (k *keeper) lost(p peer.ID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t := k.targets[p]; t != nil {
		t.next = time.Now().Add(jitter(k.o.cfg.RetryInterval / 5))
		t.misses = 0
	}
}
