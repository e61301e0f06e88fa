package overlay

import (
	"context"
	"time"

	metrics "github.com/hashicorp/go-metrics"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
)

// suspect has a member pinged at once: it leaves somebody without an answer.
func (k *keeper) suspect(p peer.ID) {
	k.mu.Lock()
	if t := k.targets[p]; t != nil && t.misses == 0 {
		t.pinged = time.Time{}
	}
	k.mu.Unlock()
	k.poke()
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
	missed := t.misses > 0
	k.mu.Unlock()
	if missed {
		k.poke() // the next one goes out at once
	}
	if dead {
		metrics.IncrCounter([]string{"overlay", "lost"}, 1)
		k.o.log.Info("overlay: a member does not answer; its connections are closed", "peer", p, "error", err)
		_ = k.o.host.Network().ClosePeer(p)
	}
}

// pingOnce sends one ping over whatever connection there is.
func (o *Overlay) pingOnce(ctx context.Context, p peer.ID) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
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
