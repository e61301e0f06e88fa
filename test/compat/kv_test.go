package compat

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
)

func put(t *testing.T, kv *api.KV, key, value string) *api.KVPair {
	t.Helper()
	_, err := kv.Put(&api.KVPair{Key: key, Value: []byte(value)}, nil)
	must(t, err)
	return get(t, kv, key)
}

func get(t *testing.T, kv *api.KV, key string) *api.KVPair {
	t.Helper()
	p, meta, err := kv.Get(key, nil)
	must(t, err)
	if meta.LastIndex == 0 || !meta.KnownLeader {
		t.Fatalf("get %s: meta %+v lacks an index or a leader", key, meta)
	}
	return p
}

func TestKVPutGetDelete(t *testing.T) {
	client, p := sharedClient(t)
	kv := client.KV()
	if got := get(t, kv, p+"a"); got != nil {
		t.Fatalf("missing key: %+v", got)
	}
	value := bytes.Repeat([]byte{0, 1, 254, 255}, 100)
	_, err := kv.Put(&api.KVPair{Key: p + "a", Value: value, Flags: 1<<64 - 1}, nil)
	must(t, err)
	got := get(t, kv, p+"a")
	if !bytes.Equal(got.Value, value) || got.Flags != 1<<64-1 || got.CreateIndex == 0 || got.ModifyIndex != got.CreateIndex || got.LockIndex != 0 || got.Session != "" {
		t.Fatalf("got %+v", got)
	}
	for _, q := range []*api.QueryOptions{{AllowStale: true}, {RequireConsistent: true}} {
		if got, _, err := kv.Get(p+"a", q); err != nil || got == nil || !bytes.Equal(got.Value, value) {
			t.Fatalf("%+v: %+v %v", q, got, err)
		}
	}
	_, err = kv.Delete(p+"a", nil)
	must(t, err)
	if got := get(t, kv, p+"a"); got != nil {
		t.Fatalf("deleted key: %+v", got)
	}
	_, err = kv.Delete(p+"a", nil) // again: no error
	must(t, err)
}

func TestKVKeysWithAnyCharacters(t *testing.T) {
	client, p := sharedClient(t)
	kv := client.KV()
	for _, k := range []string{"sp ace", "üñí", "a?b=c&d", "50%", "a+b", "#x", "a/b/", "日本"} {
		if got := put(t, kv, p+k, k); got == nil || got.Key != p+k || string(got.Value) != k {
			t.Errorf("%q: %+v", k, got)
		}
	}
	if _, err := kv.Put(&api.KVPair{Key: "/" + p}, nil); err == nil {
		t.Error("the client itself should refuse a leading slash")
	}
}

// Row 7: an empty value is null, and the client gives no bytes.
func TestKVEmptyValue(t *testing.T) {
	client, p := sharedClient(t)
	if got := put(t, client.KV(), p+"a", ""); got == nil || len(got.Value) != 0 {
		t.Fatalf("got %+v", got)
	}
}

// Row 1: a put of the same changes nothing; flags alone are a change.
func TestKVSameValueKeepsTheIndex(t *testing.T) {
	client, p := sharedClient(t)
	kv := client.KV()
	first := put(t, kv, p+"a", "v")
	if again := put(t, kv, p+"a", "v"); again.ModifyIndex != first.ModifyIndex {
		t.Errorf("same value: index %d became %d", first.ModifyIndex, again.ModifyIndex)
	}
	_, err := kv.Put(&api.KVPair{Key: p + "a", Value: []byte("v"), Flags: 7}, nil)
	must(t, err)
	if got := get(t, kv, p+"a"); got.ModifyIndex <= first.ModifyIndex || got.CreateIndex != first.CreateIndex {
		t.Errorf("other flags: %+v after %+v", got, first)
	}
}

// Row 6 is in here: delete-cas of a missing key is true, cas=0 on an existing one false.
func TestKVCheckAndSet(t *testing.T) {
	client, p := sharedClient(t)
	kv := client.KV()
	cas := func(index uint64) bool {
		t.Helper()
		ok, _, err := kv.CAS(&api.KVPair{Key: p + "a", Value: []byte("v"), ModifyIndex: index}, nil)
		must(t, err)
		return ok
	}
	deleteCAS := func(index uint64) bool {
		t.Helper()
		ok, _, err := kv.DeleteCAS(&api.KVPair{Key: p + "a", ModifyIndex: index}, nil)
		must(t, err)
		return ok
	}
	if cas(99) {
		t.Error("cas=99 made a key")
	}
	if !cas(0) {
		t.Error("cas=0 did not make a key")
	}
	if cas(0) {
		t.Error("cas=0 overwrote a key")
	}
	index := get(t, kv, p+"a").ModifyIndex
	if cas(index+1) || !cas(index) {
		t.Error("cas must hold for the key's index only")
	}
	put(t, kv, p+"a", "other")
	if deleteCAS(index) {
		t.Error("delete-cas took an old index")
	}
	if !deleteCAS(get(t, kv, p+"a").ModifyIndex) || get(t, kv, p+"a") != nil {
		t.Error("delete-cas refused the right index")
	}
	if !deleteCAS(12345) {
		t.Error("delete-cas of a missing key must be true")
	}
}

