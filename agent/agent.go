// Package agent puts one debros node together: it builds, starts, reloads and stops the parts in
// order, and is the local agent behind the HTTP API. It holds no feature of its own and parses
// nothing.
//
// Contract: New does no I/O. Start either has everything running or has undone what it began. After
// Start, Done is closed when the agent has stopped, for whatever reason; Err says which.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/debros/debros/agent/config"
	"github.com/debros/debros/agent/gossip"
	"github.com/debros/debros/agent/httpapi"
	"github.com/debros/debros/agent/overlay"
	"github.com/debros/debros/agent/pubsub"
	"github.com/debros/debros/agent/router"
	"github.com/debros/debros/agent/server"
	"github.com/debros/debros/agent/telemetry"
	"github.com/debros/debros/internal/creds"
	"github.com/debros/debros/internal/logging"
	"github.com/debros/debros/rpc/transport"
)

// Loader reads the configuration again, as at start, with what people should know about it.
type Loader func() (*config.Config, []config.Warning, error)

// Options come with a configuration.
type Options struct {
	Logs *logging.Logs
	// Loader is asked on reload; nil: reload is refused.
	Loader Loader
	// Gossip intervals for tests; zero fields mean the configuration's.
	Tuning gossip.Tuning
	// Server adjusts the server's settings that are not configuration; for tests.
	Server func(*server.Config)
}

// Agent is one node.
type Agent struct {
	opts      Options
	logs      *logging.Logs
	log       *slog.Logger
	telemetry *telemetry.Telemetry

	dir       *dataDir
	node      *creds.NodeKey
	creds     *creds.Creds // nil: plain connections
	listeners *listeners
	pool      *transport.Pool
	transport *transport.Server // servers only
	overlay   *overlay.Overlay  // nil: no part in it
	bus       *pubsub.Bus       // nil with it, as the next two
	kept      *keptTopics
	events    *userEvents
	gossip    *gossip.Gossip
	members   *memberCache
	server    *server.Server // servers only
	router    *router.Router // clients only
	cluster   httpapi.Cluster
	web       []*http.Server
	handler   *httpapi.Handler

	// cfg is the configuration in force; a reload replaces it.
	cfg         atomic.Pointer[config.Config]
	maintenance atomic.Pointer[string] // the reason; nil = in service
	registerCh  chan struct{}          // capacity 1: node meta or maintenance changed
	serverSeen  chan struct{}          // closed when a server was seen
	seenOnce    sync.Once
	started     time.Time

	ctx    context.Context // ends when the agent stops; blocked queries end with it
	cancel context.CancelFunc
	wg     sync.WaitGroup

	stopOnce sync.Once
	doneCh   chan struct{}
	err      error // why it stopped; set before doneCh closes

	// life serialises leave and reload.
	life sync.Mutex
	left atomic.Bool
	// leavesEdge: this edge agent has taken its row away, or is about to.
	leavesEdge atomic.Bool
}

// New builds an agent that is not running.
func New(cfg *config.Config, opts Options) *Agent {
	ctx, cancel := context.WithCancel(context.Background())
	a := &Agent{
		opts: opts, logs: opts.Logs, log: opts.Logs.Logger(),
		registerCh: make(chan struct{}, 1), serverSeen: make(chan struct{}),
		ctx: ctx, cancel: cancel, doneCh: make(chan struct{}),
	}
	a.cfg.Store(cfg)
	return a
}

// Config is the configuration in force.
func (a *Agent) Config() *config.Config { return a.cfg.Load() }

// Start brings the node up. It returns when it runs, not when the cluster has a leader: see Ready.
func (a *Agent) Start() (err error) {
	a.started = time.Now()
	defer func() {
		if err != nil {
			a.stop(err)
			if a.err != nil && !errors.Is(a.err, err) {
				err = a.err // the agent was being stopped already, and that is why a step failed
			}
		}
	}()
	if a.telemetry, err = telemetry.Process(); err != nil {
		return err
	}
	a.telemetry.SetFilter(a.Config().Telemetry.PrefixFilter)
	for _, step := range []func() error{
		a.openDataDir, a.openCreds, a.listen, a.startOverlay, a.startCluster, a.startMessages, a.startHTTP,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	a.wg.Go(a.followGossip)
	a.wg.Go(a.watchFaults)
	if a.isEdge() {
		a.wg.Go(a.awaitEdge)
	}
	a.wg.Go(a.registerNode)
	a.wg.Go(a.retryJoin)
	a.wg.Go(a.notifyReady)
	return nil
}

// startCluster starts gossip and then the part of the cluster that this node is.
func (a *Agent) startCluster() error {
	cfg := a.Config()
	a.pool = transport.NewPool(a.transportConfig(), a.dialRPC)
	if cfg.Server {
		return a.startServer()
	}
	return a.startClient()
}

func (a *Agent) startServer() error {
	srv, err := server.New(a.serverConfig(), a.pool)
	if err != nil {
		return err
	}
	a.transport, err = transport.Listen(a.listeners.server, a.transportConfig(), srv.Methods(), srv.Streams())
	if err != nil {
		return err
	}
	if err := a.startGossip(); err != nil {
		return err
	}
	if err := srv.Start(a.transport.RaftLayer(a.raftAddr(), nil), a.members); err != nil {
		return err
	}
	a.server, a.cluster = srv, srv
	if err := a.serveRPCStreams(); err != nil {
		return err
	}
	// Requests that come while the log is read wait in the listener's queue: nothing can answer them yet.
	a.wg.Go(func() {
		if err := a.transport.Serve(); err != nil && a.ctx.Err() == nil {
			a.stopSoon(fmt.Errorf("serve rpc: %w", err))
		}
	})
	return nil
}

func (a *Agent) startClient() error {
	if err := a.startGossip(); err != nil {
		return err
	}
	var err error
	if a.router, err = a.newRouter(); err != nil {
		return err
	}
	a.cluster = a.router
	return nil
}

// watchFaults stops the agent when its server can no longer be sure of its disk.
func (a *Agent) watchFaults() {
	if a.server == nil {
		return
	}
	select {
	case err := <-a.server.Fatal():
		a.stopSoon(err)
	case <-a.ctx.Done():
	}
}
