package api

import (
	"context"
	"net/http"
	"time"
)

// How an agent is.
const (
	HealthHealthy   = "healthy"
	HealthDegraded  = "degraded"  // a part does not work that reads and writes can do without
	HealthUnhealthy = "unhealthy" // reads or writes do not work
)

// HealthCheck is one part of the agent, really used.
type HealthCheck struct {
	Name   string  `json:"name"`
	OK     bool    `json:"ok"`
	Millis float64 `json:"ms"`
	Error  string  `json:"error,omitempty"`
	Needed bool    `json:"needed"` // the agent is unhealthy without it
}

// Health is what came of the checks.
type Health struct {
	Status  string        `json:"status"`
	Node    string        `json:"node"`
	Checks  []HealthCheck `json:"checks"`
	Checked time.Time     `json:"checked"`
	Millis  float64       `json:"ms"`
}

// Health has the agent use each of its parts once, within timeout (0 = 5 s). An agent that is unhealthy is an answer, not an error.
func (a *Agent) Health(ctx context.Context, timeout time.Duration) (*Health, error) {
	r := a.c.newRequest(http.MethodGet, "/v1/health")
	if timeout > 0 {
		r.params.Set("timeout", timeout.String())
	}
	reply, err := a.c.send(ctx, r, http.StatusServiceUnavailable)
	if err != nil {
		return nil, err
	}
	defer reply.Body.Close()
	out := &Health{}
	return out, a.c.decode(reply, out, KindUnavailable)
}
