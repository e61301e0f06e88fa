package client

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/debros/debros/api"
)

// How an application is.
const (
	HealthHealthy   = "healthy"
	HealthDegraded  = "degraded"  // the agent answers, and a service does not
	HealthUnhealthy = "unhealthy" // no agent answers
)

// HealthStatus is what was measured (N66).
type HealthStatus struct {
	Status       string            // HealthHealthy, HealthDegraded or HealthUnhealthy
	Checks       map[string]string // connection, database, storage, pubsub: "ok", or what is wrong
	LastUpdated  time.Time
	ResponseTime time.Duration // of the slowest check
}

// healthTimeout bounds each check.
const healthTimeout = 10 * time.Second

// Health implements NetworkClient.
func (c *client) Health() (*HealthStatus, error) {
	ctx, cancel := context.WithTimeout(context.Background(), min(healthTimeout, c.cfg.ConnectTimeout))
	defer cancel()
	checks := map[string]func(context.Context) error{
		"connection": c.checkConnection, "database": c.checkDatabase, "storage": c.checkStorage, "pubsub": c.checkPubSub,
	}
	out := &HealthStatus{Status: HealthHealthy, Checks: map[string]string{}}
	start := time.Now()
	var mu sync.Mutex // protects out
	var wg sync.WaitGroup
	for name, check := range checks {
		wg.Go(func() {
			err := check(ctx)
			mu.Lock()
			defer mu.Unlock()
			out.Checks[name] = "ok"
			if err != nil {
				out.Checks[name] = err.Error()
			}
		})
	}
	wg.Wait()
	out.LastUpdated, out.ResponseTime = time.Now(), time.Since(start)
	for name, what := range out.Checks {
		switch {
		case what == "ok":
		case name == "connection":
			out.Status = HealthUnhealthy
		case out.Status == HealthHealthy:
			out.Status = HealthDegraded
		}
	}
	return out, nil
}

// checkConnection asks the agent something that it knows by itself.
func (c *client) checkConnection(ctx context.Context) error {
	s, err := c.current()
	if err != nil {
		return err
	}
	_, err = s.api.Network().Self(ctx)
	return err
}

// checkDatabase reads as the application does: by a majority.
func (c *client) checkDatabase(ctx context.Context) error {
	s, err := c.current()
	if err != nil {
		return err
	}
	var one int
	return s.api.SQL().Database(c.cfg.DatabaseName).QueryRow(ctx, api.Stmt("SELECT 1"), nil, &one)
}

func (c *client) checkStorage(ctx context.Context) error {
	s, err := c.current()
	if err != nil {
		return err
	}
	_, _, err = s.api.KV().Exists(ctx, "debros/health", nil)
	return err
}

// checkPubSub has a message go round.
func (c *client) checkPubSub(ctx context.Context) error {
	s, err := c.current()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	topic := "_health." + rand.Text() // others measure too
	sub, err := s.api.PubSub().Subscribe(ctx, api.SubscribeOptions{}, topic)
	if err != nil {
		return err
	}
	if _, _, err := s.api.PubSub().Publish(ctx, nil, api.Message{Topic: topic}); err != nil {
		return err
	}
	for e, err := range sub.All() {
		if err != nil {
			return err
		}
		if e.Message != nil {
			return nil
		}
	}
	return fmt.Errorf("a message did not come back: %w", ctx.Err())
}
