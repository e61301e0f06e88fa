//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// callersMany is the number of callers of the loaded measurements.
const callersMany = 64

// side is one of the things that are measured in turn.
type side struct {
	name  string
	round func(ctx context.Context, d time.Duration) (loadResult, error)
	sum   loadResult
}

// interleave measures the sides in turn, round after round, so that what else the machine does
// meanwhile meets all of them.
func (b *bench) interleave(ctx context.Context, what string, sides ...*side) error {
	for _, s := range sides {
		if _, err := s.round(ctx, b.size.warm); err != nil {
			return fmt.Errorf("warm up %s: %w", s.name, err)
		}
	}
	for n := range b.size.rounds {
		line := ""
		for _, s := range sides {
			if err := ctx.Err(); err != nil {
				return err
			}
			r, err := s.round(ctx, b.size.round)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			s.sum = s.sum.plus(r)
			line += fmt.Sprintf("  %s %.0f/s", s.name, r.rate())
		}
		b.progress("%s, round %d of %d:%s", what, n+1, b.size.rounds, line)
	}
	return ctx.Err()
}

func httpSide(name string, callers int, newCaller func(int) (func() error, func(), error)) *side {
	return &side{name: name, round: func(ctx context.Context, d time.Duration) (loadResult, error) {
		return load(ctx, callers, d, newCaller)
	}}
}

func bareSide(p *bare, callers int) *side {
	return &side{name: "bare", round: func(_ context.Context, d time.Duration) (loadResult, error) { return p.load(callers, d) }}
}

func measurePuts(ctx context.Context, b *bench) error {
	leader, follower, err := b.addrs(ctx)
	if err != nil {
		return err
	}
	p, err := b.pipeline(ctx)
	if err != nil {
		return err
	}
	clientPuts, err := apiPuts(ctx, leader)
	if err != nil {
		return err
	}
	one, oneBare := httpSide("debros", 1, rawPuts(leader)), bareSide(p, 1)
	oneFollower := httpSide("via follower", 1, rawPuts(follower))
	if err := b.interleave(ctx, "put, 1 caller", one, oneBare, oneFollower); err != nil {
		return err
	}
	many, manyBare := httpSide("debros", callersMany, rawPuts(leader)), bareSide(p, callersMany)
	manyFollower := httpSide("via follower", callersMany, rawPuts(follower))
	manyAPI := httpSide("Go client", callersMany, clientPuts)
	if err := b.interleave(ctx, fmt.Sprintf("put, %d callers", callersMany), many, manyBare, manyFollower, manyAPI); err != nil {
		return err
	}
	add := func(what string, s, bare *side, target, aim float64) {
		w := throughput(what, s.sum).against("bare", bare.sum.rate())
		w.Target, w.Aim = target, aim
		b.report.add(w)
	}
	b.report.add(throughput("bare raft + raft-wal, 1 caller", oneBare.sum))
	add("put, 1 caller, leader", one, oneBare, 0.6, 0.85)
	add("put, 1 caller, follower", oneFollower, oneBare, 0, 0)
	b.report.add(throughput("bare raft + raft-wal, 64 callers", manyBare.sum))
	add("put, 64 callers, leader", many, manyBare, 0.4, 0.6)
	add("put, 64 callers, follower", manyFollower, manyBare, 0, 0)
	add("put, 64 callers, leader, Go client (net/http)", manyAPI, manyBare, 0, 0)
	return nil
}

// fillGets writes the keys that the get part reads.
func (b *bench) fillGets(addr string) error {
	if b.keys {
		return nil
	}
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer c.close()
	v := value()
	for n := range getKeys {
		if err := c.do("PUT", "/v1/kv/"+getPath(n), v); err != nil {
			return err
		}
	}
	b.keys = true
	return nil
}

func measureGets(ctx context.Context, b *bench) error {
	leader, follower, err := b.addrs(ctx)
	if err != nil {
		return err
	}
	if err := b.fillGets(leader); err != nil {
		return err
	}
	put := httpSide("put", callersMany, rawPuts(leader))
	get := httpSide("get", callersMany, rawGets(leader, ""))
	getFollower := httpSide("get via follower", callersMany, rawGets(follower, ""))
	stale := httpSide("stale get", callersMany, rawGets(follower, "?stale"))
	if err := b.interleave(ctx, "get, 64 callers", put, get, getFollower, stale); err != nil {
		return err
	}
	for _, g := range []struct {
		what   string
		side   *side
		target float64
	}{
		{"linearizable get, 64 callers, leader", get, 2},
		{"linearizable get, 64 callers, follower", getFollower, 2},
		{"stale get, 64 callers, follower", stale, 0},
	} {
		w := throughput(g.what, g.side.sum).against("put", put.sum.rate())
		w.Target = g.target
		b.report.add(w)
	}
	return nil
}

// holdLoad keeps up a load so that somebody may look at the servers meanwhile.
func holdLoad(ctx context.Context, b *bench) error {
	c, err := b.servers(ctx)
	if err != nil {
		return err
	}
	l, err := c.Leader(ctx)
	if err != nil {
		return err
	}
	b.progress("leader: process %d, http://%s", l.Pid(), l.HTTPAddr())
	var callers func(int) (func() error, func(), error)
	switch addr := l.HTTPAddr(); b.o.load {
	case "put":
		callers = rawPuts(addr)
	case "get":
		callers, err = rawGets(addr, ""), b.fillGets(addr)
	case "insert":
		callers, err = rawInserts(addr), fillSQL(ctx, addr)
	case "select":
		callers, err = rawSelects(addr), fillSQL(ctx, addr)
	default:
		err = fmt.Errorf("-load=%s: neither put, get, insert nor select", b.o.load)
	}
	if err != nil {
		return err
	}
	r, err := load(ctx, b.o.callers, b.o.hold, callers)
	fmt.Fprintln(os.Stdout, throughput(b.o.load, r).Value)
	return err
}
