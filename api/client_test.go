package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
)

func TestCallsThatDidNothingAreRepeated(t *testing.T) {
	client, f := newFrontedClient(t)
	f.Fail(503, 429, 503)
	if _, err := client.KV().Put(t.Context(), &api.KVPair{Key: "a"}, nil); err != nil {
		t.Fatalf("write: %v", err)
	}
	f.Fail(503, 503, 503, 503)
	_, _, err := client.KV().Get(t.Context(), "a", nil)
	if !errors.Is(err, api.ErrNoLeader) {
		t.Fatalf("after the last repetition: %v", err)
	}
	var e *api.Error
	if !errors.As(err, &e) || e.Message != "No cluster leader" || e.Hint != "wait" || e.Status != 503 {
		t.Errorf("got %#v", e)
	}
}

func TestACallThatFailedLateIsNotRepeated(t *testing.T) {
	var asked atomic.Int32
	const slow = 50 * time.Millisecond
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		time.Sleep(slow) // an agent that waits for a leader
		http.Error(w, "No cluster leader", http.StatusServiceUnavailable)
	}))
	defer server.Close()
	for within, want := range map[time.Duration]int32{slow / 2: 1, time.Hour: 3, 0: 3} {
		client, err := api.New(api.Config{Address: server.URL, Retry: api.RetryPolicy{Max: 2, WaitMin: time.Millisecond, Within: within}})
		if err != nil {
			t.Fatal(err)
		}
		asked.Store(0)
		if _, _, err := client.KV().Get(t.Context(), "a", nil); !errors.Is(err, api.ErrNoLeader) || asked.Load() != want {
			t.Errorf("within %s: asked %d times, want %d; %v", within, asked.Load(), want, err)
		}
		client.Close()
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
	f := agenttest.NewFront(t, shared.Node())
	f.Stall()
	// A write that was given up before there was a connection did nothing; the next has longer.
	for timeout := 50 * time.Millisecond; timeout < agenttest.Patience; timeout *= 2 {
		client, err := api.New(api.Config{Address: f.URL, Timeout: timeout, Retry: api.RetryPolicy{Max: -1}})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if _, _, err := client.KV().Get(t.Context(), "a", nil); !errors.Is(err, api.ErrUnavailable) {
			t.Errorf("read: %v", err)
		}
		_, err = client.KV().Put(t.Context(), &api.KVPair{Key: "a"}, nil)
		if slices.Contains(f.Asked(), "PUT /v1/kv/a") {
			if !errors.Is(err, api.ErrUnknownResult) {
				t.Errorf("write: %v", err)
			}
			return
		}
		if !errors.Is(err, api.ErrUnavailable) && !errors.Is(err, api.ErrUnknownResult) {
			t.Errorf("write that was not sent: %v", err)
		}
	}
	t.Error("no write reached the agent")
}

// To follow the agent's redirect would write another key than the caller named.
func TestKeysThatAreNotCanonicalAreRefusedAndNotRewritten(t *testing.T) {
	client := newClient(t)
	for _, key := range []string{"a//b", "/a"} {
		if _, err := client.KV().Put(t.Context(), &api.KVPair{Key: key}, nil); !errors.Is(err, api.ErrInvalid) {
			t.Errorf("put %q: %v", key, err)
		}
	}
	if _, _, err := client.KV().Get(t.Context(), "", nil); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("empty key: %v", err)
	}
	if n, _, err := client.KV().Count(t.Context(), "", nil); n != 0 || err != nil {
		t.Errorf("written: %d pairs, %v", n, err)
	}
}

func TestKeysAreEscaped(t *testing.T) {
	client := newClient(t)
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
	f := agenttest.NewFront(t, shared.Node())
	client, err := api.New(api.Config{Address: f.URL, Retry: api.RetryPolicy{Max: -1}})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context() // the answers, most of them refusals, are not looked at
	client.KV().Get(ctx, "k", &api.QueryOptions{Namespace: "shop", Datacenter: "dc2", Consistency: api.Stale, MinIndex: 7, Wait: 1500 * time.Millisecond, PerPage: 3, NextToken: "t"})
	client.KV().Acquire(ctx, &api.KVPair{Key: "k", Session: "s", Flags: 9}, &api.WriteOptions{TTL: time.Minute, Namespace: "shop"})
	client.Session().Info(ctx, "n/../x", nil)
	client.Agent().ForceLeave(ctx, "n/../x", true)
	want := []string{
		"GET /v1/kv/k?dc=dc2&min_index=7&next_token=t&ns=shop&per_page=3&stale=&wait=1500ms",
		"PUT /v1/kv/k?acquire=s&flags=9&ns=shop&ttl=1m0s",
		"GET /v1/session/info/n%2F..%2Fx",
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
	agent := strings.TrimPrefix(shared.Node().API.Address(), "http://")
	client, err := api.New(api.Config{Address: "nowhere.invalid:1", Dialer: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, agent)
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	// The agent answers to names that it knows only, so that its refusal shows that it was reached.
	if _, err := client.Status().Leader(t.Context(), nil); !errors.Is(err, api.ErrDenied) {
		t.Errorf("dialer: %v", err)
	}

	path := filepath.Join(t.TempDir(), "s") // an agent has none: another program's, that passes it on
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	unix := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: agent}))
	unix.Listener.Close()
	unix.Listener = l
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

