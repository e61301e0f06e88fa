package compat

import (
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// newSession makes a session that ends with the test. Without an entry it has no lock-delay.
func newSession(t *testing.T, client *api.Client, e *api.SessionEntry) string {
	t.Helper()
	if e == nil {
		e = &api.SessionEntry{LockDelay: time.Nanosecond}
	}
	id, _, err := client.Session().Create(e, nil)
	must(t, err)
	t.Cleanup(func() { client.Session().Destroy(id, nil) })
	return id
}

func info(t *testing.T, client *api.Client, id string) *api.SessionEntry {
	t.Helper()
	s, meta, err := client.Session().Info(id, nil)
	must(t, err)
	if meta.LastIndex == 0 {
		t.Error("no index")
	}
	return s
}

func TestSessionCreateInfoListDestroy(t *testing.T) {
	client, _ := sharedClient(t)
	id := newSession(t, client, &api.SessionEntry{Name: "n", TTL: "30s", Behavior: api.SessionBehaviorDelete, LockDelay: 7 * time.Second})
	s := info(t, client, id)
	if s == nil || s.ID != id || s.Name != "n" || s.Node != shared.node || s.TTL != "30s" || s.Behavior != "delete" ||
		s.LockDelay != 7*time.Second || s.CreateIndex == 0 || !slices.Equal(s.NodeChecks, []string{"serfHealth"}) {
		t.Fatalf("info: %+v", s)
	}
	has := func(list []*api.SessionEntry, _ *api.QueryMeta, err error) bool {
		t.Helper()
		must(t, err)
		return slices.ContainsFunc(list, func(e *api.SessionEntry) bool { return e.ID == id })
	}
	if !has(client.Session().List(nil)) || !has(client.Session().Node(shared.node, nil)) {
		t.Error("the session is not listed")
	}
	if list, _, err := client.Session().Node("nobody", nil); err != nil || len(list) != 0 {
		t.Errorf("of an unknown node: %v %v", list, err)
	}
	for range 2 { // row 12: destroying an unknown session succeeds
		_, err := client.Session().Destroy(id, nil)
		must(t, err)
	}
	if s := info(t, client, id); s != nil {
		t.Errorf("destroyed: %+v", s)
	}
}

// Row 12: the default lock-delay is 15 s.
func TestSessionDefaults(t *testing.T) {
	client, _ := sharedClient(t)
	s := info(t, client, newSession(t, client, &api.SessionEntry{}))
	if s.LockDelay != 15*time.Second || s.Behavior != "release" || s.TTL != "" || s.Node != shared.node {
		t.Errorf("got %+v", s)
	}
}

func TestSessionCreateNoChecks(t *testing.T) {
	client, p := sharedClient(t)
	for _, e := range []*api.SessionEntry{nil, {Name: "bare", LockDelay: time.Second, TTL: "20s"}} {
		id, _, err := client.Session().CreateNoChecks(e, nil)
		must(t, err)
		t.Cleanup(func() { client.Session().Destroy(id, nil) })
		s := info(t, client, id)
		if s == nil || len(s.Checks) != 0 || len(s.NodeChecks) != 0 {
			t.Errorf("%+v made %+v", e, s)
		}
		ok, _, err := client.KV().Acquire(&api.KVPair{Key: p + id, Session: id}, nil)
		if must(t, err); !ok {
			t.Error("the session holds no locks")
		}
	}
}

func TestSessionRenew(t *testing.T) {
	client, _ := sharedClient(t)
	for _, ttl := range []string{"10s", ""} { // row 14: without a TTL too
		id := newSession(t, client, &api.SessionEntry{TTL: ttl})
		s, _, err := client.Session().Renew(id, nil)
		if must(t, err); s == nil || s.ID != id || s.TTL != ttl {
			t.Errorf("renew with TTL %q: %+v", ttl, s)
		}
	}
	s, _, err := client.Session().Renew("11111111-2222-3333-4444-555555555555", nil)
	if err != nil || s != nil { // row 12: 404, which the client makes nil
		t.Errorf("renew of an unknown one: %+v %v", s, err)
	}
}

func TestSessionRenewPeriodic(t *testing.T) {
	client, _ := sharedClient(t)
	id, _, err := client.Session().Create(&api.SessionEntry{TTL: "10s"}, nil)
	must(t, err)
	done, result := make(chan struct{}), make(chan error, 1)
	go func() { result <- client.Session().RenewPeriodic("10s", id, nil, done) }()
	close(done) // the client destroys the session when it is told to stop
	select {
	case err := <-result:
		must(t, err)
	case <-time.After(deadline):
		t.Fatal("RenewPeriodic did not end")
	}
	if s := info(t, client, id); s != nil {
		t.Errorf("still there: %+v", s)
	}
}

// A renewer learns from the 404 that its session is gone.
func TestSessionRenewPeriodicOfDestroyedSession(t *testing.T) {
	client, _ := sharedClient(t)
	id := newSession(t, client, &api.SessionEntry{TTL: "10s"})
	_, err := client.Session().Destroy(id, nil)
	must(t, err)
	// The client renews first after half the TTL it was given, which need not be the session's.
	if err := client.Session().RenewPeriodic("100ms", id, nil, make(chan struct{})); err != api.ErrSessionExpired {
		t.Errorf("got %v", err)
	}
}

// Row 14: TTLs below 10 s and above a day are refused.
func TestSessionBadTTL(t *testing.T) {
	client, _ := sharedClient(t)
	for _, ttl := range []string{"9s", "25h", "nonsense", "-10s"} {
		_, _, err := client.Session().Create(&api.SessionEntry{TTL: ttl}, nil)
		if err == nil {
			t.Errorf("TTL %q was taken", ttl)
			continue
		}
		t.Logf("TTL %q: %v", ttl, err)
	}
}

// Row 14: a session lives at least its TTL and about twice that at most; then its locks are free.
func TestSessionExpires(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: takes 10 to 25 s")
	}
	t.Parallel()
	client, p := sharedClient(t)
	began := time.Now()
	id := newSession(t, client, &api.SessionEntry{TTL: "10s", Behavior: api.SessionBehaviorDelete, LockDelay: time.Nanosecond})
	ok, _, err := client.KV().Acquire(&api.KVPair{Key: p + "a", Session: id}, nil)
	if must(t, err); !ok {
		t.Fatal("not acquired")
	}
	eventually(t, deadline, "the session expires", func() bool { return info(t, client, id) == nil })
	if lived := time.Since(began); lived < 10*time.Second {
		t.Errorf("expired after %v", lived)
	}
	if got := get(t, client.KV(), p+"a"); got != nil {
		t.Errorf("behavior delete left %+v", got)
	}
}

