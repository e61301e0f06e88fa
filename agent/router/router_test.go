package router

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/debros/debros/rpc/transport"
	"github.com/debros/debros/structs"
)

// The real pool fits.
var _ Pool = (*transport.Pool)(nil)

// network is a Pool over servers that answer as told.
type network struct {
	mu      sync.Mutex // protects the following
	servers []Server
	answer  map[string]func(req any) error // by address; nil = success
	calls   []string                       // addresses, in order
	leaders map[string]structs.NodeID      // whom the server at an address holds for the leader
}

func newNetwork(n int) *network {
	w := &network{answer: map[string]func(any) error{}}
	for i := range n {
		w.join(i)
	}
	return w
}

func (w *network) join(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.servers = append(w.servers, Server{ID: structs.NodeID(fmt.Sprintf("s%d", i)), Addr: fmt.Sprintf("s%d:7001", i), Datacenter: "dc1"})
}

func (w *network) list() []Server {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.servers)
}

func (w *network) fail(i int, err error) {
	w.answer[fmt.Sprintf("s%d:7001", i)] = func(any) error { return err }
}

func (w *network) Call(_ context.Context, addr, method string, req, reply any) error {
	if method == "Status.Leader" {
		reply.(*structs.StatusReply).LeaderID = w.leaders[addr]
		return nil
	}
	w.mu.Lock()
	w.calls = append(w.calls, addr)
	f := w.answer[addr]
	w.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(req)
}

func (w *network) Stream(ctx context.Context, addr, method string, req any, in io.Reader, out io.Writer) error {
	if in != nil {
		if _, err := io.ReadFull(in, make([]byte, 1)); err != nil {
			return err
		}
	}
	if err := w.Call(ctx, addr, method, req, nil); err != nil {
		return err
	}
	if out != nil {
		_, err := io.WriteString(out, "archive")
		return err
	}
	return nil
}

func (w *network) forget() { w.calls = nil }

func newRouter(t *testing.T, w *network, change func(*Config)) *Router {
	t.Helper()
	cfg := Config{Servers: w.list, Pool: w, Datacenter: "dc1", Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func get(ctx context.Context, r *Router) error {
	return r.RPC(ctx, "KV.Get", &structs.KeyRequest{Key: "a"}, &structs.KVGetReply{})
}

func put(ctx context.Context, r *Router) error {
	return r.RPC(ctx, "KV.Apply", &structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: "a"}}, &structs.KVReply{})
}

func wantKind(t *testing.T, err error, want structs.Kind) {
	t.Helper()
	if err == nil || structs.KindOf(err) != want {
		t.Fatalf("got %v, want an error of kind %s", err, want)
	}
}

func TestStaysWithOneServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(5)
		r := newRouter(t, w, nil)
		for range 50 {
			if err := get(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if len(slices.Compact(slices.Clone(w.calls))) != 1 {
			t.Errorf("went from server to server: %v", w.calls)
		}
	})
}

func TestClientsSpreadOverServers(t *testing.T) {
	w := newNetwork(3)
	for range 300 {
		if err := get(t.Context(), newRouter(t, w, nil)); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range w.list() {
		n := 0
		for _, c := range w.calls {
			if c == s.Addr {
				n++
			}
		}
		if n < 50 { // 100 expected; below 50 in one run of 10^9
			t.Errorf("%s got %d of 300 clients", s.ID, n)
		}
	}
}

func TestMovesToNewServersWithinTheSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 200
		w := newNetwork(1)
		var rs []*Router
		for range clients {
			r := newRouter(t, w, nil)
			if err := get(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			rs = append(rs, r)
		}
		w.join(1)
		moved := func() (n int) {
			for _, r := range rs {
				if s, _ := r.Server(); s.ID == "s1" {
					n++
				}
			}
			return n
		}
		if n := moved(); n > clients/10 {
			t.Errorf("%d of %d clients fell upon the new server at once", n, clients)
		}
		time.Sleep(growthSpreadMax)
		if n := moved(); n < clients/4 || n > 3*clients/4 {
			t.Errorf("%d of %d clients moved to the second server, want about half", n, clients)
		}
	})
}

func TestRebalancesNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(4)
		r := newRouter(t, w, nil)
		seen := map[structs.NodeID]bool{}
		for range 60 {
			s, _ := r.Server()
			seen[s.ID] = true
			time.Sleep(rebalanceMax)
		}
		if len(seen) != 4 { // one is missed in one run of 10^7
			t.Errorf("in 3 hours it used %v of 4 servers", seen)
		}
	})
}

// TestRepeatsWhatChangedNothing: reads and writes alike, on another server.
func TestRepeatsWhatChangedNothing(t *testing.T) {
	for _, kind := range []structs.Kind{structs.KindNoLeader, structs.KindUnavailable} {
		for name, do := range map[string]func(context.Context, *Router) error{"read": get, "write": put} {
			synctest.Test(t, func(t *testing.T) {
				w := newNetwork(3)
				w.fail(0, structs.Errorf(kind, "not now"))
				w.fail(1, structs.Errorf(kind, "not now"))
				if err := do(t.Context(), newRouter(t, w, nil)); err != nil {
					t.Errorf("%s after %s: %v", name, kind, err)
				}
				if got := slices.Clone(w.calls); len(got) > 3 {
					t.Errorf("%s after %s: %v, want every server once at most", name, kind, got)
				}
			})
		}
	}
}

// TestNeverRepeatsAWriteOfUnknownResult: it may have been committed.
func TestNeverRepeatsAWriteOfUnknownResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(3)
		for i := range 3 {
			w.fail(i, structs.Errorf(structs.KindUnknownResult, "connection lost"))
		}
		r := newRouter(t, w, nil)
		wantKind(t, put(t.Context(), r), structs.KindUnknownResult)
		if len(w.calls) != 1 {
			t.Errorf("sent %d times", len(w.calls))
		}
		w.forget()
		w.answer["s2:7001"] = nil
		if err := get(t.Context(), r); err != nil {
			t.Errorf("a read whose connection was lost: %v", err)
		}
	})
}

func TestOtherErrorsAreFinal(t *testing.T) {
	for _, kind := range []structs.Kind{
		structs.KindInternal, structs.KindInvalid, structs.KindNotFound, structs.KindConflict, structs.KindDenied,
		structs.KindTooLarge, structs.KindRateLimited, structs.KindQuota, structs.KindNoPath, structs.KindUnsupported,
	} {
		w := newNetwork(1)
		w.fail(0, structs.Errorf(kind, "no"))
		wantKind(t, get(t.Context(), newRouter(t, w, nil)), kind)
		if len(w.calls) != 1 {
			t.Errorf("%s: sent %d times", kind, len(w.calls))
		}
	}
}

func TestGivesUpAfterTheHoldTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(3)
		for i := range 3 {
			w.fail(i, structs.Errorf(structs.KindNoLeader, "no cluster leader"))
		}
		began := time.Now()
		wantKind(t, put(t.Context(), newRouter(t, w, nil)), structs.KindNoLeader)
		if took := time.Since(began); took < HoldTimeoutDefault-retryPauseMax || took > HoldTimeoutDefault {
			t.Errorf("gave up after %s, want %s", took, HoldTimeoutDefault)
		}
		if n := len(w.calls); n < 10 || n > 100 {
			t.Errorf("sent %d times", n)
		}
		for i := range 3 {
			if n := strings.Count(strings.Join(w.calls, " "), fmt.Sprintf("s%d", i)); n == 0 {
				t.Errorf("never asked server %d", i)
			}
		}
	})
}

