package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/debros/debros/agent/config"
	"github.com/debros/debros/agent/httpapi"
	"github.com/debros/debros/structs"
)

// notifyReady tells systemd (and the log) once the node is of use.
func (a *Agent) notifyReady() {
	if a.Ready(a.ctx) != nil {
		return
	}
	a.log.Info("ready", "node", a.Config().NodeName, "id", a.node.ID(), "role", a.role(), "after", time.Since(a.started).Round(time.Millisecond))
	a.notifySystemd(daemon.SdNotifyReady)
}

func (a *Agent) notifySystemd(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		a.log.Warn("systemd was not notified", "state", state, "error", err)
	}
}

// Leave takes the node out of the cluster and returns when the others know; the caller then stops
// the agent. A server whose departure would lose quorum refuses with KindConflict unless force is set.
func (a *Agent) Leave(ctx context.Context, force bool) error {
	a.life.Lock()
	defer a.life.Unlock()
	if a.left.Load() {
		return nil
	}
	a.log.Info("leaving the cluster", "force", force)
	if a.server != nil {
		if err := a.server.Leave(ctx, force); err != nil {
			return err
		}
	}
	if a.isEdge() {
		a.leavesEdge.Store(true) // or it would register again until it stops
		if err := a.leaveEdge(ctx); err != nil && !force {
			a.leavesEdge.Store(false)
			return err
		}
	}
	if err := a.gossip.Leave(ctx); err != nil && !force {
		return err
	}
	a.left.Store(true)
	return nil
}

// drain lets a server that left answer a little longer: clients still ask it until they hear that it
// left, and it forwards for them.
func (a *Agent) drain() {
	if a.server != nil && a.left.Load() {
		_ = a.sleep(a.ctx, a.Config().Performance.LeaveDrainTime)
	}
}

// Reload reads the configuration again and puts what it can into force.
func (a *Agent) Reload(context.Context) (httpapi.ReloadReport, error) {
	a.life.Lock()
	defer a.life.Unlock()
	var report httpapi.ReloadReport
	if a.opts.Loader == nil {
		return report, structs.Errorf(structs.KindUnsupported, "this agent was not started from a configuration that can be read again")
	}
	a.notifySystemd(daemon.SdNotifyReloading)
	defer a.notifySystemd(daemon.SdNotifyReady)
	next, warnings, err := a.opts.Loader()
	if err != nil {
		a.log.Error("the configuration was not reloaded; the old one stays in force", "error", err)
		return report, structs.Errorf(structs.KindInvalid, "the configuration is not valid, and the old one stays in force: %v", err)
	}
	for _, w := range warnings {
		a.log.Warn("configuration", "warning", w)
	}
	before := a.Config()
	report.Changed, report.NeedsRestart = config.Diff(before, next)
	if err := a.applyReload(next); err != nil {
		return report, err
	}
	a.log.Info("configuration reloaded", "changed", report.Changed, "needs_restart", report.NeedsRestart)
	return report, nil
}

// applyReload puts the reloadable part of next into force.
func (a *Agent) applyReload(next *config.Config) error {
	merged := config.Reloaded(a.Config(), next)
	if err := a.logs.SetLevel(merged.LogLevel); err != nil {
		return fmt.Errorf("log_level: %w", err)
	}
	if a.creds != nil {
		if err := a.creds.Reload(); err != nil {
			return fmt.Errorf("reload certificates: %w", err)
		}
	}
	a.cfg.Store(merged)
	a.handler.SetLimits(a.httpLimits())
	if a.server != nil {
		a.server.SetLimits(a.rpcLimits())
		a.server.SetSnapshots(merged.RaftSnapshotThreshold, merged.RaftSnapshotInterval, merged.RaftTrailingLogs)
	}
	if a.router != nil {
		a.router.SetRateLimit(merged.Limits.RPCRate, merged.Limits.RPCBurst)
	}
	a.telemetry.SetFilter(merged.Telemetry.PrefixFilter)
	poke(a.registerCh)
	return nil
}
