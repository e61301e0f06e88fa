//go:build unix

package main

import (
	"context"
	"time"

	"github.com/debros/debros/test/harness"
)

// valueBytes is the size of every value that is put.
const valueBytes = 256

// size says how long to measure.
type size struct {
	round     time.Duration // one round of load
	warm      time.Duration // load before the rounds that counts for nothing
	rounds    int           // rounds of each side
	failovers int
	idle      time.Duration // before the memory of an idle server is read
	database  int           // bytes of the database that snapshots are written of
}

var (
	fullSize  = size{round: 5 * time.Second, warm: 2 * time.Second, rounds: 3, failovers: 20, idle: 15 * time.Second, database: 1e9}
	shortSize = size{round: 2 * time.Second, warm: 500 * time.Millisecond, rounds: 2, failovers: 4, idle: 3 * time.Second, database: 1e8}
)

// bench holds what the parts share. Clusters are started when first needed.
type bench struct {
	o       options
	size    size
	report  report
	cluster *harness.Cluster
	bare    *bare
	keys    bool // the keys of the get part are there
}

// startWithin bounds the start of a cluster.
const startWithin = time.Minute

// servers returns the three-server cluster.
func (b *bench) servers(ctx context.Context) (*harness.Cluster, error) {
	if b.cluster != nil {
		return b.cluster, nil
	}
	b.progress("starting three servers")
	dir, err := b.subdir("debros")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	cfg := harness.Config{Binary: b.o.binary, Dir: dir, Servers: 3}
	if b.o.noOverlay {
		cfg.Args = append(cfg.Args, "-overlay-port=-1")
	}
	b.cluster, err = harness.Start(ctx, cfg)
	return b.cluster, err
}

// pipeline returns the bare pipeline.
func (b *bench) pipeline(ctx context.Context) (*bare, error) {
	if b.bare != nil {
		return b.bare, nil
	}
	b.progress("starting the bare pipeline")
	dir, err := b.subdir("bare")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	b.bare, err = startBare(ctx, dir)
	return b.bare, err
}

func (b *bench) close() {
	if b.cluster != nil {
		b.cluster.Close()
	}
	if b.bare != nil {
		b.bare.close()
	}
}

// leader is the leader's HTTP address and a follower's.
func (b *bench) addrs(ctx context.Context) (leader, follower string, err error) {
	c, err := b.servers(ctx)
	if err != nil {
		return "", "", err
	}
	l, err := c.Leader(ctx)
	if err != nil {
		return "", "", err
	}
	return l.HTTPAddr(), c.Followers(l)[0].HTTPAddr(), nil
}
