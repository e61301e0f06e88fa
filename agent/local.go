package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/debros/debros/agent/httpapi"
	"github.com/debros/debros/internal/acl"
	"github.com/debros/debros/internal/logging"
	"github.com/debros/debros/internal/version"
	"github.com/debros/debros/structs"
)

// consulAPILevel is the version of Consul whose HTTP API the compatible routes follow.
const consulAPILevel = "1.21.0"

// local is the agent as the HTTP API sees it.
type local struct{ a *Agent }

var _ httpapi.Backend = local{}

// RPC implements httpapi.Cluster.
func (l local) RPC(ctx context.Context, method string, req, reply any) error {
	if r, ok := req.(*structs.SessionRequest); ok && l.ownNode(r) {
		r.NodeID = l.a.node.ID()
	}
	err := l.a.cluster.RPC(ctx, method, req, reply)
	if r, ok := req.(*structs.StreamRequest); ok && err == nil && l.a.kept != nil && (r.Op == structs.StreamCreate || r.Op == structs.StreamDelete) {
		l.a.kept.forget(r.Namespace)
	}
	return err
}

// ownNode reports a session of this node, as far as the name says.
func (l local) ownNode(r *structs.SessionRequest) bool {
	cfg := l.a.Config()
	return strings.EqualFold(r.Session.Node, cfg.NodeName) && (r.Datacenter == "" || r.Datacenter == cfg.Datacenter)
}

// Stream implements httpapi.Cluster.
func (l local) Stream(ctx context.Context, method string, req any, in io.Reader, out io.Writer) error {
	return l.a.cluster.Stream(ctx, method, req, in, out)
}

// Self implements httpapi.Local.
func (l local) Self() httpapi.Self {
	a := l.a
	cfg := a.Config()
	self := httpapi.Self{
		Config: httpapi.SelfConfig{
			Datacenter: cfg.Datacenter, PrimaryDatacenter: cfg.Datacenter, NodeName: cfg.NodeName, NodeID: a.node.ID(),
			Revision: version.Commit(), Server: cfg.Server, Version: version.Version(),
		},
		DebugConfig: cfg.Sanitized(), Member: a.gossip.Local(), Stats: a.stats(), Meta: a.meta(),
	}
	for _, c := range a.gossip.Coordinates() {
		if c.Node == cfg.NodeName {
			self.Coord = &c
		}
	}
	return self
}

// stats are groups of figures for people.
func (a *Agent) stats() map[string]map[string]string {
	stats := map[string]map[string]string{
		"agent": {
			"role": string(a.role()), "uptime": time.Since(a.started).Round(time.Second).String(),
			"log_lines_lost": strconv.FormatUint(a.logs.Lost(), 10), "rpc_connections": strconv.Itoa(a.pool.Conns()),
		},
		"build": {"version": version.Version(), "revision": version.Commit()},
		"runtime": {
			"version": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH,
			"goroutines": strconv.Itoa(runtime.NumGoroutine()), "max_procs": strconv.Itoa(runtime.GOMAXPROCS(0)),
		},
		"serf_lan": a.gossip.Stats(),
	}
	if a.server != nil {
		stats["raft"] = a.server.RaftStats()
		stats["server"] = a.server.Stats()
	}
	return stats
}

// Join implements httpapi.Local.
func (l local) Join(ctx context.Context, addrs []string, wan bool) (int, error) {
	if wan {
		return 0, structs.Errorf(structs.KindUnsupported, "datacenters are not joined by gossip: their servers meet on the overlay").
			WithHint("`debros connect /…/p2p/…` with an address of a server of the other datacenter; to keep it, overlay { bootstrap = [\"/…/p2p/…\"] }")
	}
	return l.a.join(ctx, addrs)
}

// leaveTimeout bounds a leave that was asked for by HTTP.
const leaveTimeout = 30 * time.Second

// Leave implements httpapi.Local: the agent stops once the reply is on its way. A leave that has
// begun goes on when its caller hangs up.
func (l local) Leave(ctx context.Context, force bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	if err := l.a.Leave(ctx, force); err != nil {
		return err
	}
	l.a.stopSoon(nil)
	return nil
}

