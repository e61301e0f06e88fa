//go:build unix

package harness_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/api"
	"github.com/debros/debros/test/harness"
)

func needBinary(t *testing.T) {
	t.Helper()
	if _, err := harness.BinaryPath(); err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestClusterSurvivesKillPauseAndRestart(t *testing.T) {
	needBinary(t)
	c := harness.ForTest(t, harness.Config{Servers: 3, Clients: 1})
	ctx := within(t, 5*time.Minute)
	put := func(n *harness.Node, key string) { // again while the cluster changes its leader: the result is the same
		t.Helper()
		if err := c.Wait(ctx, func(ctx context.Context) error {
			_, err := n.API().KV().Put(ctx, &api.KVPair{Key: key, Value: []byte(key)}, nil)
			return err
		}); err != nil {
			t.Fatalf("put %s through %s: %v", key, n.Name, err)
		}
	}
	put(c.Clients[0], "begin")

	first := harness.LeaderOf(t, c)
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	if first.Running() || first.Pid() != 0 {
		t.Fatal("the killed node runs")
	}
	put(c.Clients[0], "killed")

	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	second := harness.LeaderOf(t, c)
	if err := second.Pause(); err != nil {
		t.Fatal(err)
	}
	// What a follower had sent to the paused leader would have an unknown result: ask the next leader.
	put(harness.LeaderOf(t, c), "paused")
	if err := second.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes() {
		for _, key := range []string{"begin", "killed", "paused"} {
			var p *api.KVPair
			if err := c.Wait(ctx, func(ctx context.Context) (err error) {
				p, _, err = n.API().KV().Get(ctx, key, nil)
				return err
			}); err != nil || p == nil {
				t.Errorf("%s: get %s: %v %v", n.Name, key, p, err)
			}
		}
	}
	for _, n := range c.Nodes() {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	}
}

func TestStartSaysWhatWentWrong(t *testing.T) {
	needBinary(t)
	_, err := harness.Start(within(t, time.Minute), harness.Config{Dir: t.TempDir(), Servers: 1, Args: []string{"-log-level=loud"}})
	if err == nil || !strings.Contains(err.Error(), "ended by itself") || !strings.Contains(err.Error(), "loud") {
		t.Fatalf("want the end of the log in the error, got %v", err)
	}
}

func TestKillAndStopOfWhatDoesNotRunAreNoErrors(t *testing.T) {
	c, err := harness.New(harness.Config{Binary: "/nonexistent", Dir: t.TempDir(), Servers: 1})
	if err != nil {
		t.Fatal(err)
	}
	n := c.Servers[0]
	if err := n.Start(); err == nil {
		t.Error("a missing program starts")
	}
	if err := n.Kill(); err != nil {
		t.Error(err)
	}
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
	if err := n.Pause(); err == nil {
		t.Error("pausing what does not run is no error")
	}
	c.Close()
	c.Close()
}
