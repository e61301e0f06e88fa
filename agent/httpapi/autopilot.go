package httpapi

import (
	"net/http"
	"time"

	"github.com/debros/debros/structs"
)

func autopilotRoutes() []route {
	const p = "/v1/operator/autopilot/"
	return []route{
		{
			method: "GET", pattern: p + "configuration", handle: autopilotGet, errors: textErrors,
			doc: "Read the autopilot configuration.", reply: "an object; durations are strings such as \"200ms\"",
		},
		{
			method: "PUT", pattern: p + "configuration", handle: autopilotSet, errors: textErrors,
			doc: "Replace the autopilot configuration.", params: "`cas=` its ModifyIndex",
			body:  "the object; what is left out takes its default",
			reply: "`true`, or `false` when the cas did not hold",
		},
		{
			method: "GET", pattern: p + "health", handle: autopilotHealth, errors: textErrors,
			doc: "Read the health of the servers.", reply: "`{\"Healthy\", \"FailureTolerance\", \"Servers\"}`; status 429 when unhealthy",
		},
		{
			method: "GET", pattern: p + "state", handle: autopilotState, errors: textErrors,
			doc: "Read what autopilot knows of each server.", reply: "an object with the servers by id",
		},
	}
}

func autopilotGet(c *call) error {
	o, err := c.query()
	if err != nil {
		return err
	}
	var rep structs.AutopilotReply
	if err := c.rpc("Operator.AutopilotGet", &structs.QueryRequest{QueryOptions: o}, &rep); err != nil {
		return err
	}
	c.meta(&rep.QueryMeta)
	a := rep.Config
	return c.ok(structs.AutopilotConfiguration{
		CleanupDeadServers: a.CleanupDeadServers, LastContactThreshold: structs.ReadableDuration(a.LastContactThreshold),
		MaxTrailingLogs: a.MaxTrailingLogs, MinQuorum: a.MinQuorum,
		ServerStabilizationTime: structs.ReadableDuration(a.ServerStabilizationTime),
		CreateIndex:             a.CreateIndex, ModifyIndex: a.ModifyIndex,
	})
}

func autopilotSet(c *call) error {
	in := structs.AutopilotConfiguration{ // Consul's defaults
		CleanupDeadServers:      true,
		LastContactThreshold:    structs.ReadableDuration(200 * time.Millisecond),
		MaxTrailingLogs:         250,
		ServerStabilizationTime: structs.ReadableDuration(10 * time.Second),
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.LastContactThreshold < 0 || in.ServerStabilizationTime < 0 {
		return invalid("LastContactThreshold and ServerStabilizationTime cannot be negative")
	}
	cas, withCAS, err := c.uint("cas")
	if err != nil {
		return err
	}
	req := structs.AutopilotRequest{WriteOptions: c.write(), CAS: withCAS, Config: structs.AutopilotConfig{
		CleanupDeadServers: in.CleanupDeadServers, LastContactThreshold: time.Duration(in.LastContactThreshold),
		MaxTrailingLogs: in.MaxTrailingLogs, MinQuorum: in.MinQuorum,
		ServerStabilizationTime: time.Duration(in.ServerStabilizationTime), ModifyIndex: cas,
	}}
	var rep structs.AutopilotReply
	if err := c.rpc("Operator.AutopilotSet", &req, &rep); err != nil {
		return err
	}
	c.index(rep.Index)
	return c.ok(rep.OK)
}

func (c *call) autopilotReply() (*structs.AutopilotHealthReply, error) {
	o, err := c.query()
	if err != nil {
		return nil, err
	}
	var rep structs.AutopilotHealthReply
	if err := c.rpc("Operator.AutopilotHealth", &structs.QueryRequest{QueryOptions: o}, &rep); err != nil {
		return nil, err
	}
	c.meta(&rep.QueryMeta)
	return &rep, nil
}

func autopilotHealth(c *call) error {
	rep, err := c.autopilotReply()
	if err != nil {
		return err
	}
	out := structs.AutopilotHealth{Healthy: rep.Healthy, FailureTolerance: rep.FailureTolerance, Servers: []structs.AutopilotServerHealth{}}
	for _, s := range rep.Servers {
		out.Servers = append(out.Servers, structs.AutopilotServerHealth{
			ID: s.ID, Name: s.Name, Address: s.Address, SerfStatus: s.SerfStatus, Version: s.Version, Leader: s.Leader,
			LastContact: structs.ReadableDuration(s.LastContact), LastTerm: s.LastTerm, LastIndex: s.LastIndex,
			Healthy: s.Healthy, Voter: s.Voter, StableSince: s.StableSince.UTC(),
		})
	}
	status := http.StatusOK
	if !rep.Healthy { // Consul's way of telling a probe; its client decodes the body all the same
		status = http.StatusTooManyRequests
	}
	return c.json(status, out)
}

func autopilotState(c *call) error {
	rep, err := c.autopilotReply()
	if err != nil {
		return err
	}
	out := structs.AutopilotState{
		Healthy: rep.Healthy, FailureTolerance: rep.FailureTolerance, OptimisticFailureTolerance: rep.FailureTolerance,
		Leader: rep.Leader, Voters: rep.Voters, Servers: map[structs.NodeID]structs.AutopilotServerState{},
	}
	for _, s := range rep.Servers {
		status := "non-voter"
		switch {
		case s.Leader:
			status = "leader"
		case s.Voter:
			status = "voter"
		}
		out.Servers[s.ID] = structs.AutopilotServerState{
			ID: s.ID, Name: s.Name, Address: s.Address, NodeStatus: s.SerfStatus, Version: s.Version,
			LastContact: structs.ReadableDuration(s.LastContact), LastTerm: s.LastTerm, LastIndex: s.LastIndex,
			Healthy: s.Healthy, StableSince: s.StableSince.UTC(), Status: status, NodeType: "voter",
		}
	}
	return c.ok(out)
}
