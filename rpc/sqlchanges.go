package rpc

import (
	"context"
	"io"

	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/structs"
)

// sqlChangesBytes is about how much of a feed is held in memory for one reader; one change may be more.
const sqlChangesBytes = 256 << 10

// sqlChanges streams a database's changes behind a position, in the order in which they were made. Whoever is slow only
// delays its own stream, until what it has not read is no longer kept: then it is told so.
func (s *service) sqlChanges(ctx context.Context, c call, req *structs.SQLChangesRequest, out io.Writer) error {
	if err := checkDatabase(&req.Database); err != nil {
		return err
	}
	if !c.may.SQLRead(c.ns, req.Database) {
		return denied("sql:read", req.Database)
	}
	if req.Consistency == structs.Stale { // else it has everything that anybody was told of
		req.MinIndex = max(req.MinIndex, req.From.Index)
	}
	if err := s.b.ReadReady(ctx, &req.QueryOptions); err != nil {
		return err
	}
	if index := s.b.State().Index(); req.From.Index > index {
		return structs.Errorf(structs.KindGone, "the position %s is ahead of the cluster, which is at %d: it comes from another one, or from before a restore", req.From, index).
			WithHint("read the tables anew, then follow from their index")
	}
	f := &changeFeed{s: s, c: c, req: req, out: out, at: req.From}
	if req.Latest {
		var err error
		if f.at, err = s.b.State().SQLLastChange(ctx, c.ns, req.Database); err != nil {
			return err
		}
	}
	for {
		more, err := f.send(ctx)
		if err != nil || !more {
			return err
		}
	}
}

// changeFeed is one reader's.
type changeFeed struct {
	s     *service
	c     call
	req   *structs.SQLChangesRequest
	out   io.Writer
	at    structs.SQLPosition
	begun bool
	frame []byte
}

// send sends what there is, or waits for some; more is false at the end of a feed that is not followed.
func (f *changeFeed) send(ctx context.Context) (more bool, err error) {
	state, shutdown := f.s.b.State(), f.s.b.ShutdownCh()
	ws := memdb.NewWatchSet()
	ws.Add(state.AbandonCh()) // a restore: the position may be none of the new state's
	ws.Add(shutdown)
	index := state.Index()
	runs, at, err := state.SQLChanges(ctx, ws, f.c.ns, f.req.Database, f.at, sqlChangesBytes)
	if err == nil {
		err = f.s.b.Sound() // after the read, as ReadReady was long ago
	}
	if err != nil {
		return false, err
	}
	chunk := &structs.SQLChangesChunk{Runs: runs}
	if !f.begun {
		chunk.Begin = &structs.SQLChangesBegin{From: f.at}
		if len(runs) == 0 {
			chunk.Begin.From = at
		}
		chunk.Begin.Index = index
		f.s.stamp(&chunk.Begin.QueryMeta)
	}
	f.at = at
	end := len(runs) == 0 && !f.req.Follow
	if end {
		chunk.End = &structs.SQLChangesEnd{Index: max(index, 1)}
	}
	if len(runs) > 0 || !f.begun || end {
		f.begun = true
		if f.frame, err = structs.AppendFrame(f.frame[:0], chunk); err != nil {
			return false, err
		}
		if _, err := f.out.Write(f.frame); err != nil {
			return false, err
		}
		return !end, nil
	}
	if err := ws.WatchCtx(ctx); err != nil {
		return false, err
	}
	if closed(shutdown) {
		return false, structs.Errorf(structs.KindUnavailable, "the server is shutting down").WithHint("go on with another server from the last position")
	}
	return true, nil
}
