package api_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/debros/debros/api"
	"github.com/debros/debros/test/fakeagent"
)

func TestCallsThatDidNothingAreRepeated(t *testing.T) {
	client, f := newClient(t)
	f.Set(func() { f.Fail = []int{503, 429, 503} })
	if _, err := client.KV().Put(t.Context(), &api.KVPair{Key: "a"}, nil); err != nil {
		t.Fatalf("write: %v", err)
	}
	f.Set(func() { f.Fail = []int{503, 503, 503, 503} })
	_, _, err := client.KV().Get(t.Context(), "a", nil)
	if !errors.Is(err, api.ErrNoLeader) {
		t.Fatalf("after the last repetition: %v", err)
	}
	var e *api.Error
	if !errors.As(err, &e) || e.Message != "No cluster leader" || e.Hint != "wait" || e.Status != 503 {
		t.Errorf("got %#v", e)
	}
}

// A write whose connection broke after it was sent may have been done: it is reported as such and
// sent once. A read is sent again.
func TestWriteThatWasSentIsNeverRepeated(t *testing.T) {
	var writes, reads atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			writes.Add(1)
		} else if reads.Add(1) > 2 {
			w.Header().Set("X-Consul-Index", "1")
			w.Write([]byte(`[{"Key":"a"}]`))
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.Close()
		}
	}))
	defer server.Close()
	client, err := api.New(api.Config{Address: server.URL, Retry: api.RetryPolicy{WaitMin: time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]func() error{
		"put": func() error { _, err := client.KV().Put(t.Context(), &api.KVPair{Key: "a"}, nil); return err },
		"cas": func() error { _, _, err := client.KV().CAS(t.Context(), &api.KVPair{Key: "a"}, nil); return err },
		"txn": func() error {
			_, _, err := client.Txn(t.Context(), []api.TxnOp{{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "a"}}}, nil)
			return err
		},
	}
	for name, call := range calls {
		writes.Store(0)
		if err := call(); !errors.Is(err, api.ErrUnknownResult) {
			t.Errorf("%s: %v", name, err)
		}
		if n := writes.Load(); n != 1 {
			t.Errorf("%s: sent %d times", name, n)
		}
	}
	if _, _, err := client.KV().Get(t.Context(), "a", nil); err != nil {
		t.Errorf("get: %v", err)
	}
}

