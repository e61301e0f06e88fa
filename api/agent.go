package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Agent asks the agent itself, not the cluster's state.
type Agent struct{ c *Client }

// MemberStatus is a word for how a member is seen.
type MemberStatus string

// The states of a member.
const (
	MemberAlive   MemberStatus = "alive"
	MemberLeaving MemberStatus = "leaving"
	MemberLeft    MemberStatus = "left"
	MemberFailed  MemberStatus = "failed"
)

// memberStatuses are the numbers of Consul's API.
var memberStatuses = []MemberStatus{"none", MemberAlive, MemberLeaving, MemberLeft, MemberFailed}

// UnmarshalJSON reads a word or Consul's number.
func (s *MemberStatus) UnmarshalJSON(b []byte) error {
	var n int
	if json.Unmarshal(b, &n) == nil {
		*s = memberStatuses[0]
		if n >= 0 && n < len(memberStatuses) {
			*s = memberStatuses[n]
		}
		return nil
	}
	return json.Unmarshal(b, (*string)(s))
}

// Member is a node as the agent's gossip sees it now.
type Member struct {
	ID          string // peer id of its key
	Name        string
	Addr        string // gossip address
	Port        int
	Role        string // "server" or "client"
	Status      MemberStatus
	Datacenter  string
	Expect      int            // bootstrap_expect; 0 = none
	Ports       map[string]int // advertised ports: "http", "server", "serf_lan", …
	Build       string
	Protocol    int
	FSM         int
	Tags        map[string]string // all gossip tags, as they are
	ProtocolMin uint8
	ProtocolMax uint8
	ProtocolCur uint8
	DelegateMin uint8
	DelegateMax uint8
	DelegateCur uint8
}

// Members lists the nodes that the agent sees, itself among them; an edge agent asks its servers.
func (a *Agent) Members(ctx context.Context, o *QueryOptions) ([]*Member, error) {
	var out []*Member
	_, _, err := a.c.get(ctx, "/v1/agent/members", o, &out)
	for _, m := range out {
		m.fill()
	}
	return out, err
}

// MembersWAN lists the servers and edge agents of every datacenter, named node.datacenter. Their tags via ("direct", "punched" or
// "relay"), transport and rtt_ms say how the agent, or an edge agent itself, is connected.
func (a *Agent) MembersWAN(ctx context.Context, o *QueryOptions) ([]*Member, error) {
	var out []*Member
	_, _, err := a.c.get(ctx, "/v1/agent/members", o, &out, "wan", "1")
	for _, m := range out {
		m.fill()
	}
	return out, err
}

// fill takes from the tags what the agent did not spell out.
func (m *Member) fill() {
	for field, tag := range map[*string]string{&m.ID: "id", &m.Role: "role", &m.Datacenter: "dc", &m.Build: "build"} {
		if *field == "" {
			*field = m.Tags[tag]
		}
	}
	for field, tag := range map[*int]string{&m.Protocol: "proto", &m.FSM: "fsm"} {
		if *field == 0 {
			*field, _ = strconv.Atoi(m.Tags[tag]) // a tag that is no number says nothing
		}
	}
}

// Self is the agent's own configuration, member entry and statistics, as groups of values. Group
// "Stats" holds one map of strings for each part.
func (a *Agent) Self(ctx context.Context) (map[string]map[string]any, error) {
	var out map[string]map[string]any
	_, _, err := a.c.get(ctx, "/v1/agent/self", nil, &out)
	return out, err
}

// Join makes the agent join the cluster of the agent at addr, "host" or "host:port" of its gossip.
func (a *Agent) Join(ctx context.Context, addr string) error {
	return a.do(ctx, "/v1/agent/join/"+url.PathEscape(addr))
}

// Leave makes the agent leave the cluster for good and stop. A server refuses with ErrConflict when
// the servers that remain could not decide any more, unless force is true.
func (a *Agent) Leave(ctx context.Context, force bool) error {
	if force {
		return a.do(ctx, "/v1/agent/leave", "force", "true")
	}
	return a.do(ctx, "/v1/agent/leave")
}

// ForceLeave declares a failed node as left. With prune it is forgotten altogether.
func (a *Agent) ForceLeave(ctx context.Context, node string, prune bool) error {
	if prune {
		return a.do(ctx, "/v1/agent/force-leave/"+url.PathEscape(node), "prune", "true")
	}
	return a.do(ctx, "/v1/agent/force-leave/"+url.PathEscape(node))
}

// ReloadReport says what a reload did.
type ReloadReport struct {
	Changed      []string // keys now in force
	NeedsRestart []string // keys that differ from what runs and were left alone
}

