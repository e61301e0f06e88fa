package httpapi

import (
	"context"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/debros/debros/structs"
)

const (
	healthTimeout    = 5 * time.Second
	healthTimeoutMax = time.Minute
)

func healthRoutes() []route {
	return []route{{
		method: "GET", pattern: "/v1/health", handle: health,
		doc: "Use each part of the agent once and say how it went: connection (a leader is known), storage and database (a read that a majority confirms), network (a member " +
			"is connected on the overlay) and pubsub (a message comes back); the last two are absent without an overlay.",
		params: "`timeout=` of all checks (5s)",
		reply: "`{\"status\": \"healthy\"|\"degraded\"|\"unhealthy\", \"node\", \"checks\": [{\"name\", \"ok\", \"ms\", \"error\", \"needed\"}], \"checked\", \"ms\"}`; 503 when unhealthy, " +
			"which is when a check that is needed failed",
	}}
}

// healthCheck uses one part.
type healthCheck struct {
	name   string
	needed bool
	run    func(ctx context.Context, c *call) error
}

func health(c *call) error {
	if err := c.agentMay(AgentRead); err != nil {
		return err
	}
	timeout := healthTimeout
	if text := c.params.Get("timeout"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 || d > healthTimeoutMax {
			return invalid("timeout=%q is not a duration up to %s", shorten(text), healthTimeoutMax)
		}
		timeout = d
	}
	checks := []healthCheck{
		{"connection", true, checkConnection},
		{"storage", true, checkStorage},
		{"database", true, checkDatabase},
		{"network", false, checkNetwork},
		{"pubsub", false, checkPubSub},
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), timeout)
	defer cancel()
	out := structs.Health{Status: structs.HealthHealthy, Node: c.h.nodeName(), Checked: time.Now().UTC()}
	start := time.Now()
	var mu sync.Mutex // protects out.Checks
	var wg sync.WaitGroup
	for _, check := range checks {
		wg.Go(func() {
			result, there := check.measure(ctx, c)
			mu.Lock()
			defer mu.Unlock()
			if there {
				out.Checks = append(out.Checks, result)
			}
		})
	}
	wg.Wait()
	out.Millis = millis(time.Since(start))
	slices.SortFunc(out.Checks, func(a, b structs.HealthCheck) int { return strings.Compare(a.Name, b.Name) })
	status := http.StatusOK
	for _, r := range out.Checks {
		switch {
		case r.OK:
		case r.Needed:
			out.Status, status = structs.HealthUnhealthy, http.StatusServiceUnavailable
		case out.Status == structs.HealthHealthy:
			out.Status = structs.HealthDegraded
		}
	}
	return c.json(status, out)
}

// measure runs a check; there is false for a part that this agent does not have.
func (h healthCheck) measure(ctx context.Context, c *call) (r structs.HealthCheck, there bool) {
	start := time.Now()
	err := h.safely(ctx, c)
	r = structs.HealthCheck{Name: h.name, OK: err == nil, Needed: h.needed, Millis: millis(time.Since(start))}
	switch {
	case err == nil:
	case structs.KindOf(err) == structs.KindUnsupported:
		return r, false
	case ctx.Err() != nil:
		r.Error = "no answer in time"
	default:
		r.Error = structs.AsError(err).Message
	}
	return r, true
}

// safely keeps a check that panics, in a goroutine of its own, from ending the agent.
func (h healthCheck) safely(ctx context.Context, c *call) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.h.log.Error("a health check panicked", "check", h.name, "panic", p, "stack", string(debug.Stack()))
			err = structs.Errorf(structs.KindInternal, "the check failed inside the agent; its log says how")
		}
	}()
	return h.run(ctx, c)
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func checkConnection(ctx context.Context, c *call) error {
	var rep structs.StatusReply
	if err := c.h.b.RPC(ctx, "Status.Leader", &structs.QueryRequest{QueryOptions: structs.QueryOptions{Token: c.token, Consistency: structs.Stale}}, &rep); err != nil {
		return err
	}
	if rep.Leader == "" {
		return structs.Errorf(structs.KindNoLeader, "no leader is known")
	}
	return nil
}

func checkStorage(ctx context.Context, c *call) error {
	var rep structs.KVGetReply
	return c.h.b.RPC(ctx, "KV.Get", &structs.KeyRequest{QueryOptions: structs.QueryOptions{Token: c.token, Namespace: c.ns}, Key: "debros/health"}, &rep)
}

func checkDatabase(ctx context.Context, c *call) error {
	req := &structs.SQLQueryRequest{QueryOptions: structs.QueryOptions{Token: c.token, Namespace: c.ns}, Database: structs.DefaultDatabase, SQLStatement: structs.SQLStatement{SQL: "SELECT 1"}}
	return c.sqlChunks(ctx, req, func(*structs.SQLChunk) error { return nil })
}

func checkNetwork(ctx context.Context, c *call) error {
	self, err := c.h.b.NetworkSelf()
	if err != nil || self.Members > 0 {
		return err
	}
	members, err := c.h.b.Members(ctx, c.token)
	if err == nil && len(members) > 1 {
		err = structs.Errorf(structs.KindUnavailable, "no member is connected on the overlay")
	}
	return err
}

// checkPubSub has a message come back from this agent. The topic is one that wildcards do not name.
func checkPubSub(ctx context.Context, c *call) error {
	by := Caller{Token: c.token, Namespace: c.ns}
	topic := "_health." + newRequestID() // others measure too
	sub, err := c.h.b.SubscribeMessages(ctx, by, structs.SubscribeOptions{Patterns: []string{topic}})
	if err != nil {
		return err
	}
	defer sub.Close()
	if err := c.h.b.PublishMessages(ctx, by, []*structs.Message{{Topic: topic}}); err != nil {
		return err
	}
	_, err = sub.Next(ctx)
	return err
}
