package overlay

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
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