// ForceLeave implements httpapi.Local. Of edge agents the servers know, not gossip; one that is forced out is forgotten.
func (l local) ForceLeave(ctx context.Context, token, node string, prune bool) error {
	err := l.a.members.RemoveFailed(ctx, node, prune)
	if errors.Is(err, structs.ErrNotFound) {
		return l.a.cluster.RPC(ctx, "Catalog.Forget", &structs.NodeForgetRequest{WriteOptions: structs.WriteOptions{Token: token}, Name: node}, new(structs.WriteReply))
	}
	return err
}

// Reload implements httpapi.Local.
func (l local) Reload(ctx context.Context) (httpapi.ReloadReport, error) { return l.a.Reload(ctx) }

// Monitor implements httpapi.Local.
func (l local) Monitor(ctx context.Context, level string, json bool, w io.Writer) error {
	lv, err := logging.ParseLevel(level)
	if err != nil {
		return structs.Errorf(structs.KindInvalid, "%v", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(l.a.ctx, cancel)
	defer stop()
	for line := range l.a.logs.SubscribeFormat(ctx, lv, json) {
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return nil
}

// Metrics implements httpapi.Local.
func (l local) Metrics() http.Handler { return l.a.telemetry.Handler() }

// Maintenance implements httpapi.Local: the node's row says so to everybody who looks.
func (l local) Maintenance(_ context.Context, enable bool, reason string) error {
	if !enable {
		l.a.maintenance.Store(nil)
		l.a.log.Info("maintenance mode is off")
	} else {
		if reason == "" {
			reason = "maintenance mode is on, no reason was given"
		}
		l.a.maintenance.Store(&reason)
		l.a.log.Warn("maintenance mode is on", "reason", reason)
	}
	return l.a.registerOnce()
}

// Coordinates implements httpapi.Local.
func (l local) Coordinates() []structs.Coordinate { return l.a.gossip.Coordinates() }

// Keyring implements httpapi.Local.
func (l local) Keyring(ctx context.Context, op structs.KeyringOp, key string) (*structs.KeyringResponse, error) {
	rep, err := l.a.gossip.Keyring(ctx, op, key)
	if err != nil {
		return nil, err
	}
	return &structs.KeyringResponse{
		Datacenter: l.a.Config().Datacenter, Messages: rep.Messages,
		Keys: rep.Keys, PrimaryKeys: rep.PrimaryKeys, NumNodes: rep.NumNodes,
	}, nil
}

// Authorize implements httpapi.Local.
func (l local) Authorize(_ context.Context, token string, op httpapi.AgentOp) error {
	may, err := l.a.authorize(token)
	if err != nil {
		return err
	}
	node := l.a.Config().NodeName
	allowed := false
	switch op {
	case httpapi.AgentRead:
		allowed = may.AgentRead(node)
	case httpapi.AgentWrite, httpapi.NodeWrite:
		allowed = may.AgentWrite(node)
	case httpapi.NodeRead:
		allowed = may.NodeRead(node)
	case httpapi.KeyringRead:
		allowed = may.KeyringRead()
	case httpapi.KeyringWrite:
		allowed = may.KeyringWrite()
	case httpapi.OperatorRead:
		allowed = may.OperatorRead()
	case httpapi.OperatorWrite:
		allowed = may.OperatorWrite()
	}
	if !allowed {
		return structs.Errorf(structs.KindDenied, "the token may not do this: %s", op)
	}
	return nil
}

// Version implements httpapi.Local.
func (l local) Version() httpapi.Version {
	return httpapi.Version{
		SHA: version.Commit(), HumanVersion: version.Version(),
		Protocol: structs.ProtocolVersion, FSM: structs.FSMVersion,
		GoVersion: runtime.Version(), GoOS: runtime.GOOS, GoArch: runtime.GOARCH, ConsulAPILevel: consulAPILevel,
	}
}

// Host implements httpapi.Local.
func (l local) Host(context.Context) (any, error) {
	h, err := readHost(l.a.Config().DataDir)
	if err != nil {
		return nil, fmt.Errorf("read host information: %w", err)
	}
	return h, nil
}

// authorize asks the one authorizer; every token may do everything until access control lands.
func (a *Agent) authorize(string) (acl.Authorizer, error) { return acl.AllowAll(), nil }
