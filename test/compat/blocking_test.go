package compat

import (
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// quiet is how long a query that must not wake is watched.
const quiet = 400 * time.Millisecond

type woken struct {
	index uint64
	pair  *api.KVPair
	keys  []string
	err   error
}

// await starts a blocking query and returns once the agent has it, as far as one can see from here.
func await(t *testing.T, f func(q *api.QueryOptions) woken, index uint64) <-chan woken {
	t.Helper()
	ch := make(chan woken, 1)
	q := (&api.QueryOptions{WaitIndex: index, WaitTime: deadline}).WithContext(within(t, 2*deadline))
	go func() { ch <- f(q) }()
	return ch
}

func watchKey(kv *api.KV, key string) func(*api.QueryOptions) woken {
	return func(q *api.QueryOptions) woken {
		p, meta, err := kv.Get(key, q)
		if err != nil {
			return woken{err: err}
		}
		return woken{index: meta.LastIndex, pair: p}
	}
}

func watchKeys(kv *api.KV, prefix string) func(*api.QueryOptions) woken {
	return func(q *api.QueryOptions) woken {
		keys, meta, err := kv.Keys(prefix, "", q)
		if err != nil {
			return woken{err: err}
		}
		return woken{index: meta.LastIndex, keys: keys}
	}
}

func mustWake(t *testing.T, ch <-chan woken) woken {
	t.Helper()
	select {
	case w := <-ch:
		must(t, w.err)
		return w
	case <-time.After(deadline):
		t.Fatal("the query was not woken")
	}
	return woken{}
}

func mustSleep(t *testing.T, ch <-chan woken) {
	t.Helper()
	select {
	case w := <-ch:
		t.Fatalf("woken for nothing: %+v", w)
	case <-time.After(quiet):
	}
}

func TestBlockingQueryWakesOnItsKeyOnly(t *testing.T) {
	client, p := sharedClient(t)
	kv := client.KV()
	first := put(t, kv, p+"a", "1")
	ch := await(t, watchKey(kv, p+"a"), first.ModifyIndex)
	put(t, kv, p+"b", "other")
	put(t, kv, p+"a", "1") // row 1: the same wakes nobody
	mustSleep(t, ch)
	second := put(t, kv, p+"a", "2")
	if w := mustWake(t, ch); w.pair == nil || string(w.pair.Value) != "2" || w.index != second.ModifyIndex {
		t.Fatalf("woken with %+v", w)
	}
}

// Row 3: once blocked, a query on a missing key sleeps through other writes.
func TestBlockingQueryOnMissingKey(t *testing.T) {
	client, p := sharedClient(t)
	kv := client.KV()
	put(t, kv, p+"other", "1")
	_, meta, err := kv.Get(p+"a", nil)
	must(t, err)
	ch := await(t, watchKey(kv, p+"a"), meta.LastIndex)
	mustSleep(t, ch)
	put(t, kv, p+"other", "2")
	mustSleep(t, ch)
	put(t, kv, p+"a", "here")
	if w := mustWake(t, ch); w.pair == nil || string(w.pair.Value) != "here" {
		t.Fatalf("woken with %+v", w)
	}
}

// Row 4: an index in the future waits its whole time.
func TestBlockingQueryWithFutureIndex(t *testing.T) {
	client, p := sharedClient(t)
	kv := client.KV()
	e := put(t, kv, p+"a", "1")
	began := time.Now()
	_, meta, err := kv.Get(p+"a", &api.QueryOptions{WaitIndex: e.ModifyIndex + 1_000_000, WaitTime: time.Second})
	must(t, err)
	if took := time.Since(began); took < time.Second || meta.LastIndex != e.ModifyIndex {
		t.Errorf("answered index %d after %v", meta.LastIndex, took)
	}
}

// Row 5: a delete raises the index of its prefix; keys watchers wake on changes of values too.
func TestBlockingQueryOnPrefix(t *testing.T) {
	client, p := sharedClient(t)
	kv := client.KV()
	put(t, kv, p+"x/1", "1")
	last := put(t, kv, p+"x/2", "1")
	_, meta, err := kv.Keys(p+"x/", "", nil)
	must(t, err)
	if meta.LastIndex != last.ModifyIndex {
		t.Errorf("index %d of the prefix, want %d", meta.LastIndex, last.ModifyIndex)
	}
	ch := await(t, watchKeys(kv, p+"x/"), meta.LastIndex)
	put(t, kv, p+"y", "1")
	mustSleep(t, ch)
	put(t, kv, p+"x/1", "2")
	changed := mustWake(t, ch)
	ch = await(t, watchKeys(kv, p+"x/"), changed.index)
	_, err = kv.Delete(p+"x/2", nil)
	must(t, err)
	if w := mustWake(t, ch); w.index <= changed.index || len(w.keys) != 1 {
		t.Errorf("after a delete: %+v, was at %d", w, changed.index)
	}
}

func TestBlockingQueryTimesOutWithTheSameIndex(t *testing.T) {
	client, p := sharedClient(t)
	kv := client.KV()
	e := put(t, kv, p+"a", "1")
	got, meta, err := kv.Get(p+"a", &api.QueryOptions{WaitIndex: e.ModifyIndex, WaitTime: 200 * time.Millisecond})
	must(t, err)
	if meta.LastIndex != e.ModifyIndex || string(got.Value) != "1" {
		t.Errorf("got %+v at %d", got, meta.LastIndex)
	}
}

func TestBlockingQueryOnSessions(t *testing.T) {
	client, _ := sharedClient(t)
	_, meta, err := client.Session().List(nil)
	must(t, err)
	ch := await(t, func(q *api.QueryOptions) woken {
		_, m, err := client.Session().List(q)
		if err != nil {
			return woken{err: err}
		}
		return woken{index: m.LastIndex}
	}, meta.LastIndex)
	newSession(t, client, nil)
	if w := mustWake(t, ch); w.index <= meta.LastIndex {
		t.Errorf("woken at %d, was at %d", w.index, meta.LastIndex)
	}
}
