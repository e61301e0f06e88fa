package rpc

import (
	"context"
	"time"

	"github.com/debros/debros/rpc/transport"
	"github.com/debros/debros/structs"
	"github.com/hashicorp/go-memdb"
)

func (s *service) operatorMethods() []transport.Method {
	return []transport.Method{
		readLeader(s, "Operator.RaftConfiguration", s.raftConfiguration),
		write(s, "Operator.RaftRemovePeer", s.raftRemovePeer),
		write(s, "Operator.RaftTransferLeader", s.raftTransferLeader),
		read(s, "Operator.AutopilotGet", s.autopilotGet),
		write(s, "Operator.AutopilotSet", s.autopilotSet),
		readLeader(s, "Operator.AutopilotHealth", s.autopilotHealth),
		write(s, "Operator.Verify", s.verify),
		readLeader(s, "Operator.VerifyReport", s.verifyReport),
	}
}

func (s *service) raftConfiguration(ctx context.Context, c call, _ *structs.QueryRequest, rep *structs.RaftConfigReply) error {
	if !c.may.OperatorRead() {
		return denied("operator:read", "")
	}
	r, err := s.b.Raft().Configuration(ctx)
	if err != nil {
		return err
	}
	rep.Servers, rep.ConfigIndex = r.Servers, r.ConfigIndex
	rep.ClusterID, rep.Refused = r.ClusterID, r.Refused
	rep.Index = r.ConfigIndex
	return nil
}

func (s *service) raftRemovePeer(ctx context.Context, c call, req *structs.RaftPeerRequest, rep *structs.WriteReply) error {
	if !c.may.OperatorWrite() {
		return denied("operator:write", "")
	}
	if (req.ID == "") == (req.Address == "") {
		return structs.Errorf(structs.KindInvalid, "name the server to remove by its id or by its address, and not by both").
			WithHint("`debros operator raft list-peers` shows both")
	}
	if err := checkPeer(req); err != nil {
		return err
	}
	index, err := s.b.Raft().RemovePeer(ctx, req.ID, req.Address)
	rep.Index = index
	return err
}

func (s *service) raftTransferLeader(ctx context.Context, c call, req *structs.RaftPeerRequest, rep *structs.WriteReply) error {
	if !c.may.OperatorWrite() {
		return denied("operator:write", "")
	}
	if err := checkPeer(req); err != nil {
		return err
	}
	err := s.b.Raft().TransferLeadership(ctx, req.ID, req.Address)
	rep.Index = max(s.b.State().Index(), 1)
	return err
}

// checkPeer bounds names that will appear in messages and logs.
func checkPeer(req *structs.RaftPeerRequest) error {
	if err := checkName("server id", string(req.ID)); err != nil {
		return err
	}
	return checkName("server address", req.Address)
}

func (s *service) autopilotGet(ctx context.Context, c call, req *structs.QueryRequest, rep *structs.AutopilotReply) error {
	if !c.may.OperatorRead() {
		return denied("operator:read", "")
	}
	rep.OK = true
	return s.query(ctx, &req.QueryOptions, &rep.QueryMeta, func(ws memdb.WatchSet) (idx uint64, found bool) {
		idx, have := s.b.State().Autopilot(ws)
		if have == nil {
			rep.Config = s.b.Raft().AutopilotDefault()
			return idx, false
		}
		rep.Config = *have
		return idx, true
	})
}

func (s *service) autopilotSet(ctx context.Context, c call, req *structs.AutopilotRequest, rep *structs.AutopilotReply) error {
	if !c.may.OperatorWrite() {
		return denied("operator:write", "")
	}
	if err := checkAutopilot(&req.Config); err != nil {
		return err
	}
	r, index, err := propose[structs.AutopilotReply](ctx, s, structs.CommandAutopilot, &structs.AutopilotRequest{
		WriteOptions: logged(c), Config: req.Config, CAS: req.CAS,
	})
	if err != nil {
		return err
	}
	rep.OK, rep.Config, rep.Index = r.OK, r.Config, index
	s.stamp(&rep.QueryMeta)
	return nil
}

// Bounds of the autopilot configuration, as in the agent's own.
const (
	lastContactThresholdMin = time.Millisecond
	minQuorumMax            = 255
)

// checkAutopilot refuses what no cluster could live with.
func checkAutopilot(c *structs.AutopilotConfig) error {
	switch {
	case c.LastContactThreshold < lastContactThresholdMin:
		return structs.Errorf(structs.KindInvalid, "a last contact threshold of %s is below %s: no server would ever be healthy", c.LastContactThreshold, lastContactThresholdMin)
	case c.ServerStabilizationTime < 0:
		return structs.Errorf(structs.KindInvalid, "a server stabilization time of %s is negative", c.ServerStabilizationTime)
	case c.MinQuorum > minQuorumMax:
		return structs.Errorf(structs.KindInvalid, "a minimum quorum of %d is above %d servers", c.MinQuorum, minQuorumMax)
	}
	return nil
}

func (s *service) autopilotHealth(ctx context.Context, c call, _ *structs.QueryRequest, rep *structs.AutopilotHealthReply) error {
	if !c.may.OperatorRead() {
		return denied("operator:read", "")
	}
	r, err := s.b.Raft().AutopilotHealth(ctx)
	if err != nil {
		return err
	}
	*rep = *r
	rep.Index = s.b.State().Index()
	return nil
}

func (s *service) verify(ctx context.Context, c call, req *structs.VerifyRequest, rep *structs.VerifyReply) (err error) {
	if !c.may.OperatorWrite() {
		return denied("operator:write", "")
	}
	if err := checkName("server id", string(req.Reinstall)); err != nil {
		return err
	}
	rep.Index, err = s.b.Raft().Verify(ctx, req.Reinstall)
	return err
}

func (s *service) verifyReport(_ context.Context, c call, req *structs.VerifyReportRequest, rep *structs.VerifyReportReply) error {
	if !c.may.OperatorRead() {
		return denied("operator:read", "")
	}
	r, err := s.b.Raft().VerifyReport(req.At)
	if err != nil {
		return err
	}
	rep.Report = *r
	rep.Index = s.b.State().Index()
	return nil
}
