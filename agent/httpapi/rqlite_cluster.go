package httpapi

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/debros/debros/structs"
)

func rqliteClusterRoutes() []route {
	const node = "`{\"id\", \"api_addr\", \"addr\", \"version\", \"voter\", \"reachable\", \"leader\"}`"
	return []route{
		{
			method: "GET", pattern: "/status", handle: dbStatus, basic: true,
			doc: "Describe the agent and its cluster as rqlite's clients read it.", params: "`db=` the database of which `fk_constraints` says whether foreign keys are enforced", reply: "`{\"store\": {\"leader\": {\"node_id\", \"addr\"}, \"node_id\", \"nodes\", \"sqlite3\": {\"fk_constraints\"}}, \"node\", \"build\"}`",
		},
		{
			method: "GET", pattern: "/nodes", handle: dbNodes, basic: true,
			doc: "List the servers as rqlite's clients read it.", params: "`ver=2` as `{\"nodes\": […]}`",
			reply: "an object of " + node + " by id",
		},
		{
			method: "GET", pattern: "/leader", handle: dbLeader, basic: true,
			doc: "Name the leader as rqlite's clients read it; 503 without one.", reply: node,
		},
		{
			method: "POST", pattern: "/leader", handle: dbStepDown, basic: true,
			doc: "Have the leader hand over, and wait until it has.", body: "`{\"id\"}`, the server to lead; without one the leader chooses", reply: "nothing",
		},
		{
			method: "GET", pattern: "/readyz", handle: dbReady, basic: true,
			doc: "Say whether the agent knows a leader; 503 when it does not.", params: "`noleader` asks only whether it answers; `sync` also whether it has all that is committed, within `timeout` (30s)", reply: "lines of text",
		},
	}
}

// dbNode is a server as rqlite shows it.
type dbNode struct {
	ID        structs.NodeID `json:"id"`
	APIAddr   string         `json:"api_addr"`
	Addr      string         `json:"addr"`
	Version   string         `json:"version"`
	Voter     bool           `json:"voter"`
	Reachable bool           `json:"reachable"`
	Leader    bool           `json:"leader"`
}

// dbServers are the servers as gossip knows them; all of Raft's are shown as voters, which they are or soon will be.
func (c *call) dbServers() ([]dbNode, error) {
	if err := c.agentMay(NodeRead); err != nil {
		return nil, err
	}
	leader, err := c.dbAsk("Status.Leader")
	if err != nil {
		return nil, err
	}
	peers, err := c.dbAsk("Status.Peers")
	if err != nil {
		return nil, err
	}
	scheme := "http://"
	if c.r.TLS != nil {
		scheme = "https://"
	}
	members, err := c.h.b.Members(c.r.Context(), c.token)
	if err != nil {
		return nil, err
	}
	nodes := []dbNode{}
	for _, m := range members {
		if m.Role != structs.RoleServer || m.Status == structs.MemberLeft {
			continue
		}
		addr := net.JoinHostPort(m.Addr, strconv.Itoa(m.Ports[structs.PortServer]))
		nodes = append(nodes, dbNode{
			ID: m.ID, APIAddr: scheme + net.JoinHostPort(m.Addr, strconv.Itoa(m.Ports[structs.PortHTTP])), Addr: addr, Version: m.Build,
			Voter: slices.Contains(peers.Peers, addr), Reachable: m.Status == structs.MemberAlive, Leader: leader.LeaderID != "" && m.ID == leader.LeaderID,
		})
	}
	slices.SortFunc(nodes, func(a, b dbNode) int { return cmp.Compare(a.ID, b.ID) })
	return nodes, nil
}

// dbAsk asks any server, which answers without a leader too.
func (c *call) dbAsk(method string) (*structs.StatusReply, error) {
	req := structs.QueryRequest{QueryOptions: structs.QueryOptions{Token: c.token, Namespace: c.ns, Consistency: structs.Stale}}
	var rep structs.StatusReply
	err := c.rpc(method, &req, &rep)
	return &rep, err
}

func leaderAmong(nodes []dbNode) *dbNode {
	for i := range nodes {
		if nodes[i].Leader {
			return &nodes[i]
		}
	}
	return nil
}

func dbNodes(c *call) error {
	nodes, err := c.dbServers()
	if err != nil {
		return err
	}
	if c.params.Get("ver") == "2" {
		return c.ok(map[string][]dbNode{"nodes": nodes})
	}
	byID := make(map[structs.NodeID]dbNode, len(nodes))
	for _, n := range nodes {
		byID[n.ID] = n
	}
	return c.ok(byID)
}

