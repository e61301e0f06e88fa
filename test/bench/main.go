//go:build unix

// Command bench measures a cluster of three servers against a bare Raft pipeline in the same run.
//
//	go run ./test/bench                      everything; some minutes
//	go run ./test/bench -short -only=put     a first look
//	go run ./test/bench -members 100         only: how long 100 client agents take to join
//
// Absolute numbers mean little on a shared or virtual machine, so every throughput is a ratio: rounds
// of debros and of bare hashicorp/raft + raft-wal alternate (A B A B …) on the same disk. Both are
// three processes on loopback that sync before they acknowledge. What the bare one lacks is all that
// debros adds: TLS, HTTP, a state machine, batches, and a load generator outside of the leader.
//
// It is a bench, not a test: nothing fails because it is slow. Exit code 1 means that it could not
// measure. Progress goes to standard error, the report to standard output.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	short   bool
	only    string
	members int
	// noOverlay starts agents that are no peers, to see what being one costs.
	noOverlay bool
	format    string
	dir       string
	binary    string
	against   string
	// hold keeps the cluster under one load for so long, for a profiler.
	hold    time.Duration
	load    string
	callers int

	bareChild bool
}

func main() {
	var o options
	flag.BoolVar(&o.short, "short", false, "short rounds and few of them: a first look")
	flag.StringVar(&o.only, "only", "", "comma-separated `parts` of rss, put, get, sql, stream, pubsub, snapshot, overlay, failover (default: all)")
	flag.IntVar(&o.members, "members", 0, "measure only how long so many client agents take to join three servers")
	flag.BoolVar(&o.noOverlay, "no-overlay", false, "start agents without the overlay, to see what it costs")
	flag.StringVar(&o.format, "format", "text", "text or json")
	flag.StringVar(&o.dir, "dir", "", "`directory` for the data, whose disk is measured (default: a temporary one)")
	flag.StringVar(&o.binary, "binary", "", "the debros `program` (default: bin/debros)")
	flag.StringVar(&o.against, "against", "", "measure only puts (with -only=snapshot: snapshots), in turn with those of another debros `program`")
	flag.DurationVar(&o.hold, "hold", 0, "measure nothing: print the leader's process id and keep up -load for so long")
	flag.StringVar(&o.load, "load", "put", "what -hold does: put, get, insert or select")
	flag.IntVar(&o.callers, "callers", callersMany, "callers of -hold")
	flag.BoolVar(&o.bareChild, "bare-child", false, "for bench itself: be one node of the bare pipeline")
	flag.Parse()
	if o.bareChild {
		exit(bareChild(o.dir))
	}
	if o.format != "text" && o.format != "json" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	// A second Ctrl-C ends the program at once; the children end with it.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	exit(run(ctx, o))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// part is something to measure.
type part struct {
	name string
	run  func(context.Context, *bench) error
}

func parts() []part {
	return []part{{"rss", measureIdle}, {"put", measurePuts}, {"get", measureGets}, {"sql", measureSQL}, {"stream", measureStream}, {"pubsub", measurePubSub}, {"snapshot", measureSnapshot}, {"overlay", measureOverlay}, {"failover", measureFailover}}
}

// choose returns the parts that -only names.
func choose(only string) ([]part, error) {
	if only == "" {
		return parts(), nil
	}
	var out []part
	for _, name := range strings.Split(only, ",") {
		found := false
		for _, p := range parts() {
			if p.name == name {
				out, found = append(out, p), true
			}
		}
		if !found {
			return nil, fmt.Errorf("-only=%s: no part %q (rss, put, get, sql, stream, pubsub, snapshot, overlay, failover)", only, name)
		}
	}
	return out, nil
}

func run(ctx context.Context, o options) (err error) {
	chosen, err := choose(o.only)
	if err != nil {
		return err
	}
	if o.dir, err = os.MkdirTemp(o.dir, "debros-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	b := &bench{o: o, size: fullSize}
	if o.short {
		b.size = shortSize
	}
	defer b.close()
	if o.hold > 0 {
		return holdLoad(ctx, b)
	}
	if b.report.Machine, err = describeMachine(ctx, o); err != nil {
		return err
	}
	if o.members > 0 {
		chosen = []part{{"members", measureMembers}}
	}
	if o.against != "" && o.only != "snapshot" {
		chosen = []part{{"against", measureAgainst}}
	}
	for _, p := range chosen {
		if err := p.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return b.report.write(os.Stdout, o.format)
}

// subdir makes a directory below the bench's own.
func (b *bench) subdir(name string) (string, error) {
	dir := filepath.Join(b.o.dir, name)
	return dir, os.Mkdir(dir, 0o700)
}

// progress tells the person who waits.
func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "· "+format+"\n", args...)
}
