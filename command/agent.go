package command

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/debros/debros/agent"
	"github.com/debros/debros/agent/config"
	"github.com/debros/debros/internal/logging"
	"github.com/debros/debros/internal/version"
)

// signalLeaveTimeout bounds a leave that a signal asked for; a second signal ends it at once.
const signalLeaveTimeout = 30 * time.Second

func agentCommand() *cmd {
	var flags *config.FlagValues
	return &cmd{
		name: "agent", synopsis: "Run an agent until it is told to stop", local: true, noFormat: true, ownSignals: true,
		help: `One server in memory on loopback, for development:

  debros agent -dev

The first three servers of a cluster, each with its own -node and -data-dir, then clients:

  debros keygen > cluster.key
  debros agent -server -bootstrap-expect=3 -node=s1 -data-dir=/var/lib/debros -cluster-key-file=cluster.key -retry-join=10.0.0.2 -retry-join=10.0.0.3
  debros agent -node=c1 -data-dir=/var/lib/debros -cluster-key-file=cluster.key -retry-join=10.0.0.1

SIGHUP reads the configuration again. SIGTERM and SIGINT stop the agent; see leave_on_terminate and
skip_leave_on_interrupt. A second of them ends the process at once.`,
		flags: func(fs *flag.FlagSet) { flags = config.Flags(fs) },
		run: func(_ context.Context, c *call) error {
			load := func() (*config.Config, []config.Warning, error) {
				return config.Load(config.LoadOptions{Env: os.LookupEnv, Flags: flags})
			}
			return runAgent(c, load)
		},
	}
}

// runAgent runs an agent until a signal, a leave or a fault ends it.
func runAgent(c *call, load agent.Loader) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)

	cfg, warnings, err := load()
	if err != nil {
		return withHint(fmt.Errorf("the configuration is not valid:\n%w", err), "`debros validate` checks it without starting anything")
	}
	logs, err := logging.Open(logging.Options{
		Level: cfg.LogLevel, JSON: cfg.LogJSON, Writer: c.Stderr,
		File: logging.FileOptions{
			Path: cfg.LogFile, RotateBytes: cfg.LogRotateBytes, RotateInterval: cfg.LogRotateDuration,
			MaxFiles: cfg.LogRotateMaxFiles, MaxAge: cfg.LogRotateMaxAge,
		},
	})
	if err != nil {
		return err
	}
	defer logs.Close()
	log := logs.Logger()
	logStart(log, cfg, warnings)

	ballast := make([]byte, ballastBytes)
	defer runtime.KeepAlive(&ballast)
	a := agent.New(cfg, agent.Options{Logs: logs, Loader: load})
	if err := a.Start(); err != nil {
		return err
	}
	return waitForEnd(a, log, signals)
}

// ballastBytes are allocated and never touched, so they take address space and no memory. The garbage
// collector paces itself by the size of the heap: a small agent would collect every 4 MB, a sixth of
// its processor time under load; so it collects every 64 MB or more. An idle agent collects every two
// minutes at least and stays as small as ever. A large heap is paced as ever, which a larger GOGC would not do.
const ballastBytes = 64 << 20

func logStart(log *slog.Logger, cfg *config.Config, warnings []config.Warning) {
	log.Info("debros", "version", version.String(), "node", cfg.NodeName, "datacenter", cfg.Datacenter, "bind", cfg.Addrs.Bind)
	if cfg.Addrs.Note != "" {
		log.Info("addresses", "note", cfg.Addrs.Note)
	}
	for _, w := range warnings {
		log.Warn("configuration", "warning", w.String())
	}
}

// waitForEnd handles signals until the agent has stopped.
func waitForEnd(a *agent.Agent, log *slog.Logger, signals <-chan os.Signal) error {
	for {
		select {
		case <-a.Done():
			return a.Err()
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				if _, err := a.Reload(context.Background()); err != nil {
					log.Error("reload failed", "error", err)
				}
				continue
			}
			return stopAgent(a, log, sig, signals)
		}
	}
}

// stopAgent stops the agent, leaving the cluster first where the configuration says so.
func stopAgent(a *agent.Agent, log *slog.Logger, sig os.Signal, signals <-chan os.Signal) error {
	log.Info("signal received: stopping", "signal", sig.String())
	go func() {
		cfg := a.Config()
		if sig == syscall.SIGTERM && cfg.LeaveOnTerminate || sig == os.Interrupt && !cfg.SkipLeaveOnInterrupt && !cfg.Dev {
			ctx, cancel := context.WithTimeout(context.Background(), signalLeaveTimeout)
			defer cancel()
			if err := a.Leave(ctx, false); err != nil {
				log.Warn("the node stops without having left the cluster", "error", err)
			}
		}
		a.Shutdown()
	}()
	for {
		select {
		case <-a.Done():
			return a.Err()
		case again := <-signals:
			if again != syscall.SIGHUP {
				log.Warn("second signal: exiting at once", "signal", again.String())
				return &exitError{exitFailed}
			}
		}
	}
}
