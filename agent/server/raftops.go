package server

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/rpc"
	"github.com/debros/debros/structs"
)

// raftChangeTimeout bounds a change of the configuration by an operator.
const raftChangeTimeout = 10 * time.Second

// unknownNode is shown for a server that membership does not know.
const unknownNode = "(unknown)"

// Raft implements rpc.Backend.
func (s *Server) Raft() rpc.RaftOps { return raftOps{s} }

// raftOps shows consensus to operators.
type raftOps struct{ s *Server }

// Leader implements rpc.RaftOps.
func (o raftOps) Leader() (structs.NodeID, string) { return o.s.leader() }

// Peers implements rpc.RaftOps.
func (o raftOps) Peers() ([]string, error) {
	conf, err := o.s.configuration()
	if err != nil {
		return nil, err
	}
	peers := make([]string, 0, len(conf.Servers))
	for _, srv := range conf.Servers {
		peers = append(peers, o.s.addressOf(srv))
	}
	return peers, nil
}

// Stats implements rpc.RaftOps.
func (o raftOps) Stats() structs.ServerStatsReply {
	stats := o.s.raft.Stats()
	_, lastContact := o.s.LeaderInfo()
	term, _ := strconv.ParseUint(stats["last_log_term"], 10, 64)
	return structs.ServerStatsReply{
		LastContact: lastContact, LastTerm: term, LastIndex: o.s.raft.LastIndex(),
		HasConfiguration: o.s.belongs(), Quarantine: o.s.quarantine.reason(),
		DiskFree: o.s.water.free.Load(), DiskLow: o.s.water.low.Load(),
	}
}

// ReadIndex implements rpc.RaftOps.
func (o raftOps) ReadIndex(ctx context.Context) (uint64, error) {
	if !o.s.IsLeader() {
		return 0, errNotLeader()
	}
	return o.s.reads.get(ctx)
}

// Configuration implements rpc.RaftOps.
func (o raftOps) Configuration(ctx context.Context) (*structs.RaftConfigReply, error) {
	index := o.s.configIndex.Load() // first: the servers may be newer than the index, never older
	conf, err := o.s.configuration()
	if err != nil {
		return nil, err
	}
	leader, _ := o.s.leader()
	reply := &structs.RaftConfigReply{ConfigIndex: index, ClusterID: o.s.ClusterID(), Refused: o.s.strangers.list()}
	var wg sync.WaitGroup
	for _, srv := range conf.Servers {
		row := &structs.RaftServer{
			ID: structs.NodeID(srv.ID), Node: unknownNode, Address: o.s.addressOf(srv),
			Leader: structs.NodeID(srv.ID) == leader, Voter: srv.Suffrage == raft.Voter,
			ProtocolVersion: strconv.Itoa(int(raft.ProtocolVersionMax)),
		}
		if m, ok := o.s.member(row.ID); ok {
			row.Node = m.Name
		}
		reply.Servers = append(reply.Servers, row)
		wg.Go(func() {
			if st, err := o.s.statsOf(ctx, row.ID, row.Address); err == nil {
				row.LastIndex, row.Quarantine = st.LastIndex, st.Quarantine
			}
		})
	}
	wg.Wait()
	return reply, nil
}

// RemovePeer implements rpc.RaftOps.
func (o raftOps) RemovePeer(ctx context.Context, id structs.NodeID, address string) (uint64, error) {
	srv, err := o.s.findServer(id, address)
	if err != nil {
		return 0, err
	}
	if err := o.s.keepsQuorum(ctx, structs.NodeID(srv.ID)); err != nil {
		return 0, err
	}
	f := o.s.raft.RemoveServer(srv.ID, 0, raftChangeTimeout)
	if err := f.Error(); err != nil {
		return 0, raftError("remove the server", err)
	}
	o.s.gone.remove(structs.NodeID(srv.ID), time.Now())
	o.s.log.Warn("server removed from the raft configuration on request; if it stays a member of the cluster, it is added again", "id", srv.ID, "address", srv.Address, "after", removedPause)
	return f.Index(), nil
}

// TransferLeadership implements rpc.RaftOps.
func (o raftOps) TransferLeadership(_ context.Context, id structs.NodeID, address string) error {
	if o.s.voters() <= 1 {
		return structs.Errorf(structs.KindInvalid, "this is the only server with a vote: there is nobody to hand leadership to")
	}
	if id == "" && address == "" {
		return raftError("hand leadership over", waitFuture(o.s.raft.LeadershipTransfer(), raftChangeTimeout))
	}
	srv, err := o.s.findServer(id, address)
	if err != nil {
		return err
	}
	if srv.Suffrage != raft.Voter {
		return structs.Errorf(structs.KindInvalid, "server %s has no vote yet and cannot lead", srv.ID)
	}
	if structs.NodeID(srv.ID) == o.s.cfg.NodeID {
		return nil
	}
	f := o.s.raft.LeadershipTransferToServer(srv.ID, raft.ServerAddress(o.s.addressOf(srv)))
	return raftError("hand leadership over", waitFuture(f, raftChangeTimeout))
}

