package httpapi

import "github.com/debros/debros/structs"

func statusRoutes() []route {
	return []route{
		{
			method: "GET", pattern: "/v1/status/leader", handle: statusLeader, errors: textErrors,
			doc: "Name the leader.", reply: "its `\"host:port\"` for Raft and RPC, `\"\"` when there is none",
		},
		{
			method: "GET", pattern: "/v1/status/peers", handle: statusPeers, errors: textErrors,
			doc: "Name the servers in the Raft configuration.", reply: "a list of `\"host:port\"`",
		},
	}
}

func statusLeader(c *call) error {
	rep, err := c.status("Status.Leader")
	if err != nil {
		return err
	}
	return c.ok(rep.Leader)
}

func statusPeers(c *call) error {
	rep, err := c.status("Status.Peers")
	if err != nil {
		return err
	}
	return sendSlice(c, rep.Peers)
}

func (c *call) status(method string) (*structs.StatusReply, error) {
	o, err := c.query()
	if err != nil {
		return nil, err
	}
	var rep structs.StatusReply
	if err := c.rpc(method, &structs.QueryRequest{QueryOptions: o}, &rep); err != nil {
		return nil, err
	}
	c.meta(&rep.QueryMeta)
	return &rep, nil
}
