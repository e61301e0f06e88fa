//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
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
		mb, err := rssMB(n.Pid())
		if err != nil {
			return err
		}
		most = max(most, mb)
		each = append(each, fmt.Sprintf("%.1f", mb))
	}
	b.report.add(row{What: "memory (RSS) of an idle server", Value: strings.Join(each, ", ") + " MB", Measured: most, Unit: "MB", Target: 60, AtMost: true})
	return nil
}

// rssMB is a process's resident memory; 1 MB is 10^6 bytes.
func rssMB(pid int) (float64, error) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, fmt.Errorf("read resident memory (this needs Linux): %w", err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			return kib * 1024 / 1e6, err
		}
	}
	return 0, fmt.Errorf("no VmRSS for process %d", pid)
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

// membersWithin bounds the join of all.
const membersWithin = 5 * time.Minute

// measureMembers starts client agents all at once and waits until every server lists all of them.
func measureMembers(ctx context.Context, b *bench) error {
	ctx, cancel := context.WithTimeout(ctx, membersWithin)
	defer cancel()
	c, err := b.servers(ctx)
	if err != nil {
		return err
	}
	b.progress("starting %d client agents", b.o.members)
	start := time.Now()
	for i := range b.o.members {
		n, err := c.AddClient("c" + strconv.Itoa(i+1))
		if err != nil {
			return err
		}
		if err := n.Start(); err != nil {
			return err
		}
	}
	started := time.Since(start)
	told := time.Now()
	err = c.Wait(ctx, func(ctx context.Context) error {
		fewest := b.o.members
		for _, s := range c.Servers {
			members, err := s.Quick().Agent().Members(ctx, nil)
			if err != nil {
				return err
			}
			alive := 0
			for _, m := range members {
				if m.Status == api.MemberAlive && m.Role == "client" {
					alive++
				}
			}
			fewest = min(fewest, alive)
		}
		if time.Since(told) > time.Second {
			told = time.Now()
			b.progress("after %s every server lists %d of %d", round(time.Since(start)), fewest, b.o.members)
		}
		if fewest < b.o.members {
			return fmt.Errorf("a server lists %d of %d clients", fewest, b.o.members)
		}
		return nil
	})
	if err != nil {
		return err
	}
	took := time.Since(start)
	b.report.add(row{What: fmt.Sprintf("%d client agents join three servers, until every server lists all alive", b.o.members),
		Value: fmt.Sprintf("%s (processes started within %s)", round(took), round(started)), Measured: took.Seconds(), Unit: "s", Target: 30, AtMost: true})
	most := 0.0
	for _, s := range c.Servers {
		mb, err := rssMB(s.Pid())
		if err != nil {
			return err
		}
		most = max(most, mb)
	}
	b.report.add(row{What: "memory (RSS) of the largest server then", Value: fmt.Sprintf("%.1f MB", most), Measured: most, Unit: "MB"})
	return nil
}
