package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/metrics"

	"github.com/debros/debros/agent/server/snapstore"
	"github.com/debros/debros/internal/logging"
	"github.com/debros/debros/rpc/transport"
	"github.com/debros/debros/structs"
)

// raftTransportTimeout bounds one Raft message; raft multiplies it by size for snapshots.
const raftTransportTimeout = 10 * time.Second

// raftConnsPerPeer are kept open to each server, for heartbeats beside a pipeline.
const raftConnsPerPeer = 3

// openRaft opens the log and starts Raft over layer.
func (s *Server) openRaft(layer raft.StreamLayer, notifyCh chan<- bool) error {
	rc := s.cfg.raftConfig(notifyCh)
	rc.Logger = logging.HCLog(s.cfg.Logger, "raft")
	s.trans = &pipelineTransport{NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		ServerAddressProvider:   addressProvider{s},
		Logger:                  rc.Logger,
		Stream:                  layer,
		MaxPool:                 raftConnsPerPeer,
		Timeout:                 raftTransportTimeout,
		MsgpackUseNewTimeFormat: true,
	})}
	logs, stable, err := s.openStores(rc)
	if err != nil {
		return err
	}
	if err := s.resume(rc); err != nil {
		return err
	}
	if s.cfg.Dev {
		if err := s.bootstrapAlone(rc, logs, stable); err != nil {
			return err
		}
	}
	last, err := logs.LastIndex()
	if err != nil {
		return fmt.Errorf("find the end of the raft log: %w", err)
	}
	s.comparer.replayed.Store(last)
	s.fsm.OnCompare(s.comparer.note)
	s.raft, err = raft.NewRaft(rc, s.guardedFSM(), logs, stable, s.snaps, s.trans)
	if err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	s.running.Store(s.raft)
	if s.logs != nil {
		s.claims.stable = s.logs
	}
	return nil
}

// openStores opens log, stable and snapshot store, in memory when there is no data directory, with
// the guard between them and Raft.
func (s *Server) openStores(rc *raft.Config) (raft.LogStore, raft.StableStore, error) {
	logs, stable, err := s.openBareStores(rc)
	if err != nil {
		return nil, nil, err
	}
	s.guard = &logGuard{LogStore: logs, onDiverged: s.fail}
	s.snaps = guardedSnapshots{s.snaps}
	return s.guard, stable, nil
}

// guardedFSM is the FSM for Raft; after openStores.
func (s *Server) guardedFSM() guardedFSM {
	return guardedFSM{FSM: s.fsm, guard: s.guard, configIndex: &s.configIndex, onStale: s.fail, policy: s.snapshots, setTrailing: s.setTrailing, replica: &s.replica}
}

func (s *Server) openBareStores(rc *raft.Config) (raft.LogStore, raft.StableStore, error) {
	if s.cfg.DataDir == "" {
		mem := raft.NewInmemStore()
		s.snaps = raft.NewInmemSnapshotStore()
		return mem, mem, nil
	}
	dir := filepath.Join(s.cfg.DataDir, "raft")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("create raft directory: %w", err)
	}
	collector := s.cfg.WALMetrics
	if collector == nil {
		collector = &metrics.NoOpCollector{}
	}
	logs, err := openLogStore(dir, &s.cfg, rc.Logger, collector, func(err error) {
		s.log.Error("the raft log failed; this server stops so that nothing it acknowledged is lost", "error", err)
		s.fail(errors.Join(err, s.distrustAfter(err)))
	})
	if err != nil {
		return nil, nil, err
	}
	s.logs = logs
	snaps, err := snapstore.Open(filepath.Join(dir, "snapshots"), snapshotsKept, s.log)
	if err != nil {
		return nil, nil, err
	}
	s.snaps = snaps
	if s.cfg.DisableLogCache {
		return logs, logs, nil
	}
	cache, err := raft.NewLogCache(logCacheEntries, logs)
	if err != nil {
		return nil, nil, fmt.Errorf("raft log cache: %w", err)
	}
	return cache, logs, nil
}

// bootstrapAlone makes this server a cluster of one if it has no state yet.
func (s *Server) bootstrapAlone(rc *raft.Config, logs raft.LogStore, stable raft.StableStore) error {
	has, err := raft.HasExistingState(logs, stable, s.snaps)
	if err != nil || has {
		return err
	}
	conf := raft.Configuration{Servers: []raft.Server{{ID: rc.LocalID, Address: raft.ServerAddress(s.cfg.Address)}}}
	return raft.BootstrapCluster(rc, logs, stable, s.snaps, s.trans, conf)
}

// addressProvider finds a server by its id in membership, so that a server may change its address.
type addressProvider struct{ s *Server }

// ServerAddr implements raft.ServerAddressProvider. It never fails, or raft would use the bare address
// in its configuration: the address always names the node that must answer, and one that a living
// member has taken over leads nowhere, so that nobody is counted for two servers.
func (a addressProvider) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	want := structs.NodeID(id)
	members := a.s.members.Members()
	addr := a.s.configuredAddress(want)
	for _, m := range members {
		if m.ID == want && m.Role == structs.RoleServer {
			addr = serverAddress(m)
		}
	}
	for _, m := range members {
		if m.ID != want && m.Role == structs.RoleServer && m.Status == structs.MemberAlive && serverAddress(m) == addr {
			addr = ""
		}
	}
	return transport.RaftAddress(want, addr), nil
}

// configuredAddress is what the Raft configuration says; "" before Raft runs.
func (s *Server) configuredAddress(id structs.NodeID) string {
	r := s.running.Load()
	if r == nil {
		return ""
	}
	f := r.GetConfiguration() // answered from memory
	if f.Error() != nil {
		return ""
	}
	for _, srv := range f.Configuration().Servers {
		if srv.ID == raft.ServerID(id) {
			return string(srv.Address)
		}
	}
	return ""
}

// serverAddress is a member's server port, "host:port".
func serverAddress(m structs.Member) string {
	return net.JoinHostPort(m.Addr, strconv.Itoa(m.Ports[structs.PortServer]))
}

// member finds a living or failed server by id.
func (s *Server) member(id structs.NodeID) (structs.Member, bool) {
	for _, m := range s.members.Members() {
		if m.ID == id {
			return m, true
		}
	}
	return structs.Member{}, false
}

// leader is the leader's id and address as Raft knows it; both "" when there is none.
func (s *Server) leader() (structs.NodeID, string) {
	addr, id := s.raft.LeaderWithID()
	if id == "" {
		return "", ""
	}
	if m, ok := s.member(structs.NodeID(id)); ok {
		return structs.NodeID(id), serverAddress(m)
	}
	return structs.NodeID(id), string(addr)
}
