package structs

import "time"

// HealthState is how an agent's services are, as its users meet them.
type HealthState string

const (
	HealthHealthy   HealthState = "healthy"
	HealthDegraded  HealthState = "degraded"  // a part does not work that reads and writes can do without
	HealthUnhealthy HealthState = "unhealthy" // reads or writes do not work
)

// HealthCheck is one part, really used.
type HealthCheck struct {
	Name   string  `json:"name"`
	OK     bool    `json:"ok"`
	Millis float64 `json:"ms"`
	Error  string  `json:"error,omitempty"`
	// Needed: the agent is unhealthy without it.
	Needed bool `json:"needed"`
}

// Health is /v1/health.
type Health struct {
	Status  HealthState   `json:"status"`
	Node    string        `json:"node"`
	Checks  []HealthCheck `json:"checks"` // by name
	Checked time.Time     `json:"checked"`
	Millis  float64       `json:"ms"` // of all checks, which run at the same time
}
