//go:build unix

package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// loadResult is what callers in a closed loop did.
type loadResult struct {
	Ops      int
	Seconds  float64
	P50, P99 time.Duration
	laps     []time.Duration
}

func (r loadResult) rate() float64 {
	if r.Seconds == 0 {
		return 0
	}
	return float64(r.Ops) / r.Seconds
}

// plus adds another round.
func (r loadResult) plus(o loadResult) loadResult {
	sum := loadResult{Ops: r.Ops + o.Ops, Seconds: r.Seconds + o.Seconds, laps: append(slices.Clone(r.laps), o.laps...)}
	sum.P50, sum.P99 = quantile(sum.laps, 0.5), quantile(sum.laps, 0.99)
	return sum
}

// load runs callers in a closed loop for d. newCaller makes one caller's operation. The first
// error ends the load: a bench of errors measures nothing.
func load(ctx context.Context, callers int, d time.Duration, newCaller func(i int) (op func() error, done func(), err error)) (loadResult, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	laps := make([][]time.Duration, callers)
	errs := make([]error, callers)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range callers {
		wg.Go(func() {
			op, done, err := newCaller(i)
			if err != nil {
				errs[i] = err
				cancel()
				return
			}
			defer done()
			for ctx.Err() == nil {
				begin := time.Now()
				if err := op(); err != nil {
					errs[i] = err
					cancel()
					return
				}
				laps[i] = append(laps[i], time.Since(begin))
			}
		})
	}
	wg.Wait()
	r := loadResult{Seconds: time.Since(start).Seconds(), laps: slices.Concat(laps...)}
	r.Ops = len(r.laps)
	r.P50, r.P99 = quantile(r.laps, 0.5), quantile(r.laps, 0.99)
	return r, errors.Join(errs...)
}

// quantile is the smallest value that a share q of all does not exceed.
func quantile(laps []time.Duration, q float64) time.Duration {
	if len(laps) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(laps))
	return s[min(len(s)-1, int(q*float64(len(s))))]
}
