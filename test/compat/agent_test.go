package compat

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	memberAlive  = 1
	memberFailed = 4
)

func TestAgentSelf(t *testing.T) {
	client, _ := sharedClient(t)
	name, err := client.Agent().NodeName()
	if must(t, err); name != shared.node {
		t.Errorf("node name %q", name)
	}
	self, err := client.Agent().Self()
	must(t, err)
	config := self["Config"]
	if config["NodeName"] != shared.node || config["Datacenter"] != "dc1" || config["Server"] != true || config["NodeID"] == "" || config["Version"] == "" {
		t.Errorf("config %v", config)
	}
	if self["Member"]["Name"] != shared.node || self["Stats"]["raft"] == nil {
		t.Errorf("member %v, stats %v", self["Member"], self["Stats"])
	}
}

func TestAgentMembers(t *testing.T) {
	client, _ := sharedClient(t)
	for wan, name := range map[bool]string{false: shared.node, true: shared.node + ".dc1"} {
		members, err := client.Agent().Members(wan)
		must(t, err)
		if len(members) != 1 || members[0].Name != name || members[0].Status != memberAlive || members[0].Addr != "127.0.0.1" ||
			members[0].Tags["role"] == "" || members[0].Tags["dc"] != "dc1" {
			t.Errorf("wan %v: %+v", wan, members)
		}
	}
}

func TestAgentHostAndVersion(t *testing.T) {
	client, _ := sharedClient(t)
	host, err := client.Agent().Host()
	if must(t, err); len(host) == 0 {
		t.Errorf("host %v", host)
	}
	version, err := client.Agent().Version()
	if must(t, err); version["HumanVersion"] == "" || version["HumanVersion"] == nil {
		t.Errorf("version %v", version)
	}
}

func TestAgentMetrics(t *testing.T) {
	t.Parallel()
	client, p := sharedClient(t)
	put(t, client.KV(), p+"a", "1")
	eventually(t, 2*deadline, "metrics of an interval", func() bool { // the sink shows whole intervals
		m, err := client.Agent().Metrics()
		must(t, err)
		return m.Timestamp != "" && len(m.Gauges)+len(m.Counters)+len(m.Samples) > 0
	})
}

func TestAgentMonitor(t *testing.T) {
	client, _ := sharedClient(t)
	for name, monitor := range map[string]func(string, <-chan struct{}, *api.QueryOptions) (chan string, error){
		"text": client.Agent().Monitor, "json": client.Agent().MonitorJSON,
	} {
		t.Run(name, func(t *testing.T) {
			stop := make(chan struct{})
			defer close(stop)
			lines, err := monitor("debug", stop, (&api.QueryOptions{}).WithContext(within(t, deadline)))
			must(t, err)
			go client.Agent().Join("127.0.0.1:1", false) // nobody is there: the agent logs that
			select {
			case line := <-lines:
				if json.Valid([]byte(line)) != (name == "json") || line == "" {
					t.Errorf("line %q", line)
				}
			case <-time.After(deadline):
				t.Error("no line")
			}
		})
	}
}

func TestAgentReloadAndMaintenance(t *testing.T) {
	_, client := startAgent(t, "reload")
	must(t, client.Agent().Reload())
	must(t, client.Agent().EnableNodeMaintenance("repair"))
	must(t, client.Agent().DisableNodeMaintenance())
}

