package overlay

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// How peers are dialled (N47, N48).
const (
	dialsMax     = 3
	dialTries    = 3
	backoffMin   = 10 * time.Second
	backoffMax   = 30 * time.Second // a site that comes back is whole within this
	learnedFails = 3 * dialTries    // a peer that was only told of and failed as often is forgotten
	pingMisses   = 3
	pingTimeout  = 2 * time.Second // three in a row are missed by who is gone, hardly by who is far
	pingsMax     = 32              // at once
	// peersFew members are looked for at once, more of them in no hurry: agents of a site start together, and
	// each connection costs two of them a handshake, an identification and a proof.
	peersFew = 4
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

// keeper keeps connections: libp2p does not dial a peer again that was lost, and needs half a minute to
// notice that it was.
type keeper struct {
	o    *Overlay
	wake chan struct{} // capacity 1

	mu      sync.Mutex // protects the following
	targets map[peer.ID]*target
	dialing int
	pinging int
	further time.Time // when one more member may be dialled beyond peersFew
}

func newKeeper(o *Overlay) *keeper {
	return &keeper{o: o, wake: make(chan struct{}, 1), targets: map[peer.ID]*target{}}
}

// run dials and pings until ctx ends.
func (k *keeper) run(ctx context.Context) {
	period := min(time.Second, k.o.cfg.RetryInterval/2, k.o.cfg.PingInterval/2)
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		k.pass(ctx, time.Now())
		select {
		case <-tick.C:
		case <-k.wake:
		case <-ctx.Done():
			return
		}
	}
}

func (k *keeper) poke() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
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

// pass starts what is due.
func (k *keeper) pass(ctx context.Context, now time.Time) {
	members := len(k.o.members.list())
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, wave := range []source{fromOperator | fromBootstrap | fromServer, fromNeighbor, told} {
		for p, t := range k.targets {
			if k.dialing >= dialsMax {
				break
			}
			if t.source&wave == 0 || t.dialing || now.Before(t.next) || k.o.members.has(p) {
				continue
			}
			if wave&(fromNeighbor|told) != 0 && !k.wants(members+k.dialing, now) {
				break
			}
			t.dialing = true
			k.dialing++
			info := t.info
			k.o.wg.Go(func() { k.dial(ctx, info) })
		}
	}
	for p, t := range k.targets {
		if k.pinging >= pingsMax {
			break
		}
		after := k.o.cfg.PingInterval
		if t.misses > 0 {
			after = min(after, pingTimeout) // at once after a timeout, but a ping that cannot be sent proves nothing in a hurry
		}
		if t.pinging || now.Sub(t.pinged) < after || !k.o.members.has(p) {
			continue
		}
		t.pinging, t.pinged = true, now
		k.pinging++
		k.o.wg.Go(func() { k.ping(ctx, p) })
	}
}

// peersWanted is how many members are enough. Most hold no part of the table, so a node that knows none of those
// who do goes beyond the target to find one.
func (o *Overlay) peersWanted() int {
	if o.table.lonely() {
		return o.cfg.PeersTarget + peersFew
	}
	return o.cfg.PeersTarget
}

// wants reports whether to dial one more member that need not be kept, when there are so many. k.mu is held.
func (k *keeper) wants(members int, now time.Time) bool {
	if members < k.o.peersWanted() && (members < peersFew || k.o.table.lonely() && !k.knowsServer()) {
		return true
	}
	if members >= k.o.cfg.PeersTarget || now.Before(k.further) {
		return false
	}
	k.further = now.Add(jitter(k.o.cfg.DiscoveryInterval))
	return true
}

// knowsServer reports whether gossip knows a server, which holds the table and is dialled anyway. k.mu is held.
func (k *keeper) knowsServer() bool {
	for _, t := range k.targets {
		if t.source&fromServer != 0 {
			return true
		}
	}
	return false
}
