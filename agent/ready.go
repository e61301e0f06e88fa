package agent

import (
	"context"
	"time"

	"github.com/debros/debros/structs"
)

// Ready is closed when the node is of use: a server knows a leader, a client has seen a server, or,
// for a client that was given nobody to join, as soon as HTTP listens.
func (a *Agent) Ready(ctx context.Context) error {
	switch {
	case a.server != nil:
		for !a.server.LeaderKnown() {
			if err := a.sleep(ctx, readyPoll); err != nil {
				return err
			}
		}
		return nil
	case !a.isEdge() && len(a.Config().RetryJoin) == 0 && len(a.servers()) == 0:
		return nil
	}
	select {
	case <-a.serverSeen:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-a.ctx.Done():
		return a.ctx.Err()
	}
}

// readyPoll is how often a server looks whether it knows a leader; only while it starts.
const readyPoll = 20 * time.Millisecond

func (a *Agent) sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-a.ctx.Done():
		return a.ctx.Err()
	}
}

// servers are the living servers of this datacenter.
func (a *Agent) servers() (out []structs.Member) {
	for _, m := range a.members.Members() {
		if m.Role == structs.RoleServer && m.Status == structs.MemberAlive && m.Datacenter == a.Config().Datacenter {
			out = append(out, m)
		}
	}
	return out
}
