package gossip

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/debros/debros/structs"
	"github.com/hashicorp/serf/serf"
)

// background runs f, which cannot be cancelled, and stops waiting for it when ctx ends. Shutdown
// waits for it: serf bounds each of these calls by its own timeouts.
func (g *Gossip) background(ctx context.Context, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	errCh := make(chan error, 1)
	if !g.spawn(func() { errCh <- f() }) {
		return structs.Errorf(structs.KindUnavailable, "gossip is stopped")
	}
	select {
	case err := <-errCh:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// spawn runs f in a goroutine that Shutdown waits for; false when it is too late for that.
func (g *Gossip) spawn(f func()) bool {
	g.doneMu.RLock()
	defer g.doneMu.RUnlock()
	select {
	case <-g.done:
		return false
	default:
		g.wg.Go(f)
		return true
	}
}

// Join contacts the addresses ("ip", "ip:port", "[ipv6]:port" or "name:port") and returns how many
// answered; the error is nil when one did, else KindUnavailable. KindConflict, whatever n: a live node has this node's name
// or id, so this one must not go on.
func (g *Gossip) Join(ctx context.Context, addrs []string) (n int, err error) {
	g.joining.Add(1)
	defer g.joining.Add(-1)
	g.selfSuspects.take() // of earlier times
	var errs []error
	for _, addr := range addrs {
		var one int
		err := g.background(ctx, func() (err error) {
			one, err = g.serf.Join([]string{addr}, true)
			return err
		})
		if ctx.Err() != nil {
			return n, ctx.Err()
		}
		n += one
		errs = append(errs, causes(err)...)
	}
	for _, s := range g.selfSuspects.take() {
		if g.confirm(s) {
			return n, structs.Errorf(structs.KindConflict, "%s", s.reason()).
				WithHint("remove node.key from the data directory of the copy, or set another node_name")
		}
	}
	if n > 0 || len(errs) == 0 {
		return n, nil
	}
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return 0, structs.Errorf(structs.KindUnavailable, "no node could be joined: %s", strings.Join(texts, "; ")).
		WithHint("check the address and that an agent listens there (ports.serf_lan); both need the same cluster_key")
}

// causes are the errors in a list of memberlist's, whose own text is a page with bullets.
func causes(err error) []error {
	if err == nil {
		return nil
	}
	var list interface{ WrappedErrors() []error }
	if errors.As(err, &list) {
		return list.WrappedErrors()
	}
	return []error{err}
}

// Leave tells the others that this node goes for good, and returns when they had time to hear it
// (serf: broadcast timeout and propagation delay at most). Members then show it as left.
func (g *Gossip) Leave(ctx context.Context) error {
	if err := g.background(ctx, g.serf.Leave); err != nil {
		return fmt.Errorf("leave the gossip pool: %w", err)
	}
	g.forgetSaved()
	return nil
}

// RemoveFailed makes a failed node a left one; with prune it is forgotten at once. KindNotFound for
// an unknown node, KindConflict for a living one, also one that comes back meanwhile.
func (g *Gossip) RemoveFailed(ctx context.Context, name string, prune bool) error {
	status, err := g.removable(name)
	if err != nil {
		return err
	}
	if status == serf.StatusFailed {
		if err := g.background(ctx, func() error { return g.serf.RemoveFailedNode(name) }); err != nil {
			return fmt.Errorf("remove failed node %s: %w", name, err)
		}
	}
	if !prune { // of a node that left already there is nothing to say: a node that has come back would have to deny it
		return nil
	}
	// serf erases a node that is to be forgotten even after it denied that it leaves, and never lists it
	// again while it lives. So that goes out only when the removal has, and nobody denied it.
	if _, err := g.removable(name); err != nil {
		return err
	}
	if err := g.background(ctx, func() error { return g.serf.RemoveFailedNodePrune(name) }); err != nil {
		return fmt.Errorf("forget failed node %s: %w", name, err)
	}
	return nil
}

// removable refuses what is not a node that failed or left.
func (g *Gossip) removable(name string) (serf.MemberStatus, error) {
	status := serf.StatusNone
	for _, m := range g.serf.Members() {
		if m.Name == name {
			status = m.Status
		}
	}
	switch status {
	case serf.StatusFailed, serf.StatusLeft:
		return status, nil
	case serf.StatusNone:
		return status, structs.Errorf(structs.KindNotFound, "no node %q is known", name)
	case serf.StatusLeaving: // alive, or its failure would have been seen
		return status, structs.Errorf(structs.KindConflict, "node %s is leaving", name).WithHint("wait until it left or failed")
	default:
		return status, structs.Errorf(structs.KindConflict, "node %s is alive", name).WithHint("run debros leave on it")
	}
}

// UserEvent sends a small event to every member, this one included; coalesce lets a receiver keep
// only the last one of a name. KindTooLarge beyond 512 bytes of name and payload.
func (g *Gossip) UserEvent(name string, payload []byte, coalesce bool) error {
	// serf checks the encoded size too, which is a little more.
	if len(name)+len(payload) > userEventBytesMax {
		return structs.Errorf(structs.KindTooLarge, "event %s has %d bytes, more than %d", name, len(name)+len(payload), userEventBytesMax)
	}
	if err := g.serf.UserEvent(name, payload, coalesce); err != nil {
		return structs.Errorf(structs.KindTooLarge, "send event %s: %v", name, err)
	}
	return nil
}

// Shutdown stops gossiping at once; without Leave before it the others will see this node fail.
// It closes Events, waits for every goroutine of ours, and may be called again.
func (g *Gossip) Shutdown() error { return g.close() }

func (g *Gossip) shutdown() error {
	err := g.serf.Shutdown()
	g.doneMu.Lock()
	close(g.done)
	g.doneMu.Unlock()
	g.wg.Wait()
	if err != nil {
		return fmt.Errorf("stop gossip: %w", err)
	}
	return nil
}
