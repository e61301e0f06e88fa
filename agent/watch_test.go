package agent_test

import (
	"errors"
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
		_, meta := get(t, n, "k")
		type answer struct {
			pair *api.KVPair
			err  error
		}
		got := make(chan answer, 1)
		go func() {
			var p *api.KVPair
			err := errors.New("not asked yet")
			for err != nil && t.Context().Err() == nil { // a change of leader ends the query
				p, _, err = n.API.KV().Get(t.Context(), "k", &api.QueryOptions{Index: meta.Index, Wait: 2 * agenttest.Patience})
			}
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
		case <-time.After(agenttest.Patience):
			t.Fatalf("%s slept through the change", n.Spec.Name)
		}
	}
}

func TestAClientGoesOnWhenTheLeaderDies(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 3, 1)
	client, dead := c.Clients[0], c.Leader()
	id := session(t, client, &api.SessionEntry{TTL: "1m"})
	put(t, client, "k", "before")
	dead.Kill()
	c.Drop(dead)
	put(t, client, "k2", "after")
	want(t, client, "k", "before")
	var e *api.SessionEntry
	err := settled(t, func() (err error) {
		e, _, err = client.API.Session().Renew(t.Context(), id, nil)
		return err
	})
	if err != nil || e == nil {
		t.Fatalf("the session did not survive the change of leader: %v, %v", e, err)
	}
}
