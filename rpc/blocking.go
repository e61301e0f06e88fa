package rpc

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/debros/debros/structs"
	"github.com/hashicorp/go-memdb"
)

// jitterFraction spreads the ends of blocking queries over wait/16, as Consul does, so that
// watchers that began together do not all come back together.
const jitterFraction = 16

// query answers a read with run, at once or, when o.Index is set, as soon as the answer is newer
// than that. run reads the state, adds what it read to ws (which may be nil), stores the answer in
// the reply, and returns the answer's index and whether anything was there. It may run many times.
//
// For a linearizable read one read index, taken before the first run, is enough however long the
// query blocks: the promise is to see every write acknowledged before the request began, and the
// state of a server only moves forward along the log, so a later run sees that and more.
func (s *service) query(ctx context.Context, o *structs.QueryOptions, m *structs.QueryMeta, run func(ws memdb.WatchSet) (idx uint64, found bool)) error {
	if err := s.b.ReadReady(ctx, o); err != nil {
		return err
	}
	var idx uint64
	if o.Index == 0 {
		idx, _ = run(nil)
	} else {
		var err error
		if idx, err = s.block(ctx, o, run); err != nil {
			return err
		}
	}
	m.Index = idx
	s.stamp(m)
	return nil
}

// block runs until the answer is newer than o.Index, the wait is over, or the state was replaced.
//
// The index of an answer that holds nothing is that of the whole table, and its watch fires for
// neighbours too. So once it has slept on nothing, finding nothing again is no news: it goes back to
// sleep whatever the index says. An index in the future is slept on for the whole wait; either way
// the reply carries the real index.
func (s *service) block(ctx context.Context, o *structs.QueryOptions, run func(ws memdb.WatchSet) (uint64, bool)) (uint64, error) {
	timeout, cancel := context.WithTimeout(ctx, blockTime(o.Wait))
	defer cancel()
	shutdown := s.b.ShutdownCh()
	sleptOnNothing := false
	for {
		// The channel comes first: a restore between the two leaves a closed channel, not a missed one.
		abandon := s.b.State().AbandonCh()
		ws := memdb.NewWatchSet()
		ws.Add(abandon)
		ws.Add(shutdown)
		idx, found := run(ws)
		if idx > o.Index && (found || !sleptOnNothing) {
			return idx, nil
		}
		sleptOnNothing = !found
		over := ws.WatchCtx(timeout) != nil
		if err := s.b.Sound(); err != nil {
			return 0, err
		}
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case closed(shutdown):
			return 0, structs.Errorf(structs.KindUnavailable, "the server is shutting down").
				WithHint("ask another server; no retry is needed on this one")
		case over, closed(abandon):
			idx, _ = run(nil) // the answer of now, with the index of now
			return idx, nil
		}
	}
}

// blockTime is how long a blocking query sleeps at most, jitter included.
func blockTime(wait time.Duration) time.Duration {
	if wait <= 0 {
		wait = structs.DefaultWait
	}
	wait = min(wait, structs.MaxWait)
	return wait + rand.N(wait/jitterFraction+1)
}

// stamp fills what every read's reply says about the answering server.
func (s *service) stamp(m *structs.QueryMeta) {
	m.Index = max(m.Index, 1) // clients treat 0 as "no index" and would poll without blocking
	m.KnownLeader, m.LastContact = s.b.LeaderInfo()
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
