package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
)

// A configuration was cloned with its cluster_key, and one of the clusters joined to the other.
func TestTwoClustersWithOneKeyThatAreJoinedStayTwo(t *testing.T) {
	t.Parallel()
	key := agenttest.Key()
	a := agenttest.Start(t, agenttest.Spec{Name: "a1", Server: true, Expect: 1, Key: key})
	b := agenttest.Start(t, agenttest.Spec{Name: "b1", Server: true, Expect: 1, Key: key})
	sides := [][2]*agenttest.Node{{a, b}, {b, a}}
	configuration := func(n *agenttest.Node) *api.RaftConfiguration {
		conf, err := n.API.Operator().RaftConfiguration(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return conf
	}
	for _, n := range []*agenttest.Node{a, b} {
		put(t, n, "owner", n.Spec.Name)
		eventually(t, "the id of "+n.Spec.Name, func() bool { return configuration(n).ClusterID != "" })
	}
	if err := b.API.Agent().Join(t.Context(), a.GossipAddr()); err != nil {
		t.Fatal(err)
	}
	for _, s := range sides {
		own, other := s[0], s[1]
		eventually(t, own.Spec.Name+" to refuse the other", func() bool { return len(configuration(own).Refused) == 1 })
		conf, theirs := configuration(own), configuration(other)
		if r := conf.Refused[0]; r.Node != other.Spec.Name || r.ClusterID != theirs.ClusterID || r.ClusterID == conf.ClusterID {
			t.Errorf("%s refuses %+v; it is cluster %s", own.Spec.Name, r, conf.ClusterID)
		}
		if conf.Index != 1 { // the entry it was bootstrapped with: nothing came of the other
			t.Errorf("%s's configuration stands at %d", own.Spec.Name, conf.Index)
		}
		self, err := own.API.Agent().Self(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		figures, _ := self["Stats"]["server"].(map[string]any)
		if figures["cluster_id"] != conf.ClusterID || figures["refused_servers"] != "1" {
			t.Errorf("%s shows %v", own.Spec.Name, figures)
		}
		if got := strings.Count(own.Log(t), "kept out of this cluster"); got != 1 {
			t.Errorf("%s says %d times that it refused the other:\n%s", own.Spec.Name, got, own.Log(t))
		}
	}
	if metric(t, a, "debros_server_refused") == 0 {
		t.Error("the refusals are not counted")
	}
	for _, s := range sides {
		own, other := s[0], s[1]
		put(t, own, "after", own.Spec.Name)
		want(t, own, "owner", own.Spec.Name)
		want(t, own, "after", own.Spec.Name)
		nodes, _, err := own.API.Catalog().Nodes(t.Context(), nil)
		if err != nil || len(nodes) != 1 || nodes[0].Node != own.Spec.Name || len(configuration(own).Servers) != 1 {
			t.Errorf("%s has %d nodes in its catalog, and the servers of %s: %v", own.Spec.Name, len(nodes), other.Spec.Name, err)
		}
	}

	// Restarted, they find each other again and know from their first second who they are.
	id := configuration(b).ClusterID
	b = b.Restart(t, nil)
	eventually(t, "b1 to refuse a1 again", func() bool {
		conf, err := b.API.Operator().RaftConfiguration(t.Context(), nil)
		return err == nil && conf.ClusterID == id && len(conf.Refused) == 1
	})
	data, err := os.ReadFile(filepath.Join(b.Spec.Dir, "cluster.id"))
	if err != nil || string(data) != id+"\n" {
		t.Errorf("cluster.id holds %q, %v", data, err)
	}
	want(t, b, "after", "b1")
}
