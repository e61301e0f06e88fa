package router

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/debros/debros/structs"
)

const (
	// rebalanceMin and rebalanceMax bound how long one server is kept: long, since a warm connection
	// is cheaper, but not for ever, since servers that restarted must get their share back.
	rebalanceMin = 2 * time.Minute
	rebalanceMax = 3 * time.Minute
	// growthSpreadMax spreads the move to new servers, so that a thousand clients do not fall upon
	// one that has just joined. Each then chooses among all alike, which evens out the load.
	growthSpreadMax = 30 * time.Second
	// failedFor is how long a server that failed is passed over while there are others.
	failedFor = 5 * time.Second
)

// choice is which server a client stays with.
type choice struct {
	servers    func() []Server
	datacenter string

	mu          sync.Mutex // protects the following
	current     structs.NodeID
	known       int // servers at the last look
	rebalanceAt time.Time
	failures    map[structs.NodeID]time.Time // when each server failed last
}

// pick returns the server to use now: the one before, unless it is gone, failed, or it is time to
// choose again. ok is false when no server is known.
func (c *choice) pick(now time.Time) (s Server, ok bool) {
	servers := c.candidates()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgetLocked(servers)
	if len(servers) == 0 {
		c.current, c.known = "", 0
		return Server{}, false
	}
	if len(servers) > c.known && c.current != "" {
		if at := now.Add(rand.N(growthSpreadMax)); at.Before(c.rebalanceAt) {
			c.rebalanceAt = at
		}
	}
	c.known = len(servers)
	if now.Before(c.rebalanceAt) {
		i := slices.IndexFunc(servers, func(s Server) bool { return s.ID == c.current })
		if i >= 0 && c.healthyLocked(c.current, now) {
			return servers[i], true
		}
	}
	s = c.chooseLocked(servers, now)
	if s.ID != c.current || !now.Before(c.rebalanceAt) {
		c.current = s.ID
		c.rebalanceAt = now.Add(rebalanceMin + rand.N(rebalanceMax-rebalanceMin))
	}
	return s, true
}

// chooseLocked takes any server that has not failed lately; when all have, the one whose failure
// is the longest ago, so that repetitions go round.
func (c *choice) chooseLocked(servers []Server, now time.Time) Server {
	var healthy []Server
	for _, s := range servers {
		if c.healthyLocked(s.ID, now) {
			healthy = append(healthy, s)
		}
	}
	if len(healthy) > 0 {
		return healthy[rand.IntN(len(healthy))]
	}
	return slices.MinFunc(servers, func(a, b Server) int { return c.failures[a.ID].Compare(c.failures[b.ID]) })
}

func (c *choice) healthyLocked(id structs.NodeID, now time.Time) bool {
	at, failed := c.failures[id]
	return !failed || now.Sub(at) >= failedFor
}

// failed makes the next picks pass over s.
func (c *choice) failed(s Server, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failures == nil {
		c.failures = map[structs.NodeID]time.Time{}
	}
	c.failures[s.ID] = now
}

// forgetLocked drops what is known of servers that are gone, so that the map cannot grow.
func (c *choice) forgetLocked(servers []Server) {
	for id := range c.failures {
		if !slices.ContainsFunc(servers, func(s Server) bool { return s.ID == id }) {
			delete(c.failures, id)
		}
	}
}

// candidates are the servers of this datacenter.
func (c *choice) candidates() []Server {
	all := c.servers()
	out := make([]Server, 0, len(all))
	for _, s := range all {
		if s.Addr != "" && (c.datacenter == "" || s.Datacenter == "" || s.Datacenter == c.datacenter) {
			out = append(out, s)
		}
	}
	return out
}
