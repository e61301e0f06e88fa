package overlay

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	metrics "github.com/hashicorp/go-metrics"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
)

// How peers are dialled (N47, N48).
const (
	dialsMax     = 3
	dialTries    = 3
	backoffMin   = 10 * time.Second
	backoffMax   = 30 * time.Second // a site that comes back is whole within this
	learnedFails = 3 * dialTries    // a peer that was only told of and failed as often is forgotten
	pingMisses   = 3
	pingsMax     = 32 // at once
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
		if t.pinging || now.Sub(t.pinged) < k.o.cfg.PingInterval || !k.o.members.has(p) {
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

// dial connects to a peer and has it prove that it is a member.
func (k *keeper) dial(ctx context.Context, info peer.AddrInfo) {
	err := k.o.connect(ctx, info)
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dialing--
	t := k.targets[info.ID]
	if t == nil {
		return
	}
	t.dialing, t.lastErr = false, err
	if err == nil {
		t.fails = 0
		return
	}
	if ctx.Err() != nil {
		return
	}
	t.fails++
	t.next = now.Add(k.retryAfter(t.fails, err))
	k.o.log.Debug("overlay: peer not reached", "peer", info.ID, "fails", t.fails, "error", err)
	// While nobody is reached, it is this node that is cut off: whom it knew is its way back.
	tooOften := t.fails >= learnedFails && len(k.o.members.list()) > 0
	if t.source&lasting == 0 && (tooOften || errors.Is(err, errNotMember)) {
		delete(k.targets, info.ID)
	}
}

// retryAfter is how long to wait after so many failures: a few quick tries, then a growing pause.
func (k *keeper) retryAfter(fails int, err error) time.Duration {
	if fails%dialTries != 0 && !errors.Is(err, errNotMember) {
		return k.o.cfg.RetryInterval
	}
	return jitter(min(backoffMax, backoffMin<<min(fails/dialTries, 4)))
}

// jitter takes between half of d and all of it.
func jitter(d time.Duration) time.Duration {
	if d <= 1 {
		return d
	}
	return d/2 + rand.N(d/2)
}

// ping looks whether a member answers; after pingMisses its connections are closed, so that it is
// dialled anew.
func (k *keeper) ping(ctx context.Context, p peer.ID) {
	_, err := k.o.pingOnce(ctx, p)
	k.mu.Lock()
	k.pinging--
	t := k.targets[p]
	if t == nil {
		k.mu.Unlock()
		return
	}
	t.pinging = false
	dead := false
	if err == nil {
		t.misses, t.lastSeen = 0, time.Now()
	} else if ctx.Err() == nil {
		t.misses++
		dead = t.misses >= pingMisses
	}
	k.mu.Unlock()
	if dead {
		metrics.IncrCounter([]string{"overlay", "lost"}, 1)
		k.o.log.Info("overlay: a member does not answer; its connections are closed", "peer", p, "error", err)
		_ = k.o.host.Network().ClosePeer(p)
	}
}

// pingOnce sends one ping over whatever connection there is.
func (o *Overlay) pingOnce(ctx context.Context, p peer.ID) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, max(o.cfg.PingInterval, time.Second))
	defer cancel()
	s, err := o.host.NewStream(network.WithNoDial(network.WithAllowLimitedConn(ctx, "ping"), "ping"), p, ping.ID)
	if err != nil {
		return 0, err
	}
	defer s.Reset() //nolint:errcheck // it has served
	d, _ := ctx.Deadline()
	_ = s.SetDeadline(d)
	rtt, err := pingStream(s)
	if err == nil {
		o.host.Peerstore().RecordLatency(p, rtt)
	}
	return rtt, err
}

// connect dials a peer unless it is connected, and has it prove that it is a member. A stranger is let go.
func (o *Overlay) connect(ctx context.Context, info peer.AddrInfo) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	o.host.Peerstore().AddAddrs(info.ID, info.Addrs, peerstore.TempAddrTTL)
	// When to try again is decided here, not by libp2p's own pauses between dials.
	if n, ok := o.host.Network().(interface{ Backoff() *swarm.DialBackoff }); ok {
		n.Backoff().Clear(info.ID)
	}
	if err := o.host.Connect(ctx, peer.AddrInfo{ID: info.ID}); err != nil {
		return err
	}
	err := o.members.ensure(ctx, info.ID)
	if err != nil && ctx.Err() == nil {
		_ = o.host.Network().ClosePeer(info.ID)
	}
	return err
}
