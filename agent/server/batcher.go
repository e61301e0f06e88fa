package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/state/fsm"
	"github.com/debros/debros/structs"
)

const (
	// entryCommandsMax and entryBytesMax bound one Raft entry (architecture section 3).
	entryCommandsMax = 512
	entryBytesMax    = 1 << 20
	// inflightOpen: while this many entries are on their way, a batch that could still grow waits. See batcher.room.
	inflightOpen = 2
	// farRatio is how many times longer than a local fsync a commit takes where the other servers are far.
	farRatio = 5
	// inflightMax bounds entries on their way even when batches are closed early by conflicts.
	inflightMax = 64
	// queueMax bounds the commands waiting; a full queue makes callers wait for their own deadline.
	queueMax = 4096
	// commandOverheadBytes is what framing adds to a command, for the size bound.
	commandOverheadBytes = 64
)

// proposer is the part of raft.Raft that the batcher uses.
type proposer interface {
	Apply(cmd []byte, timeout time.Duration) raft.ApplyFuture
}

// pending is one command waiting for its result.
type pending struct {
	cmd  structs.Command
	keys []string // rows it writes; nil = gets an entry of its own
	done chan outcome
}

type outcome struct {
	result structs.CommandResult
	index  uint64
	err    error
}

// batcher packs the commands that wait at the same moment into one Raft entry, so that they share
// one fsync and one round trip. One goroutine (run) owns the open batch; order of arrival is kept.
type batcher struct {
	raft  proposer
	log   *slog.Logger
	queue chan *pending

	inflight  atomic.Int32
	commits   mean                 // how long an entry is on its way
	fsyncs    func() time.Duration // how long the log takes to store one, on average; 0 = unknown
	freed     chan struct{}        // capacity 1: an entry came back
	abandonCh chan struct{}        // closed by abandon
	wg        sync.WaitGroup
}

func newBatcher(r proposer, log *slog.Logger, fsyncs func() time.Duration) *batcher {
	return &batcher{raft: r, log: log, fsyncs: fsyncs, queue: make(chan *pending, queueMax), freed: make(chan struct{}, 1), abandonCh: make(chan struct{})}
}

// apply waits until the command is applied here, or ctx ends. A *structs.Error of KindUnknownResult
// means that it may yet be applied.
func (b *batcher) apply(ctx context.Context, t structs.CommandType, body any) (structs.CommandResult, uint64, error) {
	data, err := structs.Encode(body)
	if err != nil {
		return structs.CommandResult{}, 0, err
	}
	p := &pending{cmd: structs.Command{Type: t, Body: data}, done: make(chan outcome, 1)}
	if c, ok := body.(structs.Conflicter); ok {
		p.keys = c.ConflictKeys()
	}
	select {
	case b.queue <- p:
	case <-ctx.Done():
		return structs.CommandResult{}, 0, structs.Errorf(structs.KindUnavailable, "the write queue is full; nothing was written")
	}
	select {
	case o := <-p.done:
		return o.result, o.index, o.err
	case <-ctx.Done():
		return structs.CommandResult{}, 0, structs.Errorf(structs.KindUnknownResult,
			"the request ended before the write was confirmed; it may or may not have been applied")
	}
}

// run owns the open batch until ctx ends; commands still queued then fail as unavailable.
func (b *batcher) run(ctx context.Context) {
	defer b.wg.Wait()
	defer b.drain()
	var open batch
	for {
		if open.empty() {
			select {
			case p := <-b.queue:
				open.add(p)
			case <-ctx.Done():
				return
			}
		}
		next := b.fill(ctx, &open)
		if ctx.Err() != nil {
			open.fail(errStopping())
			next.fail(errStopping())
			return
		}
		b.propose(&open)
		open = next
	}
}

// fill grows the open batch until it should be proposed: at once while the pipeline has room, else
// when it is full or closed by a conflict. It returns the batch to go on with.
func (b *batcher) fill(ctx context.Context, open *batch) (next batch) {
	closed := false
	for {
		room := b.room()
		if closed {
			room = inflightMax
		}
		if !closed {
			closed = b.take(open, &next)
			if closed {
				continue
			}
		}
		if b.inflight.Load() < room {
			return next
		}
		queue := b.queue
		if closed {
			queue = nil
		}
		select {
		case p := <-queue:
			closed = place(p, open, &next)
		case <-b.freed:
		case <-ctx.Done():
			return next
		}
	}
}

