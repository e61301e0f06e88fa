package agenttest

import (
	"context"
	"fmt"
	"slices"
)

// C is a cluster that shares one cluster_key.
type C struct {
	t       T
	Key     string
	Servers []*Node
	Clients []*Node
}

// Cluster starts servers s1, s2, … and clients c1, c2, … that join the first server, and waits until
// they have a leader, see each other and stand in the catalog. change may adjust each Spec before it
// starts.
func Cluster(t T, servers, clients int, change ...func(*Spec)) *C {
	t.Helper()
	c := &C{t: t, Key: Key()}
	add := func(list *[]*Node, s Spec) {
		s.Key = c.Key
		if len(c.Servers) > 0 {
			s.Join = []string{c.Servers[0].GossipAddr()}
		}
		for _, f := range change {
			f(&s)
		}
		*list = append(*list, Start(t, s))
	}
	for i := range servers {
		add(&c.Servers, Spec{Name: fmt.Sprintf("s%d", i+1), Server: true, Expect: servers})
	}
	for i := range clients {
		add(&c.Clients, Spec{Name: fmt.Sprintf("c%d", i+1)})
	}
	c.WaitWhole()
	return c
}

// Nodes are all agents, the servers first.
func (c *C) Nodes() []*Node { return append(slices.Clone(c.Servers), c.Clients...) }

// Join is a Spec for one more agent of this cluster.
func (c *C) Join(name string) Spec {
	return Spec{Name: name, Key: c.Key, Join: []string{c.Servers[0].GossipAddr()}}
}

// Drop forgets an agent that the test stopped.
func (c *C) Drop(n *Node) {
	is := func(m *Node) bool { return m == n }
	c.Servers = slices.DeleteFunc(c.Servers, is)
	c.Clients = slices.DeleteFunc(c.Clients, is)
}

// WaitWhole waits until every agent is ready and the catalog, asked on every agent, names all of them.
func (c *C) WaitWhole() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), Patience)
	defer cancel()
	for _, n := range c.Nodes() {
		if err := n.Ready(ctx); err != nil {
			c.t.Fatalf("%s is not ready: %v", n.Spec.Name, err)
		}
	}
	for _, n := range c.Nodes() {
		Eventually(c.t, "the catalog on "+n.Spec.Name+" to name every agent", func() bool {
			nodes, _, err := n.API.Catalog().Nodes(c.t.Context(), nil)
			return err == nil && len(nodes) == len(c.Nodes())
		})
	}
}

// Leader waits for a server that all servers of the cluster hold for the leader.
func (c *C) Leader() *Node {
	c.t.Helper()
	var leader *Node
	Eventually(c.t, "one leader", func() bool {
		leader = nil
		for _, n := range c.Servers {
			ctx, cancel := context.WithTimeout(c.t.Context(), Patience/4)
			conf, err := n.API.Operator().RaftConfiguration(ctx, nil)
			cancel()
			if err != nil {
				return false
			}
			for _, s := range conf.Servers {
				if !s.Leader {
					continue
				}
				found := c.byID(s.ID)
				if found == nil || leader != nil && leader != found {
					return false
				}
				leader = found
			}
		}
		return leader != nil
	})
	return leader
}

// Follower is a server that does not lead.
func (c *C) Follower() *Node {
	c.t.Helper()
	leader := c.Leader()
	for _, n := range c.Servers {
		if n != leader {
			return n
		}
	}
	c.t.Fatalf("the cluster has one server only")
	return nil
}

func (c *C) byID(id string) *Node {
	for _, n := range c.Servers {
		if string(n.Member.ID) == id {
			return n
		}
	}
	return nil
}
