package agent_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
	"github.com/debros/debros/structs"
)

// ready reports whether n says within d that it is of use.
func ready(t *testing.T, n *agenttest.Node, d time.Duration) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return n.Ready(ctx) == nil
}

func TestReadyMeansOfUse(t *testing.T) {
	t.Parallel()
	const soon = 300 * time.Millisecond
	key := agenttest.Key()
	alone := agenttest.Start(t, agenttest.Spec{Name: "alone", Key: key})
	if !ready(t, alone, agenttest.Patience) {
		t.Error("a client that was given nobody to join is not ready although HTTP listens")
	}
	s1 := agenttest.Start(t, agenttest.Spec{Name: "s1", Server: true, Expect: 2, Key: key})
	if ready(t, s1, soon) {
		t.Error("a server without a leader says that it is ready")
	}
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := nobody.Addr().String()
	nobody.Close()
	lost := agenttest.Start(t, agenttest.Spec{Name: "lost", Key: key, Join: []string{addr}})
	if ready(t, lost, soon) {
		t.Error("a client that has seen no server says that it is ready")
	}
	s2 := agenttest.Start(t, agenttest.Spec{Name: "s2", Server: true, Expect: 2, Key: key, Join: []string{s1.GossipAddr()}})
	for _, s := range []*agenttest.Node{s1, s2} {
		if !ready(t, s, agenttest.Patience) {
			t.Errorf("%s is not ready", s.Spec.Name)
		}
	}
	if err := lost.API.Agent().Join(t.Context(), s2.GossipAddr()); err != nil {
		t.Fatal(err)
	}
	if !ready(t, lost, agenttest.Patience) {
		t.Error("a client that has seen a server is not ready")
	}
}

func TestATakenPortIsNamedByItsKey(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, key := range []string{"http", "server", "serf_lan"} {
		dir := t.TempDir()
		n, err := agenttest.TryStart(t, agenttest.Spec{Name: "a", Server: true, Expect: 1, Dir: dir, HCL: "",
			Env: map[string]string{"DEBROS_PORTS_" + strings.ToUpper(key): port}})
		if err == nil {
			n.Shutdown()
			t.Errorf("ports.%s: started on a taken port", key)
			continue
		}
		var e *structs.Error
		if !errors.As(err, &e) || !strings.Contains(e.Message, port) || !strings.Contains(e.Hint, key) {
			t.Errorf("ports.%s: %v (%+v)", key, err, e)
		}
		// Whatever had begun is undone: the directory is free again.
		again := agenttest.Start(t, agenttest.Spec{Name: "a", Server: true, Expect: 1, Dir: dir})
		again.Shutdown()
	}
}

func TestASecondAgentOnADataDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	first := agenttest.Start(t, agenttest.Spec{Name: "a", Dir: t.TempDir()})
	_, err := agenttest.TryStart(t, agenttest.Spec{Name: "b", Dir: first.Spec.Dir})
	if err == nil || !strings.Contains(err.Error(), "in use by another agent") {
		t.Fatalf("second agent: %v", err)
	}
	first.Restart(t, nil)
}

func TestDataIsPrivateToItsUser(t *testing.T) {
	t.Parallel()
	for _, backend := range []string{"wal", "boltdb"} {
		dir := filepath.Join(t.TempDir(), "new", "data")
		c := agenttest.Cluster(t, 1, 0, func(s *agenttest.Spec) {
			s.Dir = dir
			s.HCL = "raft_logstore { backend = \"" + backend + "\" }"
		})
		put(t, c.Servers[0], "k", "v")
		archive, _, err := c.Servers[0].API.Snapshot().Save(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		archive.Close()
		err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			name, _ := filepath.Rel(dir, path)
			if mode := info.Mode().Perm(); d.IsDir() && mode != 0o700 || !d.IsDir() && mode != 0o600 {
				t.Errorf("%s: %s has mode %04o", backend, name, mode)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestReloadAppliesWhatItCanAndNamesTheRest(t *testing.T) {
	t.Parallel()
	env := map[string]string{}
	c := agenttest.Cluster(t, 1, 0, func(s *agenttest.Spec) { s.Env = env })
	n := c.Servers[0]
	value := bytes.Repeat([]byte("x"), 600<<10) // over the default of 512 KiB
	if _, err := n.API.KV().Put(t.Context(), &api.KVPair{Key: "big", Value: value}, nil); !errors.Is(err, api.ErrTooLarge) {
		t.Fatalf("a value over the limit: %v", err)
	}
	env["LOG_LEVEL"] = "debug"
	env["DEBROS_LIMITS_KV_VALUE_BYTES_MAX"] = "1048576"
	env["DEBROS_DATACENTER"] = "dc2"
	report, err := n.API.Agent().Reload(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(report.Changed)
	if !slices.Equal(report.Changed, []string{"limits.kv_value_bytes_max", "log_level"}) || !slices.Equal(report.NeedsRestart, []string{"datacenter"}) {
		t.Errorf("reload said %+v", report)
	}
	if n.Logs.Level() != slog.LevelDebug {
		t.Errorf("log level is %v", n.Logs.Level())
	}
	if n.Config().Datacenter != "dc1" {
		t.Errorf("datacenter became %s without a restart", n.Config().Datacenter)
	}
	if _, err := n.API.KV().Put(t.Context(), &api.KVPair{Key: "big", Value: value}, nil); err != nil {
		t.Errorf("a value below the new limit: %v", err)
	}
	env["DEBROS_LIMITS_TXN_OPS_MAX"] = "-1"
	env["LOG_LEVEL"] = "info"
	if _, err := n.API.Agent().Reload(t.Context()); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("a configuration that is not valid: %v", err)
	}
	if n.Logs.Level() != slog.LevelDebug {
		t.Error("half of a configuration that is not valid was put into force")
	}
}

func TestBlockedQueriesEndCleanlyWhenTheAgentStops(t *testing.T) {
	c := agenttest.Cluster(t, 1, 1)
	for _, n := range []*agenttest.Node{c.Clients[0], c.Servers[0]} {
		put(t, n, "k", "v")
		_, meta, err := n.API.KV().Get(t.Context(), "k", nil)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			_, _, err := n.API.KV().Get(t.Context(), "k", &api.QueryOptions{Index: meta.Index, Wait: 5 * time.Minute})
			done <- err
		}()
		eventually(t, "the query to be blocked", func() bool {
			var stacks strings.Builder
			_ = pprof.Lookup("goroutine").WriteTo(&stacks, 2)
			return strings.Contains(stacks.String(), "rpc.(*service).block(")
		})
		start := time.Now()
		n.Shutdown()
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s took %s to stop", n.Spec.Name, took)
		}
		if err := <-done; !errors.Is(err, api.ErrUnavailable) {
			t.Errorf("the blocked query on %s ended with %v", n.Spec.Name, err)
		}
		if n.Err() != nil {
			t.Errorf("%s stopped with %v", n.Spec.Name, n.Err())
		}
		n.Shutdown() // again
	}
}

func TestALogWithoutItsNodeKeyIsRefused(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 1, 0)
	n := c.Servers[0]
	n.Shutdown()
	if err := os.Remove(filepath.Join(n.Spec.Dir, "node.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := agenttest.TryStart(t, n.Spec); err == nil || !strings.Contains(err.Error(), "node.key") {
		t.Fatalf("a server that lost its identity started: %v", err)
	}
	if _, err := os.Stat(filepath.Join(n.Spec.Dir, "node.key")); !os.IsNotExist(err) {
		t.Error("the refused start left a new node.key behind")
	}
}
