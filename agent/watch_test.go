package agent_test

import (
	"context"
	"testing"
	"time"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
)

func TestAWatchWakesOnAFollowerAndOnAClient(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 3, 1)
	leader := c.Leader()
	put(t, leader, "k", "0")
	for _, n := range []*agenttest.Node{c.Follower(), c.Clients[0]} {
		before, meta, err := n.API.KV().Get(t.Context(), "k", nil)
		if err != nil || before == nil {
			t.Fatal(err)
		}
		type answer struct {
			pair *api.KVPair
			err  error
		}
		got := make(chan answer, 1)
		go func() {
			p, _, err := n.API.KV().Get(t.Context(), "k", &api.QueryOptions{Index: meta.Index, Wait: agenttest.Patience})
			got <- answer{p, err}
		}()
		put(t, leader, "other", n.Spec.Name) // wakes nobody
		select {
		case a := <-got:
			t.Fatalf("%s woke for another key: %+v, %v", n.Spec.Name, a.pair, a.err)
		case <-time.After(100 * time.Millisecond):
		}
		put(t, leader, "k", n.Spec.Name)
		select {
		case a := <-got:
			if a.err != nil || string(a.pair.Value) != n.Spec.Name {
				t.Fatalf("%s: %+v, %v", n.Spec.Name, a.pair, a.err)
			}
		case <-time.After(agenttest.Patience / 2):
			t.Fatalf("%s slept through the change", n.Spec.Name)
		}
	}
}

func TestAClientGoesOnWhenTheLeaderDies(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 3, 1)
	client, dead := c.Clients[0], c.Leader()
	id, _, err := client.API.Session().Create(t.Context(), &api.SessionEntry{TTL: "10s"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	put(t, client, "k", "before")
	dead.Kill()
	c.Drop(dead)
	ctx, cancel := context.WithTimeout(t.Context(), agenttest.Patience)
	defer cancel()
	eventually(t, "a write through the client", func() bool {
		_, err := client.API.KV().Put(ctx, &api.KVPair{Key: "k2", Value: []byte("after")}, nil)
		return err == nil
	})
	want(t, client, "k", "before")
	if e, _, err := client.API.Session().Renew(ctx, id, nil); err != nil || e == nil {
		t.Fatalf("the session did not survive the change of leader: %v, %v", e, err)
	}
}
