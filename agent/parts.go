package agent

import (
	"fmt"
	"net"
	"strconv"

	"github.com/debros/debros/agent/gossip"
	"github.com/debros/debros/agent/router"
	"github.com/debros/debros/agent/server"
	"github.com/debros/debros/internal/creds"
	"github.com/debros/debros/internal/version"
	"github.com/debros/debros/rpc"
	"github.com/debros/debros/rpc/transport"
	"github.com/debros/debros/structs"
)

// role is what this node is.
func (a *Agent) role() structs.Role {
	if a.Config().Server {
		return structs.RoleServer
	}
	return structs.RoleClient
}

// openCreds makes the certificates of connections between nodes; none without a key or files.
func (a *Agent) openCreds() error {
	cfg := a.Config()
	key, err := a.clusterKey()
	if err != nil {
		return err
	}
	if key.IsZero() && cfg.TLS.CAFile == "" {
		if !cfg.Dev {
			a.log.Warn("no cluster_key: connections between agents are neither encrypted nor authenticated")
		}
		return nil
	}
	conf := creds.Config{Node: a.node, Role: a.role(), Datacenter: cfg.Datacenter}
	if cfg.TLS.CAFile != "" {
		conf.CAFile, conf.CertFile, conf.KeyFile = cfg.TLS.CAFile, cfg.TLS.CertFile, cfg.TLS.KeyFile
	} else {
		conf.ClusterKey = key
	}
	a.creds, err = creds.Open(conf)
	return err
}

func (a *Agent) clusterKey() (creds.ClusterKey, error) {
	secret := a.Config().ClusterKey.Reveal()
	if secret == "" {
		return creds.ClusterKey{}, nil
	}
	key, err := creds.ParseClusterKey(secret)
	if err != nil {
		return key, fmt.Errorf("cluster_key: %w", err)
	}
	return key, nil
}

func (a *Agent) transportConfig() transport.Config {
	l := a.Config().Limits
	return transport.Config{
		Creds: a.creds, Logger: a.log.With("component", "rpc"),
		Limits: transport.Limits{ConnsPerIPMax: l.RPCMaxConnsPerClient, HandshakeTimeout: l.RPCHandshakeTimeout},
	}
}

func (a *Agent) startGossip() error {
	cfg := a.Config()
	key, err := a.clusterKey()
	if err != nil {
		return err
	}
	conf := gossip.Config{
		Name: cfg.NodeName, ID: a.node.ID(), Role: a.role(), Datacenter: cfg.Datacenter,
		Build: version.Version(), Expect: cfg.BootstrapExpect, Ports: a.ports(),
		BindAddr: cfg.Addrs.Bind.String(), BindPort: cfg.Ports.SerfLAN, AdvertiseAddr: cfg.Addrs.Advertise.String(),
		KeyringFile: a.dir.file("serf", "keyring.json"), SnapshotPath: a.dir.file("serf", "snapshot"),
		ReconnectTimeout: cfg.ReconnectTimeout,
		Tuning:           a.tuning(), Logger: a.log,
	}
	if !key.IsZero() {
		conf.Keys = [][]byte{key.GossipKey()}
	}
	if a.gossip, err = gossip.Start(conf); err != nil {
		return err
	}
	a.members = &memberCache{gossip: a.gossip}
	return nil
}

// tuning is gossip_lan, with what tests set on top.
func (a *Agent) tuning() gossip.Tuning {
	g, t := a.Config().GossipLAN, a.opts.Tuning
	pick := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	pick(&t.GossipNodes, g.GossipNodes)
	pick(&t.SuspicionMult, g.SuspicionMult)
	pick(&t.RetransmitMult, g.RetransmitMult)
	if t.GossipInterval == 0 {
		t.GossipInterval = g.GossipInterval
	}
	if t.ProbeInterval == 0 {
		t.ProbeInterval = g.ProbeInterval
	}
	if t.ProbeTimeout == 0 {
		t.ProbeTimeout = g.ProbeTimeout
	}
	return t
}

func (a *Agent) serverConfig() server.Config {
	cfg := a.Config()
	c := server.Config{
		NodeID: a.node.ID(), NodeName: cfg.NodeName, Datacenter: cfg.Datacenter,
		Address: net.JoinHostPort(cfg.Addrs.Advertise.String(), strconv.Itoa(portOf(a.listeners.server))),
		DataDir: cfg.DataDir, BootstrapExpect: cfg.BootstrapExpect, Dev: cfg.Dev,
		LogBackend:       server.LogBackend(cfg.RaftLogStore.Backend),
		SegmentSizeBytes: cfg.RaftLogStore.WAL.SegmentSizeMB << 20,
		NoFreelistSync:   cfg.RaftLogStore.BoltDB.NoFreelistSync,
		DisableLogCache:  cfg.RaftLogStore.DisableLogCache,
		RaftMultiplier:   cfg.Performance.RaftMultiplier,
		HoldTimeout:      cfg.Performance.RPCHoldTimeout,
		VerifyInterval:   cfg.VerifyInterval,
		DiskFreeMin:      cfg.Limits.DiskFreeBytesMin,

		SnapshotThreshold: cfg.RaftSnapshotThreshold, SnapshotInterval: cfg.RaftSnapshotInterval, TrailingLogs: cfg.RaftTrailingLogs,
		Autopilot: structs.AutopilotConfig{
			CleanupDeadServers: cfg.Autopilot.CleanupDeadServers, LastContactThreshold: cfg.Autopilot.LastContactThreshold,
			MaxTrailingLogs: cfg.Autopilot.MaxTrailingLogs, MinQuorum: cfg.Autopilot.MinQuorum,
			ServerStabilizationTime: cfg.Autopilot.ServerStabilizationTime,
		},
		Limits: a.rpcLimits(), Logger: a.log, WALMetrics: a.telemetry.WAL(),
	}
	if a.overlay != nil {
		c.Abroad = abroad{a}
	}
	if a.opts.Server != nil {
		a.opts.Server(&c)
	}
	return c
}

func (a *Agent) rpcLimits() rpc.Limits {
	l := a.Config().Limits
	return rpc.Limits{ValueBytesMax: l.KVValueBytesMax, TxnOpsMax: l.TxnOpsMax, TxnBytesMax: l.TxnBytesMax, SQLBytesMax: l.SQLBytesMax}
}

func (a *Agent) newRouter() (*router.Router, error) {
	cfg := a.Config()
	return router.New(router.Config{
		Servers: func() (out []router.Server) {
			for _, m := range a.servers() {
				out = append(out, router.Server{
					ID: m.ID, Datacenter: m.Datacenter,
					Addr: net.JoinHostPort(m.Addr, strconv.Itoa(m.Ports[structs.PortServer])),
				})
			}
			if len(out) == 0 && a.isEdge() {
				return a.edgeServers()
			}
			return out
		},
		Pool: a.pool, Logger: a.log.With("component", "router"),
		HoldTimeout: cfg.Performance.RPCHoldTimeout, Rate: cfg.Limits.RPCRate, Burst: cfg.Limits.RPCBurst,
	})
}
