//go:build unix

package test

import (
	"bufio"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/debros/debros/api"
	"github.com/debros/debros/test/harness"
)

// silenceWithin is how long the first request through an edge agent may take whose server has fallen silent. The transport finds out after 13 to
// 15 s; the router asks another server after two.
const silenceWithin = 8 * time.Second

// getsAt is how many single keys a server was asked for.
func getsAt(ctx context.Context, n *harness.Node) (count float64, err error) {
	text, err := n.Quick().Agent().PrometheusMetrics(ctx)
	if err != nil {
		return 0, err
	}
	defer text.Close()
	line := regexp.MustCompile(`^debros_rpc_request\{method="KV\.Get"\} (\S+)$`)
	for scan := bufio.NewScanner(text); scan.Scan(); {
		if m := line.FindStringSubmatch(scan.Text()); m != nil {
			return strconv.ParseFloat(m[1], 64)
		}
	}
	return 0, nil
}

// serverOf is the server that an edge agent stays with: where its reads arrive.
func serverOf(ctx context.Context, t *testing.T, c *harness.Cluster, edge *harness.Node) *harness.Node {
	t.Helper()
	const reads = 20
	before := make([]float64, len(c.Servers))
	for i, s := range c.Servers {
		var err error
		if before[i], err = getsAt(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	for range reads {
		if _, _, err := edge.API().KV().Get(ctx, "k", &api.QueryOptions{Consistency: api.Stale}); err != nil {
			t.Fatal(err)
		}
	}
	for i, s := range c.Servers {
		if n, err := getsAt(ctx, s); err != nil {
			t.Fatal(err)
		} else if n-before[i] >= reads {
			return s
		}
	}
	t.Fatal("an edge agent stays with no server")
	return nil
}

// TestAnEdgeAgentDoesNotWaitForAServerThatFellSilent stops the process of the server that an edge agent talks with: its connections stay, and
// nothing answers, as when a machine is gone. Reads, and SQL that may be repeated, go to another one.
func TestAnEdgeAgentDoesNotWaitForAServerThatFellSilent(t *testing.T) {
	t.Parallel()
	if _, err := harness.BinaryPath(); err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	if testing.Short() {
		t.Skip("SKIPPED: -short")
	}
	c := harness.ForTest(t, harness.Config{Servers: 3})
	ctx, cancel := context.WithTimeout(t.Context(), patience/2)
	defer cancel()
	boot, err := c.Servers[0].API().Network().Self(ctx)
	if err != nil {
		t.Fatal(err)
	}
	edge, err := c.AddClient("edge")
	if err != nil {
		t.Fatal(err)
	}
	edge.JoinOverlay = boot.Listen[0] + "/p2p/" + boot.ID
	if err := edge.Start(); err != nil {
		t.Fatal(err)
	}
	settled := func(ctx context.Context) error {
		peers, err := edge.Quick().Network().Peers(ctx)
		if err != nil {
			return err
		}
		servers := 0
		for _, p := range peers {
			if p.Connected {
				servers++
			}
		}
		if servers < len(c.Servers) {
			return fmt.Errorf("the edge agent is connected to %d servers", servers)
		}
		for _, n := range append(slices.Clone(c.Servers), edge) {
			if _, err := n.Quick().KV().Put(ctx, &api.KVPair{Key: "k", Value: []byte("v")}, nil); err != nil {
				return err
			}
		}
		_, err = edge.Quick().SQL().Exec(ctx, "create table if not exists t (n)")
		return err
	}
	for _, ask := range []struct {
		what string
		do   func() error
	}{
		{"a read", func() error { _, _, err := edge.Quick().KV().Get(ctx, "k", nil); return err }},
		{"SQL that writes", func() error { _, err := edge.Quick().SQL().Exec(ctx, "insert into t values (1)"); return err }},
	} {
		if err := c.Wait(ctx, settled); err != nil {
			t.Fatal(err)
		}
		silent := serverOf(ctx, t, c, edge)
		if err := c.Wait(ctx, func(ctx context.Context) error { // an election is another story
			if leader, err := c.Leader(ctx); err != nil || leader != silent {
				return err
			}
			if err := silent.Quick().Operator().RaftTransferLeader(ctx, "", nil); err != nil {
				return err
			}
			return fmt.Errorf("%s leads", silent.Name)
		}); err != nil {
			t.Fatal(err)
		}
		if err := silent.Pause(); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		err := ask.do()
		took := time.Since(begin)
		t.Logf("%s took %s", ask.what, took.Round(10*time.Millisecond))
		if err != nil {
			t.Errorf("%s: %v", ask.what, err)
		}
		if took > silenceWithin {
			t.Errorf("%s took %s", ask.what, took)
		}
		begin = time.Now()
		if _, err := edge.Quick().KV().Put(ctx, &api.KVPair{Key: "k", Value: []byte("w")}, nil); err != nil || time.Since(begin) > silenceWithin {
			t.Errorf("the write after %s took %s: %v", ask.what, time.Since(begin), err)
		}
		if err := silent.Resume(); err != nil {
			t.Fatal(err)
		}
	}
	var rows int
	if err := edge.API().SQL().QueryRow(ctx, api.SQLStatement{SQL: "select count(*) from t"}, nil, &rows); err != nil || rows != 1 {
		t.Errorf("%d rows after one insert that two servers were asked for: %v", rows, err)
	}
}