// A restored snapshot takes the state back, and a replaced cluster its index too; a watch that waited
// for a higher index would be blind until then. The answers are scripted: no agent goes back on demand.
func TestWatchSurvivesErrorsAndIndexesThatGoBackwards(t *testing.T) {
	type answer struct {
		index  uint64
		status int
		value  string
	}
	script := []answer{{11, 200, "one"}, {0, 503, ""}, {0, 503, ""}, {6, 200, "restored"}, {2, 200, "older"}, {3, 200, "newest"}}
	next, reached := 0, uint64(0) // the watch asks for one thing at a time
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked, _ := strconv.ParseUint(r.URL.Query().Get("index"), 10, 64); asked > reached {
			t.Errorf("answer %d: waits for more than index %d, at %d", next, asked, reached)
		}
		a := script[min(next, len(script)-1)]
		next++
		if a.status != 200 {
			http.Error(w, "No cluster leader", a.status)
			return
		}
		reached = a.index
		w.Header().Set("X-Consul-Index", strconv.FormatUint(a.index, 10))
		json.NewEncoder(w).Encode([]api.KVPair{{Key: "k", Value: []byte(a.value), ModifyIndex: a.index}})
	}))
	defer server.Close()
	client, err := api.New(api.Config{Address: server.URL, Retry: api.RetryPolicy{Max: 1, WaitMin: time.Millisecond, WaitMax: time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), agenttest.Patience)
	defer cancel()
	var seen []string
	for p, err := range client.KV().Watch(ctx, "k", nil) {
		switch {
		case errors.Is(err, api.ErrNoLeader):
			seen = append(seen, "error")
			continue
		case err != nil:
			t.Fatal(err)
		}
		seen = append(seen, string(p.Value))
		if string(p.Value) == "newest" {
			if got := strings.Join(seen, " "); got != "one error restored older newest" {
				t.Errorf("saw %s", got)
			}
			return
		}
	}
	t.Fatalf("the watch ended by itself after %v", seen)
}

// A read that begins to wait after the restore waits for an index that is far away: its Wait is how long
// the watch may take to notice.
func TestWatchSeesTheStateThatWasRestored(t *testing.T) {
	c := agenttest.Cluster(t, 1, 0)
	client := c.Servers[0].API
	ctx, cancel := context.WithTimeout(t.Context(), agenttest.Patience)
	defer cancel()
	put := func(v string) {
		if _, err := client.KV().Put(ctx, &api.KVPair{Key: "k", Value: []byte(v)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	put("one")
	archive, _, err := client.Snapshot().Save(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	saved, err := io.ReadAll(archive)
	if err != nil {
		t.Fatal(err)
	}
	put("two")
	var seen []string
	for p, err := range client.KV().Watch(ctx, "k", &api.QueryOptions{Wait: time.Second}) {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, string(p.Value))
		switch len(seen) {
		case 1:
			if _, err := client.Snapshot().Restore(ctx, bytes.NewReader(saved), nil); err != nil {
				t.Fatal(err)
			}
		case 2:
			put("three")
		case 3:
			if got := strings.Join(seen, " "); got != "two one three" {
				t.Errorf("saw %s", got)
			}
			return
		}
	}
	t.Fatalf("the watch ended by itself after %v", seen)
}

func TestWatchEndsAtAnErrorThatWillNotPass(t *testing.T) {
	client, f := newFrontedClient(t)
	f.Fail(403)
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

func TestANegativeTTLIsRefused(t *testing.T) {
	client, f := newFrontedClient(t)
	_, err := client.KV().Put(t.Context(), &api.KVPair{Key: "k"}, &api.WriteOptions{TTL: -time.Second})
	if !errors.Is(err, api.ErrInvalid) || len(f.Asked()) > 0 {
		t.Errorf("%v after %v", err, f.Asked())
	}
}
