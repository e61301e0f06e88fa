package rpc

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/debros/debros/structs"
)

// watch is a blocking query of one key in flight.
type watch struct {
	began time.Time
	done  chan struct{}
	rep   *structs.KVGetReply
	err   error
	took  time.Duration
}

func startWatch(ctx context.Context, b Backend, key string, o structs.QueryOptions) *watch {
	w := &watch{began: time.Now(), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.rep, w.err = ask[structs.KVGetReply](ctx, b, "KV.Get", &structs.KeyRequest{Key: key, QueryOptions: o})
		w.took = time.Since(w.began)
	}()
	synctest.Wait()
	return w
}

func (w *watch) asleep() bool {
	synctest.Wait()
	return !closed(w.done)
}

// answer waits for the reply; the clock of the bubble moves meanwhile.
func (w *watch) answer(t *testing.T) *structs.KVGetReply {
	t.Helper()
	<-w.done
	if w.err != nil {
		t.Fatalf("watch: %v", w.err)
	}
	return w.rep
}

func TestBlockingQueryWakesWhenItsKeyChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBackend(t)
		index := b.set(t, "a", "1")
		w := startWatch(t.Context(), b, "a", structs.QueryOptions{Index: index, Wait: time.Minute})
		b.set(t, "ab", "neighbour")
		b.set(t, "z", "far away")
		b.set(t, "a", "1") // the same value again is no change
		if !w.asleep() {
			t.Fatal("woke although the key did not change")
		}
		changed := b.set(t, "a", "2")
		if rep := w.answer(t); rep.Index != changed || string(rep.Entry.Value) != "2" {
			t.Errorf("got %+v at index %d, want the new value at %d", rep.Entry, rep.Index, changed)
		}
		if w.took != 0 {
			t.Errorf("took %s after the change", w.took)
		}
	})
}

func TestBlockingQueryAnswersAtOnceWhenItIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBackend(t)
		index := b.set(t, "a", "1")
		w := startWatch(t.Context(), b, "a", structs.QueryOptions{Index: index - 1})
		if rep := w.answer(t); w.took != 0 || rep.Index != index {
			t.Errorf("took %s, index %d", w.took, rep.Index)
		}
	})
}

// TestBlockingQueryOfMissingKeySleepsUntilThatKeyChanges: the first answer follows the whole table,
// what comes after it only the key.
func TestBlockingQueryOfMissingKeySleepsUntilThatKeyChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBackend(t)
		table := b.set(t, "other", "1")
		first := startWatch(t.Context(), b, "a", structs.QueryOptions{Index: 1})
		if rep := first.answer(t); rep.Index != table || rep.Entry != nil {
			t.Fatalf("first answer: index %d, want the table's %d", rep.Index, table)
		}
		w := startWatch(t.Context(), b, "a", structs.QueryOptions{Index: table, Wait: time.Hour})
		for _, key := range []string{"other", "ab", "aa/b", "b", "a/"} {
			b.set(t, key, "x")
			if !w.asleep() {
				t.Fatalf("a write of %q woke the watch of a missing key", key)
			}
		}
		created := b.set(t, "a", "now")
		if rep := w.answer(t); rep.Index != created || rep.Entry == nil {
			t.Errorf("got %+v at %d, want the key at %d", rep.Entry, rep.Index, created)
		}
		if w.took != 0 {
			t.Errorf("took %s after the key was created", w.took)
		}
	})
}

func TestBlockingQuerySeesADeletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBackend(t)
		index := b.set(t, "a", "1")
		w := startWatch(t.Context(), b, "a", structs.QueryOptions{Index: index})
		deleted := b.delete(t, "a")
		if rep := w.answer(t); rep.Entry != nil || rep.Index < deleted || w.took != 0 {
			t.Errorf("got %+v at %d after %s, want nothing at %d at once", rep.Entry, rep.Index, w.took, deleted)
		}
	})
}

// TestIndexInTheFutureWaitsTheWholeTime: and then answers with the real index, never with 0.
func TestIndexInTheFutureWaitsTheWholeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBackend(t)
		b.set(t, "a", "1")
		w := startWatch(t.Context(), b, "a", structs.QueryOptions{Index: 1 << 60, Wait: 16 * time.Second})
		index := b.set(t, "a", "2")
		rep := w.answer(t)
		if w.took < 16*time.Second || w.took > 17*time.Second {
			t.Errorf("took %s, want 16 s and at most a sixteenth more", w.took)
		}
		if rep.Index != index || string(rep.Entry.Value) != "2" {
			t.Errorf("got %+v at %d, want the value of now at %d", rep.Entry, rep.Index, index)
		}
	})
}

// TestMissingKeyTimesOutWithTheIndexOfNow: a client that began again with an old index would be
// answered at once, over and over.
func TestMissingKeyTimesOutWithTheIndexOfNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBackend(t)
		index := b.set(t, "x", "1")
		w := startWatch(t.Context(), b, "a", structs.QueryOptions{Index: index, Wait: time.Second})
		now := b.set(t, "x", "2")
		if rep := w.answer(t); rep.Index != now {
			t.Errorf("index %d, want %d", rep.Index, now)
		}
	})
}

