package overlay

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
)

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