func TestRefusedConnectionsAreUnavailableWithAHint(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	client, err := api.New(api.Config{Address: addr, Retry: api.RetryPolicy{Max: -1}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.KV().Put(t.Context(), &api.KVPair{Key: "a"}, nil)
	var e *api.Error
	if !errors.Is(err, api.ErrUnavailable) || !errors.As(err, &e) || e.Hint == "" {
		t.Fatalf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err = client.KV().Get(ctx, "a", nil); !errors.Is(err, api.ErrCanceled) || !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
}

func TestAgentThatHangsIsGivenUpAfterTheTimeout(t *testing.T) {
	f, server := fakeagent.New()
	defer server.Close()
	defer server.CloseClientConnections()
	f.Set(func() { f.Stalled = true })
	client, err := api.New(api.Config{Address: server.URL, Timeout: 50 * time.Millisecond, Retry: api.RetryPolicy{Max: -1}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := client.KV().Get(t.Context(), "a", nil); !errors.Is(err, api.ErrUnavailable) {
		t.Errorf("read: %v", err)
	}
	if _, err := client.KV().Put(t.Context(), &api.KVPair{Key: "a"}, nil); !errors.Is(err, api.ErrUnknownResult) {
		t.Errorf("write: %v", err)
	}
}

// To follow the agent's redirect would write another key than the caller named.
func TestKeysThatAreNotCanonicalAreRefusedAndNotRewritten(t *testing.T) {
	client, f := newClient(t)
	for _, key := range []string{"a//b", "/a"} {
		if _, err := client.KV().Put(t.Context(), &api.KVPair{Key: key}, nil); !errors.Is(err, api.ErrInvalid) {
			t.Errorf("put %q: %v", key, err)
		}
	}
	if _, _, err := client.KV().Get(t.Context(), "", nil); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("empty key: %v", err)
	}
	if len(f.Pairs) != 0 {
		t.Errorf("written: %v", f.Pairs)
	}
}

func TestKeysAreEscaped(t *testing.T) {
	client, _ := newClient(t)
	for _, key := range []string{"a b", "a?b=c", "a%2Fb", "a#b", "ä/ö", "a+b", "a:b;c", "%", "a/b/", "*"} {
		if _, err := client.KV().Put(t.Context(), &api.KVPair{Key: key, Value: []byte(key), Flags: 1<<64 - 1}, nil); err != nil {
			t.Errorf("put %q: %v", key, err)
			continue
		}
		p, _, err := client.KV().Get(t.Context(), key, nil)
		if err != nil || p == nil || string(p.Value) != key || p.Flags != 1<<64-1 {
			t.Errorf("get %q: %+v %v", key, p, err)
		}
	}
}

func TestOptionsReachTheAgent(t *testing.T) {
	client, f := newClient(t)
	ctx := t.Context()
	client.KV().Get(ctx, "k", &api.QueryOptions{Namespace: "shop", Datacenter: "dc2", Consistency: api.Stale, MinIndex: 7, Wait: 1500 * time.Millisecond, PerPage: 3, NextToken: "t"})
	client.KV().Acquire(ctx, &api.KVPair{Key: "k", Session: "s", Flags: 9}, &api.WriteOptions{TTL: time.Minute, Namespace: "shop"})
	client.Agent().Leave(ctx, true)
	client.Agent().ForceLeave(ctx, "n/../x", true)
	want := []string{
		"GET /v1/kv/k?dc=dc2&min_index=7&next_token=t&ns=shop&per_page=3&stale=&wait=1500ms",
		"PUT /v1/kv/k?acquire=s&flags=9&ns=shop&ttl=1m0s",
		"PUT /v1/agent/leave?force=true",
		"PUT /v1/agent/force-leave/n%2F..%2Fx?prune=true",
	}
	if got := strings.Join(f.Asked(), "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}

func TestTokenGoesIntoAHeader(t *testing.T) {
	var header atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header.Store(r.Header.Get("X-Debros-Token") + " " + r.URL.RawQuery)
		w.Header().Set("X-Consul-Index", "1")
		w.Write([]byte("[]"))
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := api.New(api.Config{Address: server.URL, TokenFile: file})
	if err != nil {
		t.Fatal(err)
	}
	client.KV().Get(t.Context(), "a", nil)
	if got := header.Load(); got != "from-file " {
		t.Errorf("got %q", got)
	}
	client.KV().Get(t.Context(), "a", &api.QueryOptions{Token: "mine"})
	if got := header.Load(); got != "mine " {
		t.Errorf("got %q", got)
	}
}

func TestDialerAndUnixSocketsCarryTheCalls(t *testing.T) {
	_, server := fakeagent.New()
	defer server.Close()
	addr := server.Listener.Addr().String()
	client, err := api.New(api.Config{Address: "nowhere.invalid:1", Dialer: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Status().Leader(t.Context(), nil); err != nil {
		t.Errorf("dialer: %v", err)
	}
	client.Close()

	f, _ := fakeagent.New()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	unix := &httptest.Server{Listener: l, Config: &http.Server{Handler: f}}
	unix.Start()
	defer unix.Close()
	client, err = api.New(api.Config{Address: "unix://" + path})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Status().Leader(t.Context(), nil); err != nil {
		t.Errorf("unix: %v", err)
	}
}

func TestErrorsOfOurOwnRoutesKeepTheirKind(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		w.Write([]byte(`{"error":{"kind":"no_path","message":"no path to dc9","hint":"join it","request_id":"r1"}}`))
	}))
	defer server.Close()
	client, err := api.New(api.Config{Address: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = client.Catalog().Nodes(t.Context(), nil)
	var e *api.Error
	if !errors.Is(err, api.ErrNoPath) || !errors.As(err, &e) || e.Hint != "join it" || e.RequestID != "r1" {
		t.Errorf("got %#v", e)
	}
}

func TestUnknownRouteIsNotAnEmptyResult(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	client, err := api.New(api.Config{Address: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := client.KV().Get(t.Context(), "a", nil); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestWatchSurvivesErrorsAndIndexesThatGoBackwards(t *testing.T) {
	client, f := newClient(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	put := func(v string) {
		f.Set(func() {
			index := f.Bump()
			f.Pairs["k"] = map[string]any{"Key": "k", "Value": []byte(v), "CreateIndex": index, "ModifyIndex": index}
		})
	}
	put("one")
	restore := func(index uint64, v string) { f.Set(func() { f.Index = index }); put(v) }
	var seen []string
	for p, err := range client.KV().Watch(ctx, "k", &api.QueryOptions{Wait: 50 * time.Millisecond}) {
		if err != nil {
			if !errors.Is(err, api.ErrNoLeader) {
				t.Fatal(err)
			}
			seen = append(seen, "error")
			restore(5, "restored")
			continue
		}
		seen = append(seen, string(p.Value))
		switch string(p.Value) {
		case "one":
			f.Set(func() { f.Fail = []int{503, 503, 503, 503} }) // all repetitions
		case "restored":
			restore(1, "older")
		case "older":
			put("newest") // its index is below one that the watch has seen
		case "newest":
			if got := strings.Join(seen, " "); got != "one error restored older newest" {
				t.Errorf("saw %s", got)
			}
			return
		}
	}
	t.Fatalf("the watch ended by itself after %v", seen)
}

func TestWatchEndsAtAnErrorThatWillNotPass(t *testing.T) {
	client, f := newClient(t)
	f.Set(func() { f.Fail = []int{403} })
	n := 0
	for _, err := range client.KV().Watch(t.Context(), "k", nil) {
		if n++; !errors.Is(err, api.ErrDenied) {
			t.Fatalf("got %v", err)
		}
	}
	if n != 1 {
		t.Errorf("yielded %d times", n)
	}
}
