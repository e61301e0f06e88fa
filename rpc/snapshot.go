package rpc

import (
	"context"
	"fmt"
	"io"

	"github.com/debros/debros/rpc/transport"
	"github.com/debros/debros/structs"
)

func (s *service) snapshotStreams() []transport.StreamMethod {
	return []transport.StreamMethod{
		s.stream("Snapshot.Save", s.snapshotSave),
		s.stream("Snapshot.Restore", s.snapshotRestore),
	}
}

func (s *service) stream(name string, f func(ctx context.Context, name string, req *structs.SnapshotRequest, in io.Reader, out io.Writer) error) transport.StreamMethod {
	return transport.StreamMethod{
		Name: name,
		New:  func() any { return new(structs.SnapshotRequest) },
		Handle: func(ctx context.Context, req any, in io.Reader, out io.Writer) error {
			r, ok := req.(*structs.SnapshotRequest)
			if !ok {
				return fmt.Errorf("%s: unexpected request %T", name, req)
			}
			return f(ctx, name, r, in, out)
		},
	}
}

// snapshotSave writes the archive of a state that holds every write acknowledged before the
// request (with structs.Stale: of whatever this server has, which also works without a leader).
func (s *service) snapshotSave(ctx context.Context, name string, req *structs.SnapshotRequest, in io.Reader, out io.Writer) error {
	o := &req.QueryOptions
	c, done, err := s.enterStream(ctx, name, o, o.Consistency == structs.Leader, req, in, out)
	if done || err != nil {
		return err
	}
	if !c.may.SnapshotRead() {
		return denied("snapshot:read", "")
	}
	if err := s.b.ReadReady(ctx, o); err != nil {
		return err
	}
	return s.b.Raft().SnapshotSave(ctx, out)
}

func (s *service) snapshotRestore(ctx context.Context, name string, req *structs.SnapshotRequest, in io.Reader, out io.Writer) error {
	c, done, err := s.enterStream(ctx, name, &req.QueryOptions, true, req, in, out)
	if done || err != nil {
		return err
	}
	if !c.may.SnapshotWrite() {
		return denied("snapshot:write", "")
	}
	if in == nil {
		return structs.Errorf(structs.KindInvalid, "there is no archive to restore")
	}
	_, err = s.b.Raft().SnapshotRestore(ctx, in)
	return err
}