func TestWaitIsBoundedAndHasADefault(t *testing.T) {
	for name, c := range map[string]struct{ wait, min time.Duration }{
		"none": {0, structs.DefaultWait},
		"huge": {1 << 62, structs.MaxWait},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newTestBackend(t)
				w := startWatch(t.Context(), b, "a", structs.QueryOptions{Index: 1000, Wait: c.wait})
				w.answer(t)
				if w.took < c.min || w.took > c.min+c.min/jitterFraction {
					t.Errorf("took %s, want %s and at most a sixteenth more", w.took, c.min)
				}
			})
		})
	}
}

func TestRestoreWakesBlockedQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBackend(t)
		old := b.set(t, "a", "old")
		var archive strings.Builder
		if err := b.Raft().SnapshotSave(t.Context(), &archive); err != nil {
			t.Fatal(err)
		}
		index := b.set(t, "a", "new")
		w := startWatch(t.Context(), b, "a", structs.QueryOptions{Index: index})
		missing := startWatch(t.Context(), b, "nothing", structs.QueryOptions{Index: index})
		for _, m := range Streams(b) {
			if m.Name != "Snapshot.Restore" {
				continue
			}
			if err := m.Handle(t.Context(), m.New(), strings.NewReader(archive.String()), nil); err != nil {
				t.Fatalf("restore: %v", err)
			}
		}
		if rep := w.answer(t); rep.Index != old || string(rep.Entry.Value) != "old" {
			t.Errorf("got %+v at %d, want the restored value at %d", rep.Entry, rep.Index, old)
		}
		missing.answer(t)
		if w.took != 0 || missing.took != 0 {
			t.Errorf("took %s and %s, want it at once", w.took, missing.took)
		}
	})
}

func TestShutdownWakesBlockedQueriesWithUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBackend(t)
		w := startWatch(t.Context(), b, "a", structs.QueryOptions{Index: 1000})
		close(b.shutdown)
		<-w.done
		wantKind(t, w.err, structs.KindUnavailable)
		if w.took != 0 {
			t.Errorf("took %s after the shutdown began", w.took)
		}
	})
}

func TestBlockingQueryThatWakesInAWrongStateSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBackend(t)
		index := b.set(t, "a", "1")
		w := startWatch(t.Context(), b, "a", structs.QueryOptions{Index: index, Wait: time.Minute})
		b.mu.Lock()
		b.unsound = structs.Errorf(structs.KindUnavailable, "the state is wrong")
		b.mu.Unlock()
		b.set(t, "a", "2")
		<-w.done
		wantKind(t, w.err, structs.KindUnavailable)
	})
}

func TestBlockingQueryEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBackend(t)
		ctx, cancel := context.WithCancel(t.Context())
		w := startWatch(ctx, b, "a", structs.QueryOptions{Index: 1000})
		cancel()
		<-w.done
		wantKind(t, w.err, structs.KindCanceled)
	})
}

// TestBlockingLinearizableReadAsksForOneReadIndex: the state only moves forward.
func TestBlockingLinearizableReadAsksForOneReadIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBackend(t)
		index := b.set(t, "a", "1")
		w := startWatch(t.Context(), b, "a/missing", structs.QueryOptions{Index: index})
		for range 3 {
			b.set(t, "a/other", time.Now().String())
			time.Sleep(time.Second)
		}
		b.set(t, "a/missing", "1")
		w.answer(t)
		if b.ready != 1 {
			t.Errorf("asked %d times whether the state is ready, want 1", b.ready)
		}
	})
}

// TestQuietWatchesOfLists covers what every list shares: neighbours wake nobody.
func TestQuietWatchesOfLists(t *testing.T) {
	type meta interface{ Meta() *structs.QueryMeta }
	o := structs.QueryOptions{Wait: time.Hour}
	for method, req := range map[string]func(index uint64) any{
		"KV.List": func(i uint64) any { o.Index = i; return &structs.KVListRequest{QueryOptions: o, Prefix: "dir/"} },
		"KV.Keys": func(i uint64) any {
			o.Index = i
			return &structs.KVListRequest{QueryOptions: o, Prefix: "dir/", Separator: "/"}
		},
		"KV.Count": func(i uint64) any { o.Index = i; return &structs.KVListRequest{QueryOptions: o, Prefix: "dir/"} },
	} {
		for _, empty := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				b := newTestBackend(t)
				index := b.set(t, "other", "1")
				if !empty {
					index = b.set(t, "dir/a", "1")
				}
				done := make(chan uint64)
				go func() {
					for _, m := range Methods(b) {
						if m.Name == method {
							rep, err := m.Handle(t.Context(), req(index))
							if err != nil {
								t.Errorf("%s: %v", method, err)
								close(done)
								return
							}
							done <- rep.(meta).Meta().Index
						}
					}
				}()
				synctest.Wait()
				for _, key := range []string{"other", "dir", "dira", "di", "dir0"} {
					b.set(t, key, "2")
					synctest.Wait()
					select {
					case <-done:
						t.Fatalf("%s (empty %v) woke for %q", method, empty, key)
					default:
					}
				}
				began := time.Now()
				changed := b.set(t, "dir/a", "2")
				if got := <-done; got != changed || time.Since(began) != 0 {
					t.Errorf("%s (empty %v): index %d after %s, want %d at once", method, empty, got, time.Since(began), changed)
				}
			})
		}
	}
}
