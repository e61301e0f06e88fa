package rpc

import (
	"context"

	"github.com/debros/debros/rpc/transport"
	"github.com/debros/debros/structs"
)

// The status endpoints ask for no right: they say where the cluster is and whether it works, which
// a program must learn before it can do anything else, and nothing about what is stored. Two of
// them are for servers alone.
func (s *service) statusMethods() []transport.Method {
	readIndex := transport.Unary("Status.ReadIndex", s.statusReadIndex)
	readIndex.ServersOnly = true
	stats := transport.Unary("Status.Stats", s.statusStats)
	stats.ServersOnly = true
	return []transport.Method{
		read(s, "Status.Leader", s.statusLeader),
		read(s, "Status.Peers", s.statusPeers),
		transport.Unary("Status.Ping", s.statusPing),
		readIndex,
		stats,
	}
}

// statusLeader answers with what this server knows; a server that knows no leader says so at once.
func (s *service) statusLeader(_ context.Context, _ call, _ *structs.QueryRequest, rep *structs.StatusReply) error {
	rep.LeaderID, rep.Leader = s.b.Raft().Leader()
	rep.Index = s.b.State().Index()
	s.stamp(&rep.QueryMeta)
	return nil
}

func (s *service) statusPeers(ctx context.Context, c call, req *structs.QueryRequest, rep *structs.StatusReply) error {
	peers, err := s.b.Raft().Peers()
	if err != nil {
		return err
	}
	rep.Peers = peers
	return s.statusLeader(ctx, c, req, rep)
}

func (s *service) statusPing(_ context.Context, _ *structs.QueryRequest, rep *structs.StatusReply) error {
	rep.Index = s.b.State().Index()
	s.stamp(&rep.QueryMeta)
	return nil
}

// statusReadIndex is never forwarded: the one who asks wants this server's word as leader.
func (s *service) statusReadIndex(ctx context.Context, _ *structs.ReadIndexRequest, rep *structs.ReadIndexReply) error {
	index, err := s.b.Raft().ReadIndex(ctx)
	rep.Index = index
	return err
}

func (s *service) statusStats(_ context.Context, _ *structs.QueryRequest, rep *structs.ServerStatsReply) error {
	*rep = s.b.Raft().Stats()
	return nil
}
