package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/state/fsm"
	"github.com/debros/debros/structs"
)

// fakeRaft takes proposals and leaves it to the test when and how they end.
type fakeRaft struct {
	t *testing.T
	// mu protects the following.
	mu       sync.Mutex
	proposed []*fakeFuture
}

// fakeFuture is one proposal.
type fakeFuture struct {
	entry structs.Entry
	index uint64
	err   error
	done  chan struct{}
	short bool // the FSM answers for one command too few
}

func (r *fakeRaft) Apply(data []byte, _ time.Duration) raft.ApplyFuture {
	entry, err := fsm.DecodeEntry(data)
	if err != nil {
		r.t.Error(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f := &fakeFuture{entry: *entry, index: uint64(len(r.proposed) + 1), done: make(chan struct{})}
	r.proposed = append(r.proposed, f)
	return f
}

func (r *fakeRaft) entries() []*fakeFuture {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*fakeFuture{}, r.proposed...)
}

func (f *fakeFuture) Error() error  { <-f.done; return f.err }
func (f *fakeFuture) Index() uint64 { return f.index }

func (f *fakeFuture) Response() any {
	out := make([]structs.CommandResult, len(f.entry.Commands))
	for i, c := range f.entry.Commands {
		out[i] = structs.CommandResult{Reply: string(c.Body)}
	}
	if f.short {
		return out[1:]
	}
	return out
}

func (f *fakeFuture) commit()        { close(f.done) }
func (f *fakeFuture) fail(err error) { f.err = err; close(f.done) }

// row is a command that writes one row; "" may write any.
type row struct {
	Key  string
	Fill string
}

func (r row) ConflictKeys() []string {
	if r.Key == "" {
		return nil
	}
	return []string{r.Key}
}

// bench is a batcher in a bubble, with what its callers got.
type bench struct {
	*batcher
	raft    *fakeRaft
	fsync   atomic.Int64 // what the log is said to take for an entry, nanoseconds
	results chan result
	cancel  context.CancelFunc
	stopped chan struct{}
}

type result struct {
	key   string
	reply any
	index uint64
	err   error
}

func startBatcher(t *testing.T) *bench {
	r := &fakeRaft{t: t}
	ctx, cancel := context.WithCancel(context.Background())
	b := &bench{raft: r, results: make(chan result, queueMax), cancel: cancel, stopped: make(chan struct{})}
	b.batcher = newBatcher(r, slog.New(slog.DiscardHandler), func() time.Duration { return time.Duration(b.fsync.Load()) })
	go func() { defer close(b.stopped); b.run(ctx) }()
	return b
}

// send makes calls, in order, and waits until the batcher has done with them what it can.
func (b *bench) send(rows ...row) {
	for _, r := range rows {
		go func() {
			res, index, err := b.apply(context.Background(), structs.CommandKV, r)
			b.results <- result{r.Key, res.Reply, index, err}
		}()
		synctest.Wait()
	}
}

// finish commits everything until nothing is proposed any more, and stops.
func (b *bench) finish() {
	for committed := 0; ; {
		synctest.Wait()
		es := b.raft.entries()
		if committed == len(es) {
			break
		}
		for _, f := range es[committed:] {
			select {
			case <-f.done:
			default:
				f.commit()
			}
		}
		committed = len(es)
	}
	b.cancel()
	<-b.stopped
}

// sizes are the numbers of commands of the entries proposed so far.
func (b *bench) sizes() string {
	var out []string
	for _, f := range b.raft.entries() {
		out = append(out, fmt.Sprint(len(f.entry.Commands)))
	}
	return strings.Join(out, " ")
}

func rows(keys ...string) (out []row) {
	for _, k := range keys {
		out = append(out, row{Key: k})
	}
	return out
}

func TestABatchWaitsOnlyWhileTwoEntriesAreOnTheirWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBatcher(t)
		b.send(rows("a", "b")...)
		if got := b.sizes(); got != "1 1" {
			t.Fatalf("entries of %s: a lone command must not wait", got)
		}
		b.send(rows("c", "d", "e")...)
		if got := b.sizes(); got != "1 1" {
			t.Fatalf("entries of %s: the third entry was not held open", got)
		}
		b.raft.entries()[0].commit()
		synctest.Wait()
		if got := b.sizes(); got != "1 1 3" {
			t.Fatalf("entries of %s, want those that waited in one", got)
		}
		b.finish()
	})
}

// TestASecondEntryGoesOnlyWhereTheOtherServersAreFar: elsewhere it would wait for the same disks.
func TestASecondEntryGoesOnlyWhereTheOtherServersAreFar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBatcher(t)
		b.fsync.Store(int64(time.Millisecond))
		commit := func(took time.Duration) {
			time.Sleep(took)
			es := b.raft.entries()
			es[len(es)-1].commit()
			synctest.Wait()
		}
		b.send(rows("a", "b", "c")...)
		if got := b.sizes(); got != "1" {
			t.Fatalf("entries of %s: the second was not held open", got)
		}
		commit(2 * time.Millisecond)
		if got := b.sizes(); got != "1 2" {
			t.Fatalf("entries of %s, want those that waited in one", got)
		}
		commit(20 * time.Millisecond) // the mean is now 4 ms
		b.send(rows("d", "e")...)
		if got := b.sizes(); got != "1 2 1" {
			t.Fatalf("entries of %s: the mean is %s", got, b.commits.get())
		}
		commit(20 * time.Millisecond)
		commit(20 * time.Millisecond)
		b.send(rows("f", "g", "h")...)
		if got := b.sizes(); got != "1 2 1 1 1 1" {
			t.Fatalf("entries of %s: the mean is %s, and two may be on their way", got, b.commits.get())
		}
		b.finish()
	})
}