// Two agents see each other; one is killed, which ends its sessions, and then declared gone.
func TestAgentJoinFailureAndForceLeave(t *testing.T) {
	t.Parallel()
	_, client := startAgent(t, "first")
	second, err := start("second")
	must(t, err)
	defer second.stop()
	if err := client.Agent().Join("127.0.0.1:1", false); err == nil {
		t.Error("joined nobody")
	}
	other, err := second.client()
	must(t, err)
	must(t, client.Agent().Join(second.serf, false))
	memberStatus := func(name string) int {
		members, err := client.Agent().Members(false)
		must(t, err)
		i := slices.IndexFunc(members, func(m *api.AgentMember) bool { return m.Name == name })
		if i < 0 {
			return -1
		}
		return members[i].Status
	}
	eventually(t, deadline, "each sees the other", func() bool {
		members, err := other.Agent().Members(false)
		must(t, err)
		return memberStatus("second") == memberAlive && len(members) == 2
	})
	eventually(t, deadline, "the catalog has both", func() bool {
		nodes, _, err := client.Catalog().Nodes(nil)
		must(t, err)
		return len(nodes) == 2
	})
	// Row 13's neighbour: a session ends with its node, unless it was made without checks.
	tied := newSession(t, client, &api.SessionEntry{Node: "second"})
	free, _, err := client.Session().CreateNoChecks(&api.SessionEntry{Node: "second"}, nil)
	must(t, err)
	must(t, second.process.Process.Kill())
	<-second.exited
	eventually(t, 4*deadline, "the killed one is seen as failed", func() bool { return memberStatus("second") == memberFailed })
	eventually(t, deadline, "its session ends", func() bool { return info(t, client, tied) == nil })
	if info(t, client, free) == nil {
		t.Error("a session without checks ended with a failure")
	}
	_, _, err = client.Session().Create(&api.SessionEntry{Node: "second"}, nil)
	status(t, err, 500, "Check 'serfHealth' is in critical state")
	must(t, client.Agent().ForceLeave("second"))
	eventually(t, deadline, "it is gone", func() bool { return memberStatus("second") != memberFailed })
	must(t, client.Agent().ForceLeavePrune("second"))
	eventually(t, deadline, "it is forgotten", func() bool { return memberStatus("second") == -1 })
	eventually(t, deadline, "all its sessions end", func() bool { return info(t, client, free) == nil })
}

func TestAgentLeaveOfTheLastServerIsRefused(t *testing.T) {
	_, client := startAgent(t, "last")
	// Unlike Consul's: the state would be gone, and the client cannot say that this is meant.
	status(t, client.Agent().Leave(), 409, "last server")
	put(t, client.KV(), "a", "still here")
}

func TestStatus(t *testing.T) {
	client, _ := sharedClient(t)
	leader, err := client.Status().Leader()
	if must(t, err); leader != shared.server {
		t.Errorf("leader %q, want %q", leader, shared.server)
	}
	peers, err := client.Status().Peers()
	if must(t, err); !slices.Equal(peers, []string{shared.server}) {
		t.Errorf("peers %v", peers)
	}
}

func TestCatalog(t *testing.T) {
	client, _ := sharedClient(t)
	dcs, err := client.Catalog().Datacenters()
	if must(t, err); !slices.Equal(dcs, []string{"dc1"}) {
		t.Errorf("datacenters %v", dcs)
	}
	for _, q := range []*api.QueryOptions{nil, {Near: "_agent"}, {AllowStale: true}} {
		nodes, meta, err := client.Catalog().Nodes(q)
		must(t, err)
		if len(nodes) != 1 || nodes[0].Node != shared.node || nodes[0].Address != "127.0.0.1" || nodes[0].ID == "" ||
			nodes[0].TaggedAddresses["lan"] != "127.0.0.1" || meta.LastIndex == 0 {
			t.Errorf("nodes %+v, meta %+v", nodes, meta)
		}
	}
	if nodes, _, err := client.Catalog().Nodes(&api.QueryOptions{NodeMeta: map[string]string{"no": "such"}}); err != nil || len(nodes) > 0 {
		t.Errorf("nodes by meta: %v %v", nodes, err)
	}
	node, _, err := client.Catalog().Node(shared.node, nil)
	if must(t, err); node == nil || node.Node.Node != shared.node || node.Services == nil {
		t.Errorf("node %+v", node)
	}
	if node, _, err := client.Catalog().Node("nobody", nil); err != nil || node != nil {
		t.Errorf("unknown node: %+v %v", node, err)
	}
}

func TestCoordinates(t *testing.T) {
	client, _ := sharedClient(t)
	all, _, err := client.Coordinate().Nodes(nil)
	must(t, err)
	if len(all) != 1 || all[0].Node != shared.node || all[0].Coord == nil || len(all[0].Coord.Vec) == 0 {
		t.Errorf("coordinates %+v", all)
	}
	one, _, err := client.Coordinate().Node(shared.node, nil)
	if must(t, err); len(one) != 1 || one[0].Node != shared.node {
		t.Errorf("coordinate %+v", one)
	}
	_, _, err = client.Coordinate().Node("nobody", nil)
	status(t, err, 404, "")
}
