package server

import (
	"context"
	"time"

	"github.com/debros/debros/rpc/transport"
	"github.com/debros/debros/structs"
)

// This file is a server's own part in a comparison, and what operators ask about it.

// askHash asks a server for its own hash; this one answers itself.
func (s *Server) askHash(ctx context.Context, id structs.NodeID, addr string, req *structs.ReplicaHashRequest) (*structs.ReplicaHash, error) {
	if id == s.cfg.NodeID {
		return s.ownHash(ctx, req), nil
	}
	ctx, cancel := context.WithTimeout(ctx, req.Wait+silenceMax/2)
	defer cancel()
	rep := &structs.ReplicaHash{}
	return rep, s.pool.Call(ctx, addr, "Replica.Hash", req, rep)
}

// ownHash is what this server says of itself.
func (s *Server) ownHash(ctx context.Context, req *structs.ReplicaHashRequest) *structs.ReplicaHash {
	applied := s.fsm.AppliedIndex() // first: what is applied then was noted
	h := s.comparer.await(ctx, req.At, min(max(req.Wait, 0), hashWait))
	h.Applied, h.Quarantine = applied, s.quarantine.reason()
	if !req.Parts {
		h.Parts = nil
	}
	return &h
}

// replicaMethods are what servers ask of each other's states.
func (s *Server) replicaMethods() []transport.Method {
	methods := []transport.Method{
		transport.Unary("Replica.Hash", func(ctx context.Context, req *structs.ReplicaHashRequest, rep *structs.ReplicaHash) error {
			*rep = *s.ownHash(ctx, req)
			return nil
		}),
		transport.Unary("Replica.Quarantine", func(_ context.Context, req *structs.Quarantine, _ *structs.QuarantineReply) error {
			return s.condemn(*req)
		}),
		transport.Unary("Replica.Reinstall", func(ctx context.Context, req *structs.ReinstallRequest, rep *structs.ReinstallReply) (err error) {
			rep.Index, err = s.reinstall(ctx, req)
			return err
		}),
	}
	methods = append(methods, transport.Unary("Replica.Report", func(_ context.Context, req *structs.VerifyReport, _ *structs.QuarantineReply) error {
		s.showReport(req)
		return nil
	}))
	for i := range methods {
		methods[i].ServersOnly = true
	}
	return methods
}

// Verify implements rpc.RaftOps.
func (o raftOps) Verify(ctx context.Context, reinstall structs.NodeID) (uint64, error) {
	if !o.s.IsLeader() {
		return 0, errNotLeader()
	}
	if reinstall == "" {
		return o.s.beginComparison(ctx)
	}
	srv, err := o.s.findServer(reinstall, "")
	if err != nil {
		return 0, err
	}
	if reinstall == o.s.cfg.NodeID {
		return 0, structs.Errorf(structs.KindInvalid, "server %s leads: its state is what the others take", reinstall).
			WithHint("hand leadership to a server whose state is right: `debros operator raft transfer-leader -id=…`")
	}
	why := structs.Quarantine{Index: o.s.store.Index(), Since: time.Now().UTC(), Right: []structs.NodeID{o.s.cfg.NodeID}, Reason: "an operator said so"}
	return why.Index, o.s.tellWrong(ctx, reinstall, o.s.addressOf(srv), &why)
}

// VerifyReport implements rpc.RaftOps.
func (o raftOps) VerifyReport(at uint64) (*structs.VerifyReport, error) {
	if !o.s.IsLeader() {
		return nil, errNotLeader()
	}
	r := o.s.currentReport()
	if r == nil {
		r = &structs.VerifyReport{Outcome: structs.VerifyNone}
	}
	switch {
	case at > r.Index:
		if latest := o.s.comparer.latest(); latest != nil && latest.At >= at {
			return &structs.VerifyReport{Index: at, Outcome: structs.VerifyRunning}, nil // the leader comes to it
		}
		return nil, structs.Errorf(structs.KindNotFound, "the leader knows of no comparison at index %d", at).WithHint("begin another one")
	case at != 0 && at < r.Index:
		return nil, structs.Errorf(structs.KindNotFound, "a later comparison has taken the place of that at index %d: its index is %d", at, r.Index)
	}
	return r, nil
}