func TestCommandsThatWriteOneRowNeverShareAnEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBatcher(t)
		b.send(rows("x", "y")...) // on their way
		b.send(rows("a", "b", "a", "c", "", "d", "e")...)
		// a b | a c | (any row) | d e: closed batches do not wait, the last is still open.
		if got := b.sizes(); got != "1 1 2 2 1" {
			t.Fatalf("entries of %s", got)
		}
		b.finish()
		if got := b.sizes(); got != "1 1 2 2 1 2" {
			t.Fatalf("entries of %s", got)
		}
		var order []string
		for _, f := range b.raft.entries() {
			seen := map[string]bool{}
			for _, c := range f.entry.Commands {
				var r row
				if err := structs.Decode(c.Body, &r); err != nil {
					t.Fatal(err)
				}
				if seen[r.Key] {
					t.Errorf("entry %d writes %q twice", f.index, r.Key)
				}
				seen[r.Key] = true
				order = append(order, r.Key)
			}
		}
		if got := strings.Join(order, " "); got != "x y a b a c  d e" {
			t.Errorf("the order of arrival was not kept: %s", got)
		}
	})
}

func TestEntriesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBatcher(t)
		b.send(rows("x", "y")...)
		for i := range entryCommandsMax + 10 {
			b.send(row{Key: fmt.Sprint(i)})
		}
		fill := strings.Repeat("f", 300<<10)
		for i := range 5 { // three of them are within 1 MiB
			b.send(row{Key: fmt.Sprint("big", i), Fill: fill})
		}
		b.finish()
		total := 0
		for _, f := range b.raft.entries() {
			size := 0
			for _, c := range f.entry.Commands {
				size += len(c.Body)
			}
			total += len(f.entry.Commands)
			if n := len(f.entry.Commands); n > entryCommandsMax || size > entryBytesMax {
				t.Errorf("entry %d has %d commands of %d bytes", f.index, n, size)
			}
		}
		if total != 2+entryCommandsMax+10+5 {
			t.Errorf("%d commands arrived", total)
		}
	})
}

func TestEachCallerGetsItsOwnResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBatcher(t)
		b.send(rows("a", "b", "c", "d", "e")...)
		b.finish()
		for range 5 {
			r := <-b.results
			body, _ := structs.Encode(row{Key: r.key})
			if r.err != nil || r.reply != string(body) || r.index == 0 {
				t.Errorf("%s got %q at %d, %v", r.key, r.reply, r.index, r.err)
			}
		}
	})
}

func TestFailuresSayWhetherAnythingWasWritten(t *testing.T) {
	for _, c := range []struct {
		raft error
		want error
	}{
		{raft.ErrNotLeader, structs.ErrNoLeader},
		{raft.ErrLeadershipTransferInProgress, structs.ErrNoLeader},
		{raft.ErrEnqueueTimeout, structs.ErrUnavailable},
		{raft.ErrLeadershipLost, structs.ErrUnknownResult},
		{raft.ErrRaftShutdown, structs.ErrUnknownResult},
		{raft.ErrAbortedByRestore, structs.ErrUnknownResult},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := startBatcher(t)
			b.send(row{Key: "a"})
			b.raft.entries()[0].fail(c.raft)
			if r := <-b.results; !errors.Is(r.err, c.want) {
				t.Errorf("%v became %v", c.raft, r.err)
			}
			b.finish()
		})
	}
}

func TestAnAnswerForOtherCommandsReachesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBatcher(t)
		b.send(row{Key: "a"})
		f := b.raft.entries()[0]
		f.short = true
		f.commit()
		if r := <-b.results; r.err == nil {
			t.Errorf("an FSM that answered for no command gave %v", r.reply)
		}
		b.finish()
	})
}

func TestACallerThatGivesUpDoesNotKnowTheResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBatcher(t)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, _, err := b.apply(ctx, structs.CommandKV, row{Key: "a"}); !errors.Is(err, structs.ErrUnknownResult) {
			t.Errorf("a caller whose time ran out got %v", err)
		}
		b.finish()
	})
}

func TestStoppingFailsWhatWasNotProposed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBatcher(t)
		b.send(rows("a", "b", "open", "open", "open")...) // two on their way, one open, two queued behind
		es := b.raft.entries()
		b.cancel()
		synctest.Wait()
		for _, f := range es {
			f.commit()
		}
		<-b.stopped
		for range 5 {
			r := <-b.results
			if proposed := r.key != "open"; proposed && r.err != nil {
				t.Errorf("%s was committed and its caller got %v", r.key, r.err)
			} else if !proposed && r.err != nil && !errors.Is(r.err, structs.ErrUnavailable) {
				t.Errorf("a command that was never proposed: %v", r.err)
			}
		}
	})
}