// TestTheWaitOfAServerCounts: a server says that there is no leader when it has waited for one.
func TestTheWaitOfAServerCounts(t *testing.T) {
	block := func(ctx context.Context, r *Router) error {
		req := &structs.KeyRequest{Key: "a", QueryOptions: structs.QueryOptions{Index: 7, Wait: 10 * time.Minute}}
		return r.RPC(ctx, "KV.Get", req, &structs.KVGetReply{})
	}
	for name, do := range map[string]func(context.Context, *Router) error{"read": get, "write": put, "blocking query": block} {
		synctest.Test(t, func(t *testing.T) {
			w := newNetwork(3)
			for _, s := range w.list() {
				w.answer[s.Addr] = func(any) error {
					time.Sleep(HoldTimeoutDefault - 80*time.Millisecond) // as a server does
					return structs.Errorf(structs.KindNoLeader, "no cluster leader")
				}
			}
			began := time.Now()
			wantKind(t, do(t.Context(), newRouter(t, w, nil)), structs.KindNoLeader)
			if took := time.Since(began); took > HoldTimeoutDefault {
				t.Errorf("a %s took %s, want %s", name, took, HoldTimeoutDefault)
			}
		})
	}
}

// TestAServerThatIsCutOffIsPassedOver: it waits for a leader that the others have.
func TestAServerThatIsCutOffIsPassedOver(t *testing.T) {
	for name, do := range map[string]func(context.Context, *Router) error{"read": get, "write": put} {
		synctest.Test(t, func(t *testing.T) {
			w := newNetwork(2)
			r := newRouter(t, w, nil)
			cutOff, _ := r.Server()
			w.leaders = map[string]structs.NodeID{}
			for _, s := range w.list() {
				if s != cutOff {
					w.leaders[s.Addr] = "s9"
				}
			}
			w.answer[cutOff.Addr] = func(any) error {
				time.Sleep(HoldTimeoutDefault - 80*time.Millisecond) // as a server does
				return structs.Errorf(structs.KindNoLeader, "no cluster leader")
			}
			if err := do(t.Context(), r); err != nil || len(w.calls) != 2 {
				t.Errorf("a %s: %v after asking %v", name, err, w.calls)
			}
			// One more server is tried, and no third: it waits as well, should it lose its leader.
			w.forget()
			time.Sleep(rebalanceMax)
			for _, s := range w.list() {
				w.answer[s.Addr], w.leaders[s.Addr] = w.answer[cutOff.Addr], "s9"
			}
			wantKind(t, do(t.Context(), r), structs.KindNoLeader)
			if len(w.calls) != 2 {
				t.Errorf("a %s without a leader asked %v", name, w.calls)
			}
		})
	}
}

func TestEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(1)
		w.fail(0, structs.Errorf(structs.KindNoLeader, "no cluster leader"))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		if err := get(ctx, newRouter(t, w, nil)); err == nil || time.Since(began) > 100*time.Millisecond {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

func TestWaitsForAServerToBeKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(0)
		r := newRouter(t, w, nil)
		if _, ok := r.Server(); ok {
			t.Error("a server out of nothing")
		}
		err := get(t.Context(), r)
		wantKind(t, err, structs.KindNoLeader)
		var e *structs.Error
		if !errors.As(err, &e) || e.Message != "no known servers" || e.Hint == "" {
			t.Errorf("got %+v", e)
		}
		go func() {
			time.Sleep(3 * time.Second)
			w.join(0)
		}()
		if err := put(t.Context(), r); err != nil {
			t.Errorf("a server came within the hold time: %v", err)
		}
	})
}

func TestFailedServerGetsItsPlaceBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(2)
		r := newRouter(t, w, nil)
		w.fail(0, structs.Errorf(structs.KindUnavailable, "down"))
		for range 5 {
			if err := get(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			time.Sleep(rebalanceMax)
		}
		delete(w.answer, "s0:7001")
		time.Sleep(failedFor)
		seen := map[structs.NodeID]bool{}
		for range 40 {
			s, _ := r.Server()
			seen[s.ID] = true
			time.Sleep(rebalanceMax)
		}
		if !seen["s0"] {
			t.Error("a server that failed once is never used again")
		}
	})
}

