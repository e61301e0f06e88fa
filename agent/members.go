package agent

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/debros/debros/agent/gossip"
	"github.com/debros/debros/agent/retryjoin"
	"github.com/debros/debros/agent/server"
	"github.com/debros/debros/structs"
)

// memberAgeMax is how old the cached members may be when no event came: an event refreshes them at once.
const memberAgeMax = time.Second

// memberCache spares requests the cost of reading and parsing all members: a request asks where
// the leader is, and a pool may have thousands of nodes.
type memberCache struct {
	gossip *gossip.Gossip
	now    atomic.Pointer[memberList]
}

type memberList struct {
	at      time.Time
	members []structs.Member
}

var _ server.Membership = (*memberCache)(nil)

// Members are the nodes as of at most memberAgeMax ago. The slice is shared: read only.
func (c *memberCache) Members() []structs.Member {
	if l := c.now.Load(); l != nil && time.Since(l.at) < memberAgeMax {
		return l.members
	}
	return c.refresh()
}

func (c *memberCache) refresh() []structs.Member {
	l := &memberList{at: time.Now(), members: c.gossip.Members()}
	c.now.Store(l)
	return l.members
}

// RemoveFailed implements server.Membership.
func (c *memberCache) RemoveFailed(ctx context.Context, name string, prune bool) error {
	defer c.refresh()
	return c.gossip.RemoveFailed(ctx, name, prune)
}

// Reading all members for every event of a site that starts would cost each of its n agents n² of it. So
// events are gathered for a while that grows with what the last look took: it takes at most one part in
// lookShare of the time.
const (
	lookShare = 20
	gatherMax = time.Second
)

// followGossip turns events into work for the parts, until gossip stops.
func (a *Agent) followGossip() {
	a.noteServers()
	a.tellOverlay()
	var next time.Time
	for e := range a.gossip.Events() {
		events := gather(a.gossip.Events(), e, time.Until(next))
		begin := time.Now()
		a.members.refresh()
		a.noteServers()
		a.tellOverlay()
		end := time.Now()
		next = end.Add(min(gatherMax, lookShare*end.Sub(begin)))
		for _, e := range events {
			a.onGossip(e)
		}
		if a.server != nil {
			a.server.MembershipChanged()
		}
	}
}

// gather takes the events that come within d of the first. A first one after a quiet time, when d is not
// positive, does not wait for others.
func gather[E any](from <-chan E, first E, d time.Duration) []E {
	events := []E{first}
	if d <= 0 {
		return events
	}
	end := time.NewTimer(d)
	defer end.Stop()
	for {
		select {
		case e, ok := <-from:
			if !ok {
				return events
			}
			events = append(events, e)
		case <-end.C:
			return events
		}
	}
}

// onGossip tells of one event. The members have been looked at since.
func (a *Agent) onGossip(e gossip.Event) {
	if e.Kind == gossip.EventConflict {
		a.onConflict(e)
		return
	}
	for _, m := range e.Members {
		a.log.Info("member "+string(e.Kind), "node", m.Name, "id", m.ID, "role", m.Role, "address", m.Addr)
	}
	if a.server != nil && (e.Kind == gossip.EventReap || e.Kind == gossip.EventLeave) {
		for _, m := range e.Members {
			a.server.MemberGone(m.ID)
		}
	}
}

// noteServers remembers that a server was seen, which makes a client ready.
func (a *Agent) noteServers() {
	if len(a.servers()) > 0 {
		a.seenOnce.Do(func() { close(a.serverSeen) })
	}
}

// onConflict stops this node when it is the one that came last; the others only say it.
func (a *Agent) onConflict(e gossip.Event) {
	if e.Self && e.Newcomer {
		a.stopSoon(structs.Errorf(structs.KindConflict, "%s", e.Reason).
			WithHint("a copied data directory needs a node.key of its own: remove node.key (and raft/) from the copy; or set another node_name"))
		return
	}
	a.log.Error("two nodes are in conflict", "reason", e.Reason)
}

// retryJoin joins the cluster that the configuration names.
func (a *Agent) retryJoin() {
	cfg := a.Config()
	if len(cfg.RetryJoin) == 0 {
		return
	}
	err := retryjoin.Run(a.ctx, retryjoin.Config{
		Addrs: cfg.RetryJoin, Interval: cfg.RetryInterval, MaxAttempts: cfg.RetryMax,
		Join:        func(ctx context.Context, addrs []string) (int, error) { return a.join(ctx, addrs) },
		DefaultPort: cfg.Ports.SerfLAN, Logger: a.log.With("component", "retry_join"),
	})
	switch {
	case err == nil, a.ctx.Err() != nil:
	case errors.Is(err, structs.ErrConflict):
		a.stopSoon(err)
	default:
		a.stopSoon(structs.Errorf(structs.KindUnavailable, "could not join the cluster: %v", err).
			WithHint("check retry_join, cluster_key and that the others listen on ports.serf_lan"))
	}
}

// join contacts addresses and makes what it learned known at once.
func (a *Agent) join(ctx context.Context, addrs []string) (int, error) {
	n, err := a.gossip.Join(ctx, addrs)
	a.members.refresh()
	a.noteServers()
	a.tellOverlay()
	if n > 0 {
		poke(a.registerCh)
	}
	return n, err
}

// poke puts a token into a channel of capacity 1; one that is there already says the same.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
