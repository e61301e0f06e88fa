package httpapi

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/debros/debros/structs"
)

func agentRoutes() []route {
	const p = "/v1/agent/"
	return []route{
		{
			method: "GET", pattern: p + "self", handle: agentSelf, errors: textErrors,
			doc: "Describe this agent; secrets are left out.", reply: "`{\"Config\", \"DebugConfig\", \"Coord\", \"Member\", \"Stats\", \"Meta\"}`",
		},
		{
			method: "GET", pattern: p + "members", handle: agentMembers, errors: textErrors,
			doc: "List the nodes as this agent's gossip sees them now; of an edge agent, which has no gossip, as its servers know them.", params: "`wan` the servers and edge agents of every datacenter, named node.datacenter; their tags `via` (direct, punched or relay), `transport` and `rtt_ms` say how this agent, or an edge agent itself, is connected",
			reply: "a list of members; `Status` is 1 alive, 2 leaving, 3 left, 4 failed",
		},
		{
			method: "PUT", pattern: p + "join/{address}", handle: agentJoin, errors: textErrors,
			doc: "Join the cluster of the agent at an address.", params: "`wan`", reply: "`{\"Joined\"}`, how many nodes answered",
		},
		{
			method: "PUT", pattern: p + "leave", handle: agentLeave, errors: textErrors,
			doc: "Leave the cluster and stop the agent. Refused with 409 where quorum would be lost.", params: "`force`", reply: "nothing",
		},
		{
			method: "PUT", pattern: p + "force-leave/{node}", handle: agentForceLeave, errors: textErrors,
			doc: "Declare a failed node gone.", params: "`prune` also forgets it at once", reply: "nothing",
		},
		{
			method: "PUT", pattern: p + "reload", handle: agentReload, errors: textErrors,
			doc: "Read the configuration again.", reply: "`{\"Changed\", \"NeedsRestart\"}`, configuration keys",
		},
		{
			method: "GET", pattern: p + "host", handle: agentHost, errors: textErrors,
			doc: "Describe the machine.", reply: "an object",
		},
		{
			method: "GET", pattern: p + "version", handle: agentVersion, errors: textErrors,
			doc: "Name the build.", reply: "`{\"HumanVersion\", \"SHA\", \"BuildDate\", …}`",
		},
		{
			method: "PUT", pattern: p + "maintenance", handle: agentMaintenance, errors: textErrors,
			doc: "Take this node out of service or back in.", params: "`enable=true` or `enable=false`; `reason=`", reply: "nothing",
		},
		{
			method: "GET", pattern: p + "metrics", handle: agentMetrics, errors: textErrors,
			doc: "Read this agent's metrics.", params: "`format=prometheus`", reply: "JSON, or the Prometheus text format",
		},
		{
			method: "GET", pattern: p + "monitor", handle: agentMonitor, errors: textErrors,
			doc: "Follow this agent's log from now on.", params: "`loglevel=` debug, info (default), warn or error; `logjson`", reply: "lines, until the client goes away",
		},
	}
}

// selfReply is the shape that Consul's clients read: objects of objects.
type selfReply struct {
	Config      SelfConfig
	DebugConfig any
	Coord       any
	Member      structs.AgentMember
	Stats       map[string]map[string]string
	Meta        map[string]string
}

func agentSelf(c *call) error {
	if err := c.agentMay(AgentRead); err != nil {
		return err
	}
	s := c.h.b.Self()
	rep := selfReply{Config: s.Config, DebugConfig: s.DebugConfig, Member: member(s.Member), Stats: s.Stats, Meta: s.Meta}
	if s.Coord != nil {
		rep.Coord = s.Coord.Coord
	}
	return c.ok(rep)
}

// memberStatus is serf's number for a word.
func memberStatus(s structs.MemberStatus) int {
	switch s {
	case structs.MemberAlive:
		return 1
	case structs.MemberLeaving:
		return 2
	case structs.MemberLeft:
		return 3
	case structs.MemberFailed:
		return 4
	}
	return 0
}

