package server

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/debros/debros/structs"
)

// What clients do to one key. A version stands for the value and its ModifyIndex at once: values are
// unique, and compare-and-set goes by the index that was read with the value.
type (
	regInput struct {
		op       byte // 'g', 'p', 'c'
		key      string
		value    string // written
		expected string // of a compare-and-set; "" = the key must not exist
	}
	regOutput struct {
		value   string // read; "" = no such key
		ok      bool   // of a compare-and-set
		unknown bool   // the write may have happened, or may happen yet
	}
)

// register is a key with put, get and compare-and-set. A write of unknown result both happens and does
// not: its end is left open, so that it may take effect at any later time.
func register() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byKey := map[string][]porcupine.Operation{}
			for _, o := range history {
				k := o.Input.(regInput).key
				byKey[k] = append(byKey[k], o)
			}
			var out [][]porcupine.Operation
			for _, h := range byKey {
				out = append(out, h)
			}
			return out
		},
		Init: func() []any { return []any{""} },
		Step: func(state, input, output any) []any {
			in, out := input.(regInput), output.(regOutput)
			now := state.(string)
			switch {
			case in.op == 'g' && out.value == now:
				return []any{now}
			case in.op == 'g':
				return nil
			case out.unknown && (in.op == 'p' || in.expected == now):
				return []any{now, in.value}
			case out.unknown:
				return []any{now}
			case in.op == 'p':
				return []any{in.value}
			case out.ok && in.expected == now:
				return []any{in.value}
			case !out.ok && in.expected != now:
				return []any{now}
			}
			return nil
		},
		Equal: func(a, b any) bool { return a == b },
		DescribeOperation: func(input, output any) string {
			return fmt.Sprintf("%+v -> %+v", input, output)
		},
	}
	return m.ToModel()
}

// historian runs clients and writes down what they saw.
type historian struct {
	start time.Time
	reads structs.Consistency
	// mu protects the following.
	mu  sync.Mutex
	ops []porcupine.Operation
}

func (h *historian) now() int64 { return int64(time.Since(h.start)) }

func (h *historian) record(client int, in regInput, call int64, out regOutput) {
	ret := h.now()
	if out.unknown {
		ret = int64(24 * time.Hour)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: ret})
}

func (h *historian) len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.ops)
}

// client asks the server that at gives until ctx ends.
func (h *historian) client(ctx context.Context, id int, rng *rand.Rand, keys int, at func() *node) {
	type seen struct {
		value string
		index uint64
	}
	last := map[string]seen{}
	for n := 0; ctx.Err() == nil; n++ {
		in := regInput{op: "gggppc"[rng.IntN(6)], key: "r" + strconv.Itoa(rng.IntN(keys)), value: fmt.Sprintf("%d.%d", id, n)}
		call := h.now()
		switch in.op {
		case 'g':
			if v, i, err := h.read(at(), in.key); err == nil {
				last[in.key] = seen{v, i}
				h.record(id, in, call, regOutput{value: v})
			}
		default:
			req := &structs.KVRequest{Op: structs.KVSet, KV: structs.KVPair{Key: in.key, Value: []byte(in.value)}}
			if in.op == 'c' {
				req.Op, req.KV.ModifyIndex = structs.KVCAS, last[in.key].index
				in.expected = last[in.key].value
			}
			ok, err := h.write(at(), req)
			switch {
			case err == nil:
				h.record(id, in, call, regOutput{ok: ok})
			case !errors.Is(err, structs.ErrNoLeader) && !errors.Is(err, structs.ErrUnavailable):
				h.record(id, in, call, regOutput{unknown: true})
			}
		}
	}
}

func (h *historian) read(n *node, key string) (value string, index uint64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	var rep structs.KVGetReply
	if err := n.RPC(ctx, "KV.Get", &structs.KeyRequest{QueryOptions: structs.QueryOptions{Consistency: h.reads}, Key: key}, &rep); err != nil {
		return "", 0, err
	}
	if rep.Entry == nil {
		return "", 0, nil
	}
	return string(rep.Entry.Value), rep.Entry.ModifyIndex, nil
}

