//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/debros/debros/api"
	"github.com/debros/debros/test/harness"
)

// measureIdle reads the memory of servers that nobody asks anything.
func measureIdle(ctx context.Context, b *bench) error {
	c, err := b.servers(ctx)
	if err != nil {
		return err
	}
	b.progress("leaving the servers alone for %s", b.size.idle)
	if err := sleep(ctx, b.size.idle); err != nil {
		return err
	}
	most := 0.0
	var each []string
	for _, n := range c.Servers {
		mb, err := n.ResidentMB()
		if err != nil {
			return err
		}
		most = max(most, mb)
		each = append(each, fmt.Sprintf("%.1f", mb))
	}
	b.report.add(row{What: "memory (RSS) of an idle server", Value: strings.Join(each, ", ") + " MB", Measured: most, Unit: "MB", Target: 60, AtMost: true})
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// failoverWithin bounds one round; longer means that the cluster does not recover.
const failoverWithin = time.Minute

func measureFailover(ctx context.Context, b *bench) error {
	c, err := b.servers(ctx)
	if err != nil {
		return err
	}
	var laps []time.Duration
	for n := range b.size.failovers {
		lap, err := failover(ctx, c, n)
		if err != nil {
			return fmt.Errorf("round %d: %w", n+1, err)
		}
		laps = append(laps, lap)
		b.progress("failover, round %d of %d: %s", n+1, b.size.failovers, round(lap))
	}
	p99 := quantile(laps, 0.99)
	b.report.add(row{
		What:     fmt.Sprintf("failover, SIGKILL of the leader to the next acknowledged write, %d rounds", len(laps)),
		Value:    fmt.Sprintf("p50 %s, p99 %s, max %s", round(quantile(laps, 0.5)), round(p99), round(quantile(laps, 1))),
		Measured: p99.Seconds(), Unit: "s", Target: 1.5, AtMost: true,
	})
	return nil
}

// failover kills the leader and writes through a follower, again at once after every error, until a
// write is acknowledged. Then it starts the killed server and waits until all is well.
func failover(ctx context.Context, c *harness.Cluster, n int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, failoverWithin)
	defer cancel()
	if err := c.WaitReady(ctx); err != nil {
		return 0, err
	}
	leader, err := c.Leader(ctx)
	if err != nil {
		return 0, err
	}
	// Some time in the middle of heartbeats, another one in each round.
	if err := sleep(ctx, time.Second+rand.N(500*time.Millisecond)); err != nil {
		return 0, err
	}
	follower := c.Followers(leader)[0]
	start := time.Now()
	if err := leader.Kill(); err != nil {
		return 0, err
	}
	pair := &api.KVPair{Key: "bench-failover", Value: []byte(strconv.Itoa(n))}
	for {
		if _, err = follower.Quick().KV().Put(ctx, pair, nil); err == nil {
			break
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return 0, err
		}
	}
	lap := time.Since(start)
	return lap, errors.Join(leader.Start(), c.WaitReady(ctx))
}