func TestSessionBehaviors(t *testing.T) {
	client, p := sharedClient(t)
	kv := client.KV()
	for _, behavior := range []string{api.SessionBehaviorRelease, api.SessionBehaviorDelete} {
		id := newSession(t, client, &api.SessionEntry{Behavior: behavior})
		_, _, err := kv.Acquire(&api.KVPair{Key: p + behavior, Value: []byte("v"), Session: id}, nil)
		must(t, err)
		_, err = client.Session().Destroy(id, nil)
		must(t, err)
		got := get(t, kv, p+behavior)
		if behavior == api.SessionBehaviorDelete && got != nil {
			t.Errorf("delete left %+v", got)
		}
		if behavior == api.SessionBehaviorRelease && (got == nil || got.Session != "" || string(got.Value) != "v") {
			t.Errorf("release left %+v", got)
		}
	}
}

// Row 13: after a destroy the key has a lock-delay, which stops no plain write.
func TestSessionLockDelay(t *testing.T) {
	client, p := sharedClient(t)
	kv := client.KV()
	const delay = time.Second
	id, next := newSession(t, client, &api.SessionEntry{LockDelay: delay}), newSession(t, client, nil)
	_, _, err := kv.Acquire(&api.KVPair{Key: p + "a", Session: id}, nil)
	must(t, err)
	began := time.Now()
	_, err = client.Session().Destroy(id, nil)
	must(t, err)
	acquire := func(key string) bool {
		ok, _, err := kv.Acquire(&api.KVPair{Key: key, Session: next}, nil)
		must(t, err)
		return ok
	}
	if acquire(p+"a") && time.Since(began) < delay {
		t.Error("acquired within the lock-delay")
	}
	if !acquire(p + "b") {
		t.Error("the delay of one key stopped another")
	}
	put(t, kv, p+"a", "plain")
	eventually(t, deadline, "the lock-delay ends", func() bool { return acquire(p + "a") })
	if took := time.Since(began); took < delay-50*time.Millisecond {
		t.Errorf("acquired after %v", took)
	}
}

// Consul answers 500 to a session for a node that it does not know.
func TestSessionForUnknownNode(t *testing.T) {
	client, _ := sharedClient(t)
	_, _, err := client.Session().Create(&api.SessionEntry{Node: "nobody"}, nil)
	status(t, err, 500, "Missing node registration")
}
