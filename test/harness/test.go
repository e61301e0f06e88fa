//go:build unix

package harness

import (
	"context"
	"time"
)

// TB is what ForTest needs of a *testing.T.
type TB interface {
	Helper()
	Cleanup(func())
	Failed() bool
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	TempDir() string
}

// readyWithin is how long a cluster may take to be ready in a test: a few seconds on an idle machine.
const readyWithin = 2 * time.Minute

// tailLines of every node's log are shown when a test has failed.
const tailLines = 60

// ForTest starts a cluster that ends with the test. cfg.Dir may be empty. change, where there is one, adjusts
// each node before it starts.
func ForTest(t TB, cfg Config, change ...func(*Node)) *Cluster {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	c, err := Start(ctx, cfg, change...)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", c.LogTails(tailLines))
		}
		c.Close()
	})
	return c
}

// LeaderOf is Leader for a test.
func LeaderOf(t TB, c *Cluster) *Node {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	n, err := c.Leader(ctx)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return n
}
