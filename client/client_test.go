package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
	"github.com/debros/debros/client"
)

func overlay(s *agenttest.Spec) { s.Overlay = true }

// addrOf is where an agent's overlay listens.
func addrOf(t *testing.T, n *agenttest.Node) string {
	t.Helper()
	self := n.Overlay().Self()
	for _, a := range self.Listen {
		if s := a.String(); strings.Contains(s, "/tcp/") {
			return s + "/p2p/" + self.ID.String()
		}
	}
	t.Fatalf("%v: no TCP address", self.Listen)
	return ""
}

func configFor(peers ...string) *client.ClientConfig {
	cfg := client.DefaultClientConfig("My App")
	cfg.BootstrapPeers, cfg.RetryDelay, cfg.QuietMode = peers, 50*time.Millisecond, true
	return cfg
}

func connected(t *testing.T, cfg *client.ClientConfig) client.NetworkClient {
	t.Helper()
	c, err := client.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Disconnect(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestConfigurationsThatCannotBeAreRefused(t *testing.T) {
	if _, err := client.NewClient(nil); err == nil || err.Error() != "config cannot be nil" {
		t.Errorf("nil: %v", err)
	}
	if _, err := client.NewClient(client.DefaultClientConfig("")); err == nil || err.Error() != "app name is required" {
		t.Errorf("no name: %v", err)
	}
	d := client.DefaultClientConfig("app")
	if d.DatabaseName != "app_db" || d.ConnectTimeout != 30*time.Second || d.RetryAttempts != 3 || d.RetryDelay != 5*time.Second || d.QuietMode {
		t.Errorf("defaults: %+v", d)
	}
	for name, change := range map[string]func(*client.ClientConfig){
		"a name without a letter": func(c *client.ClientConfig) { c.AppName = "!!" },
		"a long name":             func(c *client.ClientConfig) { c.AppName = strings.Repeat("x", 64) },
		"a database of no name":   func(c *client.ClientConfig) { c.DatabaseName = "/" },
		"a negative timeout":      func(c *client.ClientConfig) { c.ConnectTimeout = -1 },
	} {
		cfg := client.DefaultClientConfig("app")
		change(cfg)
		if _, err := client.NewClient(cfg); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for _, peers := range [][]string{nil, {"hello"}, {"/ip4/127.0.0.1/tcp/1"}} {
		c, err := client.NewClient(configFor(peers...))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Connect(); err == nil || !strings.Contains(err.Error(), "bootstrap peer") {
			t.Errorf("%v: %v", peers, err)
		}
	}
}

func TestAnApplicationUsesDatabaseStorageAndNetwork(t *testing.T) {
	n := agenttest.Cluster(t, 1, 0, overlay).Leader()
	c := connected(t, configFor(addrOf(t, n)))
	ctx := t.Context()

	db := c.Database()
	if err := db.CreateTable(ctx, `CREATE TABLE "odd name" (id INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT 'x', size REAL)`); err != nil {
		t.Fatal(err)
	}
	// Whether it writes is not to be seen from its first word.
	r, err := db.Query(ctx, `WITH v(n) AS (VALUES (?), (?)) INSERT INTO "odd name" (name) SELECT n FROM v RETURNING id`, "a", "b")
	if err != nil || r.Count != 2 || fmt.Sprint(r.Rows) != "[[1] [2]]" || r.Columns[0] != "id" {
		t.Fatalf("%+v, %v", r, err)
	}
	if r, err = db.Query(ctx, `UPDATE "odd name" SET size = 1.5`); err != nil || r.Count != 2 || len(r.Rows) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if r, err = db.Query(ctx, `SELECT name, size FROM "odd name" ORDER BY id`); err != nil || r.Count != 2 || fmt.Sprint(r.Rows) != "[[a 1.5] [b 1.5]]" {
		t.Fatalf("%+v, %v", r, err)
	}
	err = db.Transaction(ctx, []string{`INSERT INTO "odd name" (name) VALUES ('c')`, `INSERT INTO "odd name" (name) VALUES (NULL)`})
	if r, qerr := db.Query(ctx, `SELECT count(*) FROM "odd name"`); err == nil || qerr != nil || fmt.Sprint(r.Rows) != "[[2]]" {
		t.Fatalf("a transaction that failed (%v) left %+v, %v", err, r, qerr)
	}
	schema, err := db.GetSchema(ctx)
	want := client.SchemaInfo{Tables: []client.TableInfo{{Name: "odd name", Columns: []client.ColumnInfo{
		{Name: "id", Type: "INTEGER"}, {Name: "name", Type: "TEXT", Default: "'x'"}, {Name: "size", Type: "REAL", Nullable: true}}}}}
	if err != nil || fmt.Sprint(*schema) != fmt.Sprint(want) {
		t.Errorf("%+v, %v", schema, err)
	}
	if err := errors.Join(db.DropTable(ctx, "odd name")); err != nil {
		t.Error(err)
	}
	if err := db.DropTable(ctx, `x"; DROP TABLE y; --`); err == nil || !strings.Contains(err.Error(), "no such table") {
		t.Errorf("drop of a strange name: %v", err)
	}

	kv := c.Storage()
	for _, k := range []string{"a/1", "a/2", "a/3", "b"} {
		if err := kv.Put(ctx, k, []byte("v"+k)); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := kv.Get(ctx, "a/2"); err != nil || string(v) != "va/2" {
		t.Errorf("%q, %v", v, err)
	}
	if _, err := kv.Get(ctx, "none"); !errors.Is(err, api.ErrNotFound) || err.Error() != "key not found: none" {
		t.Errorf("a missing key: %v", err)
	}
	if keys, err := kv.List(ctx, "a/", 2); err != nil || !slices.Equal(keys, []string{"a/1", "a/2"}) {
		t.Errorf("%v, %v", keys, err)
	}
	if keys, err := kv.List(ctx, "a/", 0); err != nil || len(keys) != 3 {
		t.Errorf("%v, %v", keys, err)
	}
	if err := kv.Delete(ctx, "b"); err != nil {
		t.Error(err)
	}
	if ok, err := kv.Exists(ctx, "b"); err != nil || ok {
		t.Errorf("exists: %v, %v", ok, err)
	}
	// The application's namespace is its own.
	if p, _, err := n.API.KV().Get(ctx, "a/1", &api.QueryOptions{Namespace: "my-app"}); err != nil || p == nil {
		t.Errorf("in the namespace my-app: %v, %v", p, err)
	}

	status, err := c.Network().GetStatus(ctx)
	if err != nil || status.NodeID != string(n.Member.ID) || !status.Connected || status.DatabaseSize == 0 || status.Uptime <= 0 {
		t.Errorf("%+v, %v", status, err)
	}
	if err := c.Network().ConnectToPeer(ctx, "nonsense"); err == nil {
		t.Error("a peer of no address is connected to")
	}
	if h, err := c.Health(); err != nil || h.Status != client.HealthHealthy || len(h.Checks) != 4 || h.ResponseTime <= 0 {
		t.Errorf("%+v, %v", h, err)
	}
	short, cancel := context.WithTimeout(ctx, time.Nanosecond)
	defer cancel()
	if _, err := db.Query(short, "SELECT 1"); err == nil || !strings.HasPrefix(err.Error(), "Query timeout") {
		t.Errorf("a query without time: %v", err)
	}
}

func TestHandlersRunApartAndTheirErrorsStopNothing(t *testing.T) {
	n := agenttest.Cluster(t, 1, 0, overlay).Leader()
	c := connected(t, configFor(addrOf(t, n)))
	ctx, ps := t.Context(), c.PubSub()
	release := make(chan struct{})
	var mu sync.Mutex
	var got []string
	if err := errors.Join(
		ps.Subscribe(ctx, "slow.>", func(string, []byte) error { <-release; return nil }),
		ps.Subscribe(ctx, "*.bad", func(string, []byte) error { panic("mine") }),
		ps.Subscribe(ctx, "a.b", func(topic string, data []byte) error {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, string(data))
			return errors.New("it does not matter")
		}),
	); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := errors.Join(ps.Publish(ctx, "slow.x", nil), ps.Publish(ctx, "a.bad", nil), ps.Publish(ctx, "a.b", []byte(fmt.Sprint(i)))); err != nil {
			t.Fatal(err)
		}
	}
	agenttest.Eventually(t, "all messages of a.b in order", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(got) == 100 && slices.IsSortedFunc(got, func(a, b string) int { return len(a) - len(b) })
	})
	close(release)
	if list, err := ps.ListTopics(ctx); err != nil || !slices.Equal(list, []string{"*.bad", "a.b", "slow.>"}) {
		t.Errorf("%v, %v", list, err)
	}
	if err := ps.Unsubscribe(ctx, "a.b"); err != nil {
		t.Error(err)
	}
	for _, err := range []error{ps.Unsubscribe(ctx, "a.b"), ps.Publish(ctx, "a.*", nil), ps.Publish(ctx, "", nil), ps.Subscribe(ctx, ">.a", func(string, []byte) error { return nil }), ps.Subscribe(ctx, "x", nil)} {
		if err == nil {
			t.Error("something that cannot be was done")
		}
	}
}

func TestAnotherAgentStandsInForOneThatDies(t *testing.T) {
	cl := agenttest.Cluster(t, 3, 0, overlay)
	leader := cl.Leader()
	follower := cl.Follower()
	cfg := configFor(addrOf(t, leader), addrOf(t, follower))
	cfg.RetryAttempts = 20
	c := connected(t, cfg)
	if err := c.Storage().Put(t.Context(), "k", []byte("1")); err != nil {
		t.Fatal(err)
	}
	leader.Kill()
	cl.Drop(leader)
	agenttest.Eventually(t, "a write by the other agent", func() bool { return c.Storage().Put(t.Context(), "k", []byte("2")) == nil })
	if s, err := c.Network().GetStatus(t.Context()); err != nil || s.NodeID != string(follower.Member.ID) {
		t.Errorf("%+v, %v", s, err)
	}
	if h, err := c.Health(); err != nil || h.Status != client.HealthHealthy {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestHealthSaysWhatDoesNotWork(t *testing.T) {
	cl := agenttest.Cluster(t, 3, 0, overlay)
	leader, last := cl.Leader(), cl.Follower()
	cfg := configFor(addrOf(t, last))
	cfg.ConnectTimeout = agenttest.Patience
	c := connected(t, cfg)
	for _, n := range slices.Clone(cl.Servers) {
		if n != last {
			n.Kill()
			cl.Drop(n)
		}
	}
	_ = leader
	// No majority: the agent answers, the database does not.
	if h, err := c.Health(); err != nil || h.Status != client.HealthDegraded || h.Checks["connection"] != "ok" || h.Checks["database"] == "ok" || h.Checks["storage"] == "ok" || h.Checks["pubsub"] != "ok" {
		t.Errorf("without a majority: %+v, %v", h, err)
	}
	last.Kill()
	cl.Drop(last)
	if h, err := c.Health(); err != nil || h.Status != client.HealthUnhealthy || h.Checks["connection"] == "ok" {
		t.Errorf("without an agent: %+v, %v", h, err)
	}
}

func TestConnectFailsInTheWordsOfTheSpecAndDisconnectEndsAll(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	dead := fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN", port)
	c, err := client.NewClient(configFor(dead))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Connect(); err == nil || !strings.HasPrefix(err.Error(), "Failed to connect to bootstrap peer: ") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
	for name, err := range map[string]error{
		"query":   second(c.Database().Query(t.Context(), "SELECT 1")),
		"get":     second(c.Storage().Get(t.Context(), "k")),
		"publish": c.PubSub().Publish(t.Context(), "a", nil),
		"peers":   second(c.Network().GetPeers(t.Context())),
	} {
		if !errors.Is(err, client.ErrNotConnected) || !strings.Contains(err.Error(), "no database connection available") {
			t.Errorf("%s without a connection: %v", name, err)
		}
	}
	if h, err := c.Health(); err != nil || h.Status != client.HealthUnhealthy {
		t.Errorf("%+v, %v", h, err)
	}

	// Disconnect ends a Connect that would go on for a minute.
	slow := configFor(dead)
	slow.RetryDelay = time.Minute
	if c, err = client.NewClient(slow); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Connect() }()
	agenttest.Eventually(t, "Disconnect to end Connect", func() bool {
		_ = c.Disconnect()
		select {
		case err := <-done:
			return err != nil
		case <-time.After(20 * time.Millisecond):
			return false
		}
	})

	n := agenttest.Cluster(t, 1, 0, overlay).Leader()
	if c, err = client.NewClient(configFor(addrOf(t, n))); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	for range 3 {
		if err := errors.Join(c.Connect(), c.Connect(), c.PubSub().Subscribe(t.Context(), "a", func(string, []byte) error { return nil })); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.Storage().Put(t.Context(), "k", nil), c.Disconnect(), c.Disconnect()); err != nil {
			t.Fatal(err)
		}
	}
	agenttest.Eventually(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before+10 })
}

func second[T any](_ T, err error) error { return err }

func TestTheBasicExampleRuns(t *testing.T) {
	n := agenttest.Cluster(t, 1, 0, overlay).Leader()
	out, err := exec.CommandContext(t.Context(), "go", "run", "../examples/basic", "-bootstrap="+addrOf(t, n)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"database: 3 rows of id, content", "  1: Hello from an application", "storage: settings/colour = blue; keys [settings/colour]",
		"pubsub: greetings.world: hello", "network: by " + string(n.Member.ID), "health: healthy"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
}
