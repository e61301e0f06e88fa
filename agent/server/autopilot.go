package server

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-metrics"
	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/debros/debros/internal/logging"
	"github.com/debros/debros/structs"
)

// newAutopilot builds the keeper of the Raft configuration: new servers are stabilised as
// non-voters, dead ones removed while quorum allows. It runs while this server leads.
func (s *Server) newAutopilot() {
	opts := []autopilot.Option{
		autopilot.WithLogger(logging.HCLog(s.cfg.Logger, "autopilot")),
		autopilot.WithPromoter(autopilot.DefaultPromoter()),
	}
	if d := s.cfg.AutopilotInterval; d > 0 {
		opts = append(opts, autopilot.WithReconcileInterval(d), autopilot.WithUpdateInterval(d))
	}
	s.autopilot = autopilot.New(s.raft, pilot{s}, opts...)
}

// pilot is what autopilot asks of us.
type pilot struct{ s *Server }

var _ autopilot.ApplicationIntegration = pilot{}

// AutopilotConfig implements autopilot.ApplicationIntegration.
func (p pilot) AutopilotConfig() *autopilot.Config {
	c := p.s.autopilotConfig()
	return &autopilot.Config{
		CleanupDeadServers:      c.CleanupDeadServers,
		LastContactThreshold:    c.LastContactThreshold,
		MaxTrailingLogs:         c.MaxTrailingLogs,
		MinQuorum:               c.MinQuorum,
		ServerStabilizationTime: c.ServerStabilizationTime,
	}
}

// NotifyState implements autopilot.ApplicationIntegration.
func (p pilot) NotifyState(st *autopilot.State) {
	p.s.autoState.Store(st)
	healthy := float32(0)
	if st.Healthy {
		healthy = 1
	}
	metrics.SetGauge([]string{"autopilot", "healthy"}, healthy)
	metrics.SetGauge([]string{"autopilot", "failure_tolerance"}, float32(st.FailureTolerance))
}

// FetchServerStats implements autopilot.ApplicationIntegration: all servers are asked at once.
func (p pilot) FetchServerStats(ctx context.Context, servers map[raft.ServerID]*autopilot.Server) map[raft.ServerID]*autopilot.ServerStats {
	out := make(map[raft.ServerID]*autopilot.ServerStats, len(servers))
	var mu sync.Mutex
	var wg sync.WaitGroup
	for id, srv := range servers {
		wg.Go(func() {
			st, err := p.s.statsOf(ctx, structs.NodeID(id), string(srv.Address))
			if err != nil {
				p.s.log.Debug("server does not answer autopilot", "node", srv.Name, "error", err)
				return
			}
			if st.Quarantine != "" {
				st.LastTerm = 0 // in no term of ours: autopilot takes it for unhealthy
			}
			mu.Lock()
			defer mu.Unlock()
			out[id] = &autopilot.ServerStats{LastContact: st.LastContact, LastTerm: st.LastTerm, LastIndex: st.LastIndex}
		})
	}
	wg.Wait()
	return out
}

// KnownServers implements autopilot.ApplicationIntegration.
func (p pilot) KnownServers() map[raft.ServerID]*autopilot.Server {
	out := make(map[raft.ServerID]*autopilot.Server)
	leader, _ := p.s.leader()
	for _, m := range p.s.members.Members() {
		if m.Role != structs.RoleServer || m.Datacenter != p.s.cfg.Datacenter {
			continue
		}
		out[raft.ServerID(m.ID)] = &autopilot.Server{
			ID: raft.ServerID(m.ID), Name: m.Name, Address: raft.ServerAddress(serverAddress(m)),
			NodeStatus: autopilotStatus(m.Status), Version: m.Build, RaftVersion: int(raft.ProtocolVersionMax),
			IsLeader: m.ID == leader, NodeType: autopilot.NodeVoter,
		}
	}
	return out
}

func autopilotStatus(st structs.MemberStatus) autopilot.NodeStatus {
	switch st {
	case structs.MemberAlive:
		return autopilot.NodeAlive
	case structs.MemberFailed:
		return autopilot.NodeFailed
	case structs.MemberLeft, structs.MemberLeaving:
		return autopilot.NodeLeft
	}
	return autopilot.NodeUnknown
}

// RemoveFailedServer implements autopilot.ApplicationIntegration.
func (p pilot) RemoveFailedServer(srv *autopilot.Server) {
	p.s.wg.Go(func() {
		if err := p.s.members.RemoveFailed(p.s.ctx, srv.Name, false); err != nil {
			p.s.log.Warn("dead server not removed from membership", "node", srv.Name, "error", err)
		}
	})
}

// statsOf asks a server for its figures, as one that is healthy can answer.
func (s *Server) statsOf(ctx context.Context, id structs.NodeID, addr string) (structs.ServerStatsReply, error) {
	return s.askStats(ctx, id, addr, statsTimeout)
}

// askStats asks a server for its figures; this one answers itself.
func (s *Server) askStats(ctx context.Context, id structs.NodeID, addr string, timeout time.Duration) (structs.ServerStatsReply, error) {
	if id == s.cfg.NodeID {
		return s.Raft().Stats(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var reply structs.ServerStatsReply
	err := s.pool.Call(ctx, addr, "Status.Stats", &structs.QueryRequest{}, &reply)
	return reply, err
}

// statsTimeout bounds the question; a server that needs longer is not healthy.
const statsTimeout = time.Second

// autopilotConfig is the replicated configuration, or what a new cluster would start with.
func (s *Server) autopilotConfig() structs.AutopilotConfig {
	if _, c := s.store.Autopilot(nil); c != nil {
		return *c
	}
	return s.cfg.Autopilot
}
