package agent_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/internal/creds"
	"github.com/debros/debros/rpc/transport"
	"github.com/debros/debros/structs"
)

// A request that a follower passes on comes to the leader as the follower's: whoever may not register another node with the
// leader may not by way of a follower, or of a server of another datacenter, either.
func TestNobodyRegistersAnotherNodeByWayOfAServer(t *testing.T) {
	c := agenttest.Cluster(t, 3, 0)
	var key creds.ClusterKey
	key, err := creds.ParseClusterKey(c.Key)
	if err != nil {
		t.Fatal(err)
	}
	node, err := creds.GenerateNodeKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, who := range []struct {
		role structs.Role
		dc   string
	}{{structs.RoleClient, "dc1"}, {structs.RoleServer, "dc2"}} {
		cr, err := creds.Open(creds.Config{Node: node, Role: who.role, Datacenter: who.dc, ClusterKey: key})
		if err != nil {
			t.Fatal(err)
		}
		pool := transport.NewPool(transport.Config{Creds: cr}, nil)
		defer pool.Close()
		for _, s := range []*agenttest.Node{c.Follower(), c.Leader()} {
			addr := fmt.Sprintf("127.0.0.1:%d", s.Member.Ports[structs.PortServer])
			victim := &structs.NodeRegisterRequest{Name: "victim", ID: c.Leader().Member.ID, Edge: &structs.EdgeNode{}}
			if err := pool.Call(t.Context(), addr, "Catalog.Register", victim, new(structs.WriteReply)); !errors.Is(err, structs.ErrDenied) {
				t.Errorf("a %s of %s registered another node by way of %s: %v", who.role, who.dc, s.Spec.Name, err)
			}
		}
	}
}