func (h *historian) write(n *node, req *structs.KVRequest) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	var rep structs.KVReply
	err := n.RPC(ctx, "KV.Apply", req, &rep)
	return rep.OK, err
}

// TestHistoriesAreLinearizable runs clients on all three servers while leadership is handed over, and
// while leaders are killed and come back from disk; porcupine then looks for an order of the calls
// that explains every answer. DEBROS_TEST_SEED repeats a run's choices; DEBROS_SYSTEM_TESTS runs longer.
func TestHistoriesAreLinearizable(t *testing.T) {
	if os.Getenv("DEBROS_SYSTEM_TESTS") == "" {
		t.Skip("SKIPPED: set DEBROS_SYSTEM_TESTS=1 to search histories for answers that no order explains")
	}
	t.Parallel()
	seed, length, keys := rand.Uint64(), 4*time.Second, 32
	if s := os.Getenv("DEBROS_TEST_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	if os.Getenv("DEBROS_SYSTEM_TESTS") != "" {
		length, keys = 40*time.Second, 64
	}
	h := &historian{start: time.Now()}
	if os.Getenv("DEBROS_TEST_STALE") != "" {
		h.reads = structs.Stale // must make this test fail
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	c := diskCluster(t, 3, func(cfg *Config) { cfg.HoldTimeout, cfg.Autopilot.CleanupDeadServers = 2*time.Second, false })
	c.leader()
	var mu sync.Mutex // of current
	current := append([]*node{}, c.nodes...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for id := range 9 {
		crng := rand.New(rand.NewPCG(seed, uint64(id)+1))
		wg.Go(func() {
			h.client(ctx, id, crng, keys, func() *node {
				mu.Lock()
				defer mu.Unlock()
				return current[id%len(current)]
			})
		})
	}
	for end := time.Now().Add(length); time.Now().Before(end); {
		time.Sleep(time.Duration(300+rng.IntN(400)) * time.Millisecond) // the faults' pace, not a wait
		leader := c.leader()
		if rng.IntN(2) == 0 {
			_ = leader.raft.LeadershipTransfer().Error()
			continue
		}
		c.kill(leader)
		again := c.back(leader)
		mu.Lock()
		for i := range current {
			if current[i] == leader {
				current[i] = again
			}
		}
		mu.Unlock()
	}
	cancel()
	wg.Wait()
	if h.len() < 100 {
		t.Fatalf("only %d calls were answered (seed %d)", h.len(), seed)
	}
	if res := porcupine.CheckOperationsTimeout(register(), h.ops, time.Minute); res != porcupine.Ok {
		t.Fatalf("the history of %d calls is %s (seed %d)", h.len(), res, seed)
	}
}

func TestTheRegisterModelRefusesWhatCannotBe(t *testing.T) {
	op := func(call, ret int64, in regInput, out regOutput) porcupine.Operation {
		return porcupine.Operation{Input: in, Output: out, Call: call, Return: ret}
	}
	put := regInput{op: 'p', value: "1"}
	get := regInput{op: 'g'}
	for name, c := range map[string]struct {
		ops  []porcupine.Operation
		want bool
	}{
		"read after write":       {[]porcupine.Operation{op(0, 1, put, regOutput{ok: true}), op(2, 3, get, regOutput{value: "1"})}, true},
		"stale read":             {[]porcupine.Operation{op(0, 1, put, regOutput{ok: true}), op(2, 3, get, regOutput{})}, false},
		"unknown write unseen":   {[]porcupine.Operation{op(0, 99, put, regOutput{unknown: true}), op(2, 3, get, regOutput{})}, true},
		"unknown write seen":     {[]porcupine.Operation{op(0, 99, put, regOutput{unknown: true}), op(2, 3, get, regOutput{value: "1"})}, true},
		"unknown write undone":   {[]porcupine.Operation{op(0, 99, put, regOutput{unknown: true}), op(2, 3, get, regOutput{value: "1"}), op(4, 5, get, regOutput{})}, false},
		"cas on another version": {[]porcupine.Operation{op(0, 1, put, regOutput{ok: true}), op(2, 3, regInput{op: 'c', value: "2", expected: "0"}, regOutput{ok: true})}, false},
	} {
		if got := porcupine.CheckOperations(register(), c.ops); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