// Reload makes the agent read its configuration again, as SIGHUP does. An agent that reports nothing
// gives an empty report.
func (a *Agent) Reload(ctx context.Context) (*ReloadReport, error) {
	var raw json.RawMessage
	r := a.c.newRequest(http.MethodPut, "/v1/agent/reload")
	_, err := a.c.put(ctx, r, nil, &raw)
	out := &ReloadReport{}
	if len(raw) > 0 {
		_ = json.Unmarshal(raw, out) // no report is no error
	}
	return out, err
}

// Maintenance puts the agent into or out of maintenance; the reason is for people.
func (a *Agent) Maintenance(ctx context.Context, enable bool, reason string) error {
	return a.do(ctx, "/v1/agent/maintenance", "enable", strconv.FormatBool(enable), "reason", reason)
}

func (a *Agent) do(ctx context.Context, path string, params ...string) error {
	r := a.c.newRequest(http.MethodPut, path)
	for i := 0; i+1 < len(params); i += 2 {
		set(r.params, params[i], params[i+1])
	}
	_, err := a.c.put(ctx, r, nil, nil)
	return err
}

// Monitor streams the agent's log, one line per entry, from level ("trace", "debug", "info", "warn",
// "error"; "" = info) on. With asJSON each line is a JSON object. The stream ends when ctx does or
// the reader is closed.
func (a *Agent) Monitor(ctx context.Context, level string, asJSON bool) (io.ReadCloser, error) {
	r := a.c.newRequest(http.MethodGet, "/v1/agent/monitor")
	set(r.params, "loglevel", level)
	if asJSON {
		r.params.Set("logjson", "true")
	}
	return a.stream(ctx, r)
}

func (a *Agent) stream(ctx context.Context, r *request) (io.ReadCloser, error) {
	r.streaming = true
	reply, err := a.c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	return reply.Body, nil
}

// Profile streams a profile of the agent in pprof's format: "heap", "goroutine", "allocs", "block",
// "mutex", "profile" (CPU) or "trace". The last two take as long as d says. The agent may not offer
// them.
func (a *Agent) Profile(ctx context.Context, name string, d time.Duration) (io.ReadCloser, error) {
	r := a.c.newRequest(http.MethodGet, "/debug/pprof/"+url.PathEscape(name))
	if d > 0 {
		r.params.Set("seconds", strconv.Itoa(int(d.Seconds())))
	}
	return a.stream(ctx, r)
}

// Metrics are the agent's metrics of the last whole interval.
type Metrics struct {
	Timestamp string
	Gauges    []Gauge
	Points    []Point
	Counters  []Sample
	Samples   []Sample
}

// Gauge is a value that stands until it changes.
type Gauge struct {
	Name   string
	Value  float64
	Labels map[string]string
}

// Point is a set of raw values.
type Point struct {
	Name   string
	Points []float64
}

// Sample sums up what was measured during the interval.
type Sample struct {
	Name                        string
	Count                       int
	Sum, Min, Max, Mean, Stddev float64
	Rate                        float64
	Labels                      map[string]string
}

// Metrics reads the agent's metrics.
func (a *Agent) Metrics(ctx context.Context) (*Metrics, error) {
	out := &Metrics{}
	_, _, err := a.c.get(ctx, "/v1/agent/metrics", nil, out)
	return out, err
}

// PrometheusMetrics reads the agent's metrics in Prometheus' text format.
func (a *Agent) PrometheusMetrics(ctx context.Context) (io.ReadCloser, error) {
	r := a.c.newRequest(http.MethodGet, "/v1/agent/metrics")
	r.params.Set("format", "prometheus")
	return a.stream(ctx, r)
}

// Host describes the agent's machine: memory, CPU, disk.
func (a *Agent) Host(ctx context.Context) (map[string]any, error) {
	var out map[string]any
	_, _, err := a.c.get(ctx, "/v1/agent/host", nil, &out)
	return out, err
}

// Version is what program the agent is.
type Version struct {
	SHA            string
	BuildDate      string
	HumanVersion   string
	Protocol       int // of the RPC between nodes
	FSM            int // of what the state machine does with an entry
	GoVersion      string
	GoOS           string
	GoArch         string
	ConsulAPILevel string // version of the Consul API that the compatible routes follow
}

// Version reads the version of the agent.
func (a *Agent) Version(ctx context.Context) (*Version, error) {
	out := &Version{}
	_, _, err := a.c.get(ctx, "/v1/agent/version", nil, out)
	return out, err
}
