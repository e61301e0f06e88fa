package overlay

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"time"

	metrics "github.com/hashicorp/go-metrics"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
)

// ping sends one libp2p ping on an open stream and returns the round trip.
func pingStream(s network.Stream) (time.Duration, error) {
	var out, in [ping.PingSize]byte
	_, _ = rand.Read(out[:])
	begin := time.Now()
	if _, err := s.Write(out[:]); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(s, in[:]); err != nil {
		return 0, err
	}
	if !bytes.Equal(in[:], out[:]) {
		return 0, errors.New("the answer to a ping is another one's")
	}
	return time.Since(begin), nil
}

// pingOn pings on one connection.
func pingOn(ctx context.Context, c network.Conn) error {
	s, err := openOn(ctx, c, ping.ID)
	if err != nil {
		return err
	}
	defer s.Reset() //nolint:errcheck // it has served
	_, err = pingStream(s)
	return err
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
