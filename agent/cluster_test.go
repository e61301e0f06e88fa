package agent_test

import (
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

func put(t *testing.T, n *agenttest.Node, key, value string) {
	t.Helper()
	if _, err := n.API.KV().Put(t.Context(), &api.KVPair{Key: key, Value: []byte(value)}, nil); err != nil {
		t.Fatalf("put %s on %s: %v", key, n.Spec.Name, err)
	}
}

func want(t *testing.T, n *agenttest.Node, key, value string) {
	t.Helper()
	p, _, err := n.API.KV().Get(t.Context(), key, nil)
	if err != nil || p == nil || string(p.Value) != value {
		t.Fatalf("get %s on %s: %v, %v; want %q", key, n.Spec.Name, p, err, value)
	}
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
