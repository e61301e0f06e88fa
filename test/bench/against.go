//go:build unix

package main

import (
	"context"
	"fmt"

	"github.com/debros/debros/test/harness"
)

// measureAgainst measures two builds in turn: how a change is judged on a machine whose speed
// changes by the minute. Both clusters run all the time; the one that waits costs little.
func measureAgainst(ctx context.Context, b *bench) error {
	leader, _, err := b.addrs(ctx)
	if err != nil {
		return err
	}
	dir, err := b.subdir("against")
	if err != nil {
		return err
	}
	sctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	other, err := harness.Start(sctx, harness.Config{Binary: b.o.against, Dir: dir, Servers: 3})
	if err != nil {
		return err
	}
	defer other.Close()
	l, err := other.Leader(sctx)
	if err != nil {
		return err
	}
	for _, callers := range []int{1, callersMany} {
		this, that := httpSide("this", callers, rawPuts(leader)), httpSide("the other", callers, rawPuts(l.HTTPAddr()))
		what := fmt.Sprintf("put, %d callers", callers)
		if err := b.interleave(ctx, what, this, that); err != nil {
			return err
		}
		b.report.add(throughput(what+", the other", that.sum))
		b.report.add(throughput(what+", this", this.sum).against("the other", that.sum.rate()))
	}
	return nil
}