func TestServersOfOtherDatacentersAreLeftAlone(t *testing.T) {
	w := newNetwork(0)
	w.servers = []Server{{ID: "far", Addr: "far:7001", Datacenter: "dc2"}, {ID: "near", Addr: "near:7001", Datacenter: "dc1"}, {ID: "deaf", Datacenter: "dc1"}}
	for range 20 {
		if s, ok := newRouter(t, w, nil).Server(); !ok || s.ID != "near" {
			t.Fatalf("chose %+v", s)
		}
	}
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(1)
		r := newRouter(t, w, func(c *Config) { c.Rate, c.Burst = 10, 5 })
		for range 5 {
			if err := get(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		wantKind(t, get(t.Context(), r), structs.KindRateLimited)
		wantKind(t, r.Stream(t.Context(), "Snapshot.Save", &structs.SnapshotRequest{}, nil, io.Discard), structs.KindRateLimited)
		time.Sleep(100 * time.Millisecond)
		if err := get(t.Context(), r); err != nil {
			t.Error(err)
		}
		r.SetRateLimit(0, 0)
		for range 100 {
			if err := get(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestRepeatedBlockingQueryKeepsItsWait: the caller's wait is spent once, and its request is unchanged.
func TestRepeatedBlockingQueryKeepsItsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(2)
		var waits []time.Duration
		block := func(req any) error {
			o := req.(*structs.KeyRequest).Query()
			waits = append(waits, o.Wait)
			if len(waits) == 1 {
				time.Sleep(40 * time.Second)
				return structs.Errorf(structs.KindUnavailable, "the server is shutting down")
			}
			return nil
		}
		w.answer["s0:7001"], w.answer["s1:7001"] = block, block
		req := &structs.KeyRequest{Key: "a", QueryOptions: structs.QueryOptions{Index: 7, Wait: time.Minute}}
		if err := newRouter(t, w, nil).RPC(t.Context(), "KV.Get", req, &structs.KVGetReply{}); err != nil {
			t.Fatal(err)
		}
		if len(waits) != 2 || waits[0] != time.Minute || waits[1] > 20*time.Second || waits[1] < 19*time.Second {
			t.Errorf("waits %v, want 1m and what is left of it", waits)
		}
		if req.Wait != time.Minute {
			t.Errorf("the caller's request now says %s", req.Wait)
		}
	})
}

func TestStreamIsRepeatedOnlyWhileNothingWasUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newNetwork(2)
		w.fail(0, structs.Errorf(structs.KindNoLeader, "no cluster leader"))
		w.fail(1, structs.Errorf(structs.KindNoLeader, "no cluster leader"))
		r := newRouter(t, w, nil)
		err := r.Stream(t.Context(), "Snapshot.Restore", &structs.SnapshotRequest{}, strings.NewReader("archive"), nil)
		wantKind(t, err, structs.KindNoLeader)
		if len(w.calls) != 1 {
			t.Errorf("a half-read archive was sent %d times", len(w.calls))
		}
		w.forget()
		go func() {
			time.Sleep(time.Second)
			w.mu.Lock()
			defer w.mu.Unlock()
			clear(w.answer)
		}()
		var out strings.Builder
		if err := r.Stream(t.Context(), "Snapshot.Save", &structs.SnapshotRequest{}, nil, &out); err != nil || out.String() != "archive" {
			t.Errorf("save: %q, %v", out.String(), err)
		}
		if len(w.calls) < 2 {
			t.Error("a save that had not begun was not repeated")
		}
	})
}

func TestNewNeedsServersAndPool(t *testing.T) {
	if _, err := New(Config{Pool: newNetwork(0)}); err == nil {
		t.Error("no error without Servers")
	}
	if _, err := New(Config{Servers: newNetwork(0).list}); err == nil {
		t.Error("no error without Pool")
	}
}