func dbLeader(c *call) error {
	nodes, err := c.dbServers()
	if err != nil {
		return err
	}
	leader := leaderAmong(nodes)
	if leader == nil {
		return structs.Errorf(structs.KindNoLeader, "leader not found")
	}
	return c.ok(leader)
}

func dbStatus(c *call) error {
	nodes, err := c.dbServers()
	if err != nil {
		return err
	}
	type store struct {
		NodeID structs.NodeID `json:"node_id"`
		Leader struct {
			NodeID structs.NodeID `json:"node_id"`
			Addr   string         `json:"addr"`
		} `json:"leader"`
		Ready   bool     `json:"ready"`
		Nodes   []dbNode `json:"nodes"`
		SQLite3 struct {
			FKConstraints string `json:"fk_constraints"`
		} `json:"sqlite3"`
	}
	self := c.h.b.Self().Config
	st := store{NodeID: self.NodeID, Nodes: nodes}
	st.SQLite3.FKConstraints = c.dbForeignKeys()
	if leader := leaderAmong(nodes); leader != nil {
		st.Leader.NodeID, st.Leader.Addr, st.Ready = leader.ID, leader.Addr, true
	}
	return c.ok(map[string]any{
		"store": st,
		"node":  map[string]string{"name": self.NodeName, "datacenter": self.Datacenter},
		"build": map[string]string{"version": self.Version, "commit": self.Revision},
	})
}

// dbForeignKeys says whether the database enforces foreign keys, as rqlite's shell asks before it restores a dump. A database that cannot be
// asked for, or is not there, enforces nothing that this caller would meet.
func (c *call) dbForeignKeys() string {
	req := structs.SQLDatabaseListRequest{
		QueryOptions: structs.QueryOptions{Token: c.token, Namespace: c.ns, Consistency: structs.Stale},
		Name:         cmp.Or(c.params.Get("db"), structs.DefaultDatabase),
	}
	var rep structs.SQLDatabaseListReply
	if err := c.rpc("SQL.Databases", &req, &rep); err == nil && len(rep.Databases) == 1 && rep.Databases[0].ForeignKeys {
		return "enabled"
	}
	return "disabled"
}

func dbReady(c *call) error {
	lines, status := "[+]node ok", http.StatusOK
	if !c.flag("noleader") {
		rep, err := c.dbAsk("Status.Leader")
		switch {
		case err != nil:
			lines, status = lines+"\n[-]leader unknown: no server answers", http.StatusServiceUnavailable
		case rep.Leader == "":
			lines, status = lines+"\n[-]leader does not exist", http.StatusServiceUnavailable
		default:
			lines += "\n[+]leader ok\n[+]store ok"
		}
	}
	if c.flag("sync") {
		timeout, err := c.syncTimeout()
		if err != nil {
			return err
		}
		if err := c.synced(timeout); err != nil {
			lines, status = lines+"\n[-]sync "+err.Error(), http.StatusServiceUnavailable
		} else {
			lines += "\n[+]sync ok"
		}
	}
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	c.w.WriteHeader(status)
	c.w.Write([]byte(lines + "\n"))
	return nil
}

// syncTimeoutDefault is rqlite's.
const syncTimeoutDefault = 30 * time.Second

func (c *call) syncTimeout() (time.Duration, error) {
	text := c.params.Get("timeout")
	if text == "" {
		return syncTimeoutDefault, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, invalid(`timeout=%q is not a duration above 0 such as "5s"`, shorten(text))
	}
	return min(d, syncTimeoutDefault), nil
}

// synced waits until the server that answers this agent has applied all that was committed when it was asked: any linearizable read does.
func (c *call) synced(timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(c.r.Context(), timeout)
	defer cancel()
	req := structs.KeyRequest{QueryOptions: structs.QueryOptions{Token: c.token, Namespace: c.ns}, Key: "readyz"}
	var rep structs.KVGetReply
	return c.h.b.RPC(ctx, "KV.Get", &req, &rep)
}

func dbStepDown(c *call) error {
	var body struct{ ID structs.NodeID }
	if err := c.decode(&body); err != nil {
		return err
	}
	req := structs.RaftPeerRequest{WriteOptions: c.write(), ID: body.ID}
	var rep structs.WriteReply
	if err := c.rpc("Operator.RaftTransferLeader", &req, &rep); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusOK)
	return nil
}