// room is how many entries may be on their way while a batch could still grow. Each entry costs every server an fsync
// and some wake-ups, so fewer and larger ones are cheaper: with one at a time a put at 64 callers took a sixth less
// processor time on each server. A second one helps where an entry spends its life on the network: it uses
// the disks meanwhile, and spares callers half a round trip. Where the disk takes that long, it would only wait for it.
func (b *batcher) room() int32 {
	if fsync := b.fsyncs(); fsync > 0 && b.commits.get() < farRatio*fsync {
		return 1
	}
	return inflightOpen
}

// take adds what is queued right now; true means the batch is closed.
func (b *batcher) take(open, next *batch) bool {
	for {
		select {
		case p := <-b.queue:
			if place(p, open, next) {
				return true
			}
		default:
			return open.full()
		}
	}
}

// place puts p into the open batch, or, if it does not fit there, into the next one; true closes the open batch.
func place(p *pending, open, next *batch) bool {
	if !open.fits(p) {
		next.add(p)
		return true
	}
	open.add(p)
	return open.full()
}

func (b *batcher) propose(open *batch) {
	entry := structs.Entry{Time: time.Now().UnixNano(), Seed: rand.Uint64(), Commands: open.commands()}
	waiting := open.waiting
	data, err := fsm.EncodeEntry(&entry)
	if err != nil {
		failAll(waiting, err)
		return
	}
	b.inflight.Add(1)
	start := time.Now()
	future := b.raft.Apply(data, 0)
	b.wg.Go(func() {
		err := b.await(future)
		b.commits.add(time.Since(start))
		b.inflight.Add(-1)
		poke(b.freed)
		if err != nil {
			failAll(waiting, applyError(err))
			return
		}
		deliver(waiting, future)
	})
}

// await waits for an entry. Raft never answers what it had queued and not yet taken up when it was shut down.
func (b *batcher) await(future raft.ApplyFuture) error {
	answered := make(chan error, 1)
	go func() { answered <- future.Error() }()
	select {
	case err := <-answered:
		return err
	case <-b.abandonCh:
	}
	select {
	case err := <-answered: // it was there already
		return err
	default:
		return raft.ErrRaftShutdown
	}
}

// abandon gives up, once Raft has been shut down, on entries that have no answer: what became of them is unknown.
func (b *batcher) abandon() { close(b.abandonCh) }

func deliver(waiting []*pending, future raft.ApplyFuture) {
	if fault, ok := future.Response().(error); ok {
		failAll(waiting, structs.Errorf(structs.KindUnknownResult, "this server has failed while applying the write; the others may have applied it: %v", fault))
		return
	}
	results, ok := future.Response().([]structs.CommandResult)
	if !ok || len(results) != len(waiting) {
		failAll(waiting, fmt.Errorf("the fsm answered %T for %d commands", future.Response(), len(waiting)))
		return
	}
	for i, p := range waiting {
		p.done <- outcome{result: results[i], index: future.Index()}
	}
}

func (b *batcher) drain() {
	for {
		select {
		case p := <-b.queue:
			p.done <- outcome{err: errStopping()}
		default:
			return
		}
	}
}

func failAll(waiting []*pending, err error) {
	for _, p := range waiting {
		p.done <- outcome{err: err}
	}
}

func errStopping() error {
	return structs.Errorf(structs.KindUnavailable, "the server is stopping; nothing was written")
}

// applyError says what a failed proposal means for the caller: whether anything may have been written.
func applyError(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return structs.Errorf(structs.KindNoLeader, "this server is not the leader")
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return structs.Errorf(structs.KindUnavailable, "the raft queue is full; nothing was written")
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrRaftShutdown), errors.Is(err, raft.ErrAbortedByRestore):
		return structs.Errorf(structs.KindUnknownResult, "leadership was lost while writing; the write may or may not have been applied").
			WithHint("read the key back, or use compare-and-set so that repeating the write is safe")
	}
	return fmt.Errorf("apply: %w", err)
}