// AutopilotDefault implements rpc.RaftOps.
func (o raftOps) AutopilotDefault() structs.AutopilotConfig { return o.s.cfg.Autopilot }

// AutopilotHealth implements rpc.RaftOps.
func (o raftOps) AutopilotHealth(context.Context) (*structs.AutopilotHealthReply, error) {
	if !o.s.IsLeader() {
		return nil, errNotLeader()
	}
	st := o.s.autoState.Load()
	if st == nil {
		return nil, structs.Errorf(structs.KindUnavailable, "autopilot has not examined the servers yet").WithHint("try again in a few seconds")
	}
	reply := &structs.AutopilotHealthReply{Healthy: st.Healthy, FailureTolerance: st.FailureTolerance, Leader: structs.NodeID(st.Leader)}
	for _, v := range st.Voters {
		reply.Voters = append(reply.Voters, structs.NodeID(v))
	}
	for _, srv := range st.Servers {
		m, _ := o.s.member(structs.NodeID(srv.Server.ID))
		reply.Servers = append(reply.Servers, structs.ServerHealth{
			ID: structs.NodeID(srv.Server.ID), Name: srv.Server.Name, Address: string(srv.Server.Address),
			SerfStatus: m.Status, Version: srv.Server.Version,
			Leader: srv.State == "leader", Voter: srv.HasVotingRights(),
			LastContact: srv.Stats.LastContact, LastTerm: srv.Stats.LastTerm, LastIndex: srv.Stats.LastIndex,
			Healthy: srv.Health.Healthy, StableSince: srv.Health.StableSince,
		})
	}
	sortByName(reply.Servers)
	return reply, nil
}

func (s *Server) configuration() (raft.Configuration, error) {
	f := s.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return raft.Configuration{}, fmt.Errorf("read the raft configuration: %w", err)
	}
	return f.Configuration(), nil
}

// voters counts the voters of the configuration.
func (s *Server) voters() (n int) {
	f := s.raft.GetConfiguration()
	if f.Error() != nil {
		return 0
	}
	for _, srv := range f.Configuration().Servers {
		if srv.Suffrage == raft.Voter {
			n++
		}
	}
	return n
}

// addressOf is where membership says a server is, else what the configuration says.
func (s *Server) addressOf(srv raft.Server) string {
	if m, ok := s.member(structs.NodeID(srv.ID)); ok {
		return serverAddress(m)
	}
	return string(srv.Address)
}

// findServer finds a server of the configuration by id or address.
func (s *Server) findServer(id structs.NodeID, address string) (raft.Server, error) {
	conf, err := s.configuration()
	if err != nil {
		return raft.Server{}, err
	}
	for _, srv := range conf.Servers {
		if (id != "" && structs.NodeID(srv.ID) == id) || (id == "" && (string(srv.Address) == address || s.addressOf(srv) == address)) {
			return srv, nil
		}
	}
	who := string(id)
	if who == "" {
		who = address
	}
	return raft.Server{}, structs.Errorf(structs.KindNotFound, "no server %q in the raft configuration", who).
		WithHint("`debros operator raft list-peers` shows ids and addresses")
}

func raftError(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader):
		return errNotLeader()
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrRaftShutdown), errors.Is(err, errNoAnswer):
		return structs.Errorf(structs.KindUnknownResult, "could not %s for sure: %v", what, err).
			WithHint("`debros operator raft list-peers` shows what is so now")
	}
	return structs.Errorf(structs.KindUnavailable, "could not %s: %v", what, err)
}

// RaftStats are raft's own figures, for people.
func (s *Server) RaftStats() map[string]string { return s.raft.Stats() }

// Stats are the server's figures, for people.
func (s *Server) Stats() map[string]string {
	id, addr := s.leader()
	return map[string]string{
		"leader": strconv.FormatBool(s.IsLeader()), "leader_id": string(id), "leader_addr": addr,
		"applied_index": strconv.FormatUint(s.fsm.AppliedIndex(), 10), "state_index": strconv.FormatUint(s.store.Index(), 10),
		"bootstrapped": strconv.FormatBool(s.hasConfiguration()),
		"cluster_id":   string(s.ClusterID()), "refused_servers": strconv.Itoa(len(s.strangers.list())),
	}
}

// SetSnapshots changes when snapshots are taken and how much log is kept behind them; 0 leaves a setting as it is.
func (s *Server) SetSnapshots(threshold uint64, interval time.Duration, trailing uint64) {
	s.snapshots.set(threshold, interval, trailing)
}

func setUnlessZero[T comparable](v *T, to T) {
	var zero T
	if to != zero {
		*v = to
	}
}
