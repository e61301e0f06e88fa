package agent_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"testing"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
)

// Two clusters of one key with different datacenters, which know each other by the overlay only.
func TestDatacentersAnswerForEachOtherAndLiveWithoutEachOther(t *testing.T) {
	key := agenttest.Key()
	one := agenttest.Start(t, agenttest.Spec{Name: "s1", Server: true, Expect: 1, Key: key, Overlay: true})
	other := agenttest.Spec{Name: "s1", Server: true, Expect: 1, Key: key, Overlay: true,
		HCL: fmt.Sprintf("datacenter = \"dc2\"\noverlay {\n bootstrap = [%q]\n}", overlayAddr(one))}
	two := agenttest.Start(t, other)
	for _, n := range []*agenttest.Node{one, two} {
		if err := n.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	in := func(dc string) *api.QueryOptions { return &api.QueryOptions{Datacenter: dc} }
	to := func(dc string) *api.WriteOptions { return &api.WriteOptions{Datacenter: dc} }
	agenttest.Eventually(t, "a write into the other datacenter", func() bool {
		_, err := one.API.KV().Put(ctx, &api.KVPair{Key: "k", Value: []byte("from dc1")}, to("dc2"))
		return err == nil
	})
	for n, dc := range map[*agenttest.Node]string{one: "dc2", two: ""} {
		if p, _, err := n.API.KV().Get(ctx, "k", in(dc)); err != nil || p == nil || string(p.Value) != "from dc1" {
			t.Fatalf("%s %q: %v, %v", n.Spec.Name, dc, p, err)
		}
	}
	if p, _, err := one.API.KV().Get(ctx, "k", nil); err != nil || p != nil {
		t.Errorf("the key is in dc1 too: %v, %v", p, err)
	}
	// Streams travel too, both ways.
	if _, err := two.API.SQL().Exec(ctx, "create table t as select 7 as n"); err != nil {
		t.Fatal(err)
	}
	rows, err := one.API.SQL().Query(ctx, api.Stmt("select n from t"), in("dc2"))
	if err != nil {
		t.Fatal(err)
	}
	if row, err := rows.Next(); err != nil || fmt.Sprint(row.Values()) != "[7]" {
		t.Errorf("%v, %v", row, err)
	}
	if _, err := rows.Next(); err != io.EOF {
		t.Error(err)
	}
	rows.Close()
	dcs, err := one.API.Catalog().Datacenters(ctx)
	if err != nil || !slices.Equal(dcs, []string{"dc1", "dc2"}) {
		t.Errorf("%v, %v", dcs, err)
	}
	edge := edgeSpec(key, two)
	edge.HCL += "\ndatacenter = \"dc2\""
	away := agenttest.Start(t, edge)
	agenttest.Eventually(t, "servers and edge agents of both, with all that is known of them", func() bool {
		wan, err := one.API.Agent().MembersWAN(ctx, nil)
		rows := map[string]string{}
		for _, m := range wan {
			if m.Datacenter == m.Tags["dc"] && m.Role == m.Tags["role"] && m.ID == m.Tags["id"] && m.ID != "" && m.Addr != "" && m.Port != 0 && m.Build != "" {
				rows[m.Name] = m.Role + " " + m.Tags["via"]
			}
		}
		return err == nil && maps.Equal(rows, map[string]string{"s1.dc1": "server ", "s1.dc2": "server direct", "edge.dc2": "edge direct"})
	})
	away.Shutdown()
	if _, _, err := one.API.KV().Get(ctx, "k", in("dc3")); !errors.Is(err, api.ErrNoPath) {
		t.Errorf("an unknown datacenter: %v", err)
	}

	// Without a path each goes on alone, and says so; then they find each other again.
	two.Kill()
	agenttest.Eventually(t, "no path", func() bool {
		_, _, err := one.API.KV().Get(ctx, "k", in("dc2"))
		return errors.Is(err, api.ErrNoPath)
	})
	if _, err := one.API.KV().Put(ctx, &api.KVPair{Key: "own"}, nil); err != nil {
		t.Errorf("dc1 alone: %v", err)
	}
	two.Restart(t, nil)
	agenttest.Eventually(t, "the other datacenter to be reached again", func() bool {
		p, _, err := one.API.KV().Get(ctx, "k", in("dc2"))
		return err == nil && p != nil
	})
}