func member(m structs.Member) structs.AgentMember {
	return structs.AgentMember{
		Name: m.Name, Addr: m.Addr, Port: m.Port, Tags: m.Tags, Status: memberStatus(m.Status),
		ProtocolMin: m.ProtocolMin, ProtocolMax: m.ProtocolMax, ProtocolCur: m.ProtocolCur,
		DelegateMin: m.DelegateMin, DelegateMax: m.DelegateMax, DelegateCur: m.DelegateCur,
		ID: m.ID, Role: m.Role, Datacenter: m.Datacenter, Build: m.Build, StatusName: m.Status, Expect: m.Expect, Ports: m.Ports,
	}
}

func agentMembers(c *call) error {
	if err := c.agentMay(NodeRead); err != nil {
		return err
	}
	if err := c.noFilter(); err != nil {
		return err
	}
	wan := c.flag("wan")
	list := c.h.b.Members
	if wan {
		list = c.h.b.MembersWAN
	}
	members, err := list(c.r.Context(), c.token)
	if err != nil {
		return err
	}
	slices.SortFunc(members, func(a, b structs.Member) int { return strings.Compare(a.Name, b.Name) })
	out := make([]structs.AgentMember, 0, len(members))
	for _, m := range members {
		am := member(m)
		if wan {
			am.Name += "." + m.Datacenter // as Consul names them
		}
		out = append(out, am)
	}
	return sendSlice(c, out)
}

// noFilter refuses Consul's filter expressions: leaving one out would answer another question.
func (c *call) noFilter() error {
	if c.params.Get("filter") != "" {
		return structs.Errorf(structs.KindUnsupported, "filter expressions are not supported")
	}
	return nil
}

func agentJoin(c *call) error {
	if err := c.agentMay(AgentWrite); err != nil {
		return err
	}
	if c.param == "" {
		return invalid("Missing address to join")
	}
	n, err := c.h.b.Join(c.r.Context(), []string{c.param}, c.flag("wan"))
	if err != nil {
		return err
	}
	return c.ok(struct{ Joined int }{n})
}

func agentLeave(c *call) error {
	if err := c.agentMay(AgentWrite); err != nil {
		return err
	}
	// A client that hangs up must not leave the node half gone.
	return c.done(c.h.b.Leave(context.WithoutCancel(c.r.Context()), c.flag("force")))
}

func agentForceLeave(c *call) error {
	op := AgentWrite
	if c.flag("prune") {
		op = OperatorWrite
	}
	if err := c.agentMay(op); err != nil {
		return err
	}
	if c.param == "" {
		return invalid("Missing node name")
	}
	return c.done(c.h.b.ForceLeave(c.r.Context(), c.token, c.param, c.flag("prune")))
}

// done answers a command that has nothing to say.
func (c *call) done(err error) error {
	if err == nil {
		c.w.WriteHeader(http.StatusOK)
	}
	return err
}

func agentReload(c *call) error {
	if err := c.agentMay(AgentWrite); err != nil {
		return err
	}
	rep, err := c.h.b.Reload(c.r.Context())
	if err != nil {
		return err
	}
	return c.ok(rep)
}

func agentHost(c *call) error {
	if err := c.agentMay(OperatorRead); err != nil {
		return err
	}
	host, err := c.h.b.Host(c.r.Context())
	if err != nil {
		return err
	}
	return c.ok(host)
}

func agentVersion(c *call) error {
	if err := c.agentMay(AgentRead); err != nil {
		return err
	}
	return c.ok(c.h.b.Version())
}

func agentMaintenance(c *call) error {
	if err := c.agentMay(NodeWrite); err != nil {
		return err
	}
	var enable bool
	switch c.params.Get("enable") {
	case "true", "1":
		enable = true
	case "false", "0":
	case "":
		return invalid("Missing value for enable")
	default:
		return invalid("Invalid value for enable: %q", shorten(c.params.Get("enable")))
	}
	return c.done(c.h.b.Maintenance(c.r.Context(), enable, c.params.Get("reason")))
}

func agentMetrics(c *call) error {
	if err := c.agentMay(AgentRead); err != nil {
		return err
	}
	switch f := c.params.Get("format"); f {
	case "", "json", "prometheus":
	default:
		return invalid("unknown metrics format %q", shorten(f)).WithHint("leave it out for JSON, or give prometheus")
	}
	c.h.b.Metrics().ServeHTTP(c.w, c.r)
	return nil
}