func TestKVListKeysAndDeleteTree(t *testing.T) {
	client, p := sharedClient(t)
	kv := client.KV()
	for _, k := range []string{"a", "b/1", "b/2", "b/c/3", "ba"} {
		put(t, kv, p+k, k)
	}
	pairs, meta, err := kv.List(p+"b", nil)
	must(t, err)
	var got []string
	for _, e := range pairs {
		got = append(got, strings.TrimPrefix(e.Key, p))
	}
	if want := []string{"b/1", "b/2", "b/c/3", "ba"}; !slices.Equal(got, want) || meta.LastIndex != pairs[3].ModifyIndex {
		t.Errorf("list: %v at %d", got, meta.LastIndex)
	}
	for _, tt := range []struct {
		prefix, separator string
		want              []string
	}{
		{p, "", []string{p + "a", p + "b/1", p + "b/2", p + "b/c/3", p + "ba"}},
		{p, "/", []string{p + "a", p + "b/", p + "ba"}},
		{p + "b/", "/", []string{p + "b/1", p + "b/2", p + "b/c/"}},
		{p + "nothing", "", nil},
	} {
		keys, _, err := kv.Keys(tt.prefix, tt.separator, nil)
		if must(t, err); !slices.Equal(keys, tt.want) {
			t.Errorf("keys %q %q: %v", tt.prefix, tt.separator, keys)
		}
	}
	_, err = kv.DeleteTree(p+"b/", nil)
	must(t, err)
	if keys, _, _ := kv.Keys(p, "", nil); !slices.Equal(keys, []string{p + "a", p + "ba"}) {
		t.Errorf("after delete-tree: %v", keys)
	}
	if pairs, _, err := kv.List(p+"nothing", nil); err != nil || pairs != nil {
		t.Errorf("list of nothing: %v %v", pairs, err)
	}
}

func TestKVAcquireRelease(t *testing.T) {
	client, p := sharedClient(t)
	kv := client.KV()
	mine, theirs := newSession(t, client, nil), newSession(t, client, nil)
	acquire := func(session, value string) bool {
		t.Helper()
		ok, _, err := kv.Acquire(&api.KVPair{Key: p + "a", Value: []byte(value), Session: session}, nil)
		must(t, err)
		return ok
	}
	release := func(session string) bool {
		t.Helper()
		ok, _, err := kv.Release(&api.KVPair{Key: p + "a", Value: []byte("released"), Session: session}, nil)
		must(t, err)
		return ok
	}
	if !acquire(mine, "1") || acquire(theirs, "2") {
		t.Fatal("one session, and only one, must hold the key")
	}
	// Row 2: the holder's re-acquire keeps LockIndex; a plain put keeps the session and zeroes it.
	acquire(mine, "3")
	if got := get(t, kv, p+"a"); got.Session != mine || got.LockIndex != 1 || string(got.Value) != "3" {
		t.Fatalf("held: %+v", got)
	}
	if got := put(t, kv, p+"a", "plain"); got.Session != mine || got.LockIndex != 0 {
		t.Errorf("plain put: %+v", got)
	}
	if release(theirs) || !release(mine) {
		t.Fatal("the holder, and only it, must release")
	}
	if got := get(t, kv, p+"a"); got.Session != "" || string(got.Value) != "released" {
		t.Errorf("released: %+v", got)
	}
	// Row 13: no lock-delay after a release.
	if !acquire(theirs, "4") {
		t.Error("a released key could not be acquired at once")
	}
	// Row 2: LockIndex starts again after a delete.
	_, err := kv.Delete(p+"a", nil)
	must(t, err)
	if !acquire(mine, "5") || get(t, kv, p+"a").LockIndex != 1 {
		t.Errorf("after a delete: %+v", get(t, kv, p+"a"))
	}
}

// Consul answers 500, which the lock of its clients takes for a passing fault and others match on.
func TestKVAcquireWithUnknownSession(t *testing.T) {
	client, p := sharedClient(t)
	for _, session := range []string{"nonsense", "11111111-2222-3333-4444-555555555555"} {
		_, _, err := client.KV().Acquire(&api.KVPair{Key: p + "a", Session: session}, nil)
		status(t, err, 500, "invalid session")
	}
}

func TestKVValueTooLarge(t *testing.T) {
	client, p := sharedClient(t)
	kv := client.KV()
	_, err := kv.Put(&api.KVPair{Key: p + "fits", Value: make([]byte, 512<<10)}, nil)
	must(t, err)
	_, err = kv.Put(&api.KVPair{Key: p + "a", Value: make([]byte, 512<<10+1)}, nil)
	status(t, err, 413, "")
}

// status asks for an error reply of this code, with this in its text.
func status(t *testing.T, err error, code int, text string) {
	t.Helper()
	var se api.StatusError
	if !errors.As(err, &se) {
		t.Errorf("got %v, want status %d", err, code)
	} else if se.Code != code || !strings.Contains(se.Body, text) {
		t.Errorf("got status %d %q, want %d %q", se.Code, se.Body, code, text)
	}
}
