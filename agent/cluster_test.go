package agent_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
)

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	agenttest.Eventually(t, what, ok)
}

// settled repeats a call that may be made twice while the cluster changes its leader: on a busy machine
// a leader is taken for dead at any time.
func settled(t *testing.T, call func() error) (err error) {
	t.Helper()
	eventually(t, "a call with a certain answer", func() bool {
		err = call()
		return !errors.Is(err, api.ErrNoLeader) && !errors.Is(err, api.ErrUnavailable) && !errors.Is(err, api.ErrUnknownResult)
	})
	return err
}

func put(t *testing.T, n *agenttest.Node, key, value string) {
	t.Helper()
	err := settled(t, func() error {
		_, err := n.API.KV().Put(t.Context(), &api.KVPair{Key: key, Value: []byte(value)}, nil)
		return err
	})
	if err != nil {
		t.Fatalf("put %s on %s: %v", key, n.Spec.Name, err)
	}
}

// get is a linearizable read that waits until there is a leader.
func get(t *testing.T, n *agenttest.Node, key string) (p *api.KVPair, meta *api.QueryMeta) {
	t.Helper()
	err := settled(t, func() (err error) {
		p, meta, err = n.API.KV().Get(t.Context(), key, nil)
		return err
	})
	if err != nil {
		t.Fatalf("get %s on %s: %v", key, n.Spec.Name, err)
	}
	return p, meta
}

func want(t *testing.T, n *agenttest.Node, key, value string) {
	t.Helper()
	if p, _ := get(t, n, key); p == nil || string(p.Value) != value {
		t.Fatalf("get %s on %s: %v; want %q", key, n.Spec.Name, p, value)
	}
}

// session makes a session.
func session(t *testing.T, n *agenttest.Node, e *api.SessionEntry) (id string) {
	t.Helper()
	err := settled(t, func() (err error) {
		id, _, err = n.API.Session().Create(t.Context(), e, nil)
		return err
	})
	if err != nil {
		t.Fatalf("create a session on %s: %v", n.Spec.Name, err)
	}
	return id
}

func TestThreeServersAndAClientFormACluster(t *testing.T) {
	t.Parallel()
	c := agenttest.Cluster(t, 3, 1)
	for i, writer := range c.Nodes() {
		key := fmt.Sprintf("k%d", i)
		put(t, writer, key, writer.Spec.Name)
		for _, reader := range c.Nodes() {
			want(t, reader, key, writer.Spec.Name)
		}
	}
	client := c.Clients[0]
	members, err := client.API.Agent().Members(t.Context(), nil)
	if err != nil || len(members) != 4 {
		t.Fatalf("members on the client: %d, %v", len(members), err)
	}
	peers, err := client.API.Status().Peers(t.Context(), nil)
	if err != nil || len(peers) != 3 {
		t.Fatalf("peers: %v, %v", peers, err)
	}
}
