package rpc

import (
	"context"
	"fmt"
	"io"

	"github.com/debros/debros/internal/acl"
	"github.com/debros/debros/rpc/transport"
	"github.com/debros/debros/structs"
)

// service is the endpoints over one backend. It has no state of its own.
type service struct {
	b Backend
}

// Methods are all unary endpoints over b, by the names that stand beside the requests in structs.
func Methods(b Backend) []transport.Method {
	s := &service{b: b}
	var all []transport.Method
	for _, group := range [][]transport.Method{
		s.kvMethods(), s.txnMethods(), s.sessionMethods(), s.namespaceMethods(),
		s.catalogMethods(), s.statusMethods(), s.operatorMethods(), s.sqlMethods(), s.streamMethods(),
	} {
		all = append(all, group...)
	}
	return all
}

// Streams are all endpoints that carry bytes without end: "Snapshot.Save" writes an archive to out
// and nothing else, "Snapshot.Restore" reads one from in and writes nothing, "SQL.Query" writes frames of
// structs.SQLChunk to out, "SQL.Changes" frames of structs.SQLChangesChunk, "SQL.Backup" the bytes of a SQLite file; "SQL.Restore" reads such
// a file from in and writes one frame, a structs.SQLDatabaseReply.
func Streams(b Backend) []transport.StreamMethod {
	s := &service{b: b}
	return append(s.snapshotStreams(), s.sqlStreams()...)
}

// call is one request that passed the door: it is for this server, and its token is known.
type call struct {
	may acl.Authorizer
	ns  structs.Namespace // a real one, never ""
}

type queryPtr[T any] interface {
	*T
	Query() *structs.QueryOptions
}

type writePtr[T any] interface {
	*T
	Write() *structs.WriteOptions
}

type metaPtr[T any] interface {
	*T
	Meta() *structs.QueryMeta
}

// read makes a method of a read that any server may answer; with structs.Leader it goes to the leader.
func read[Req, Rep any, PReq queryPtr[Req], PRep metaPtr[Rep]](
	s *service, name string, f func(ctx context.Context, c call, req *Req, rep *Rep) error,
) transport.Method {
	return transport.Unary(name, func(ctx context.Context, req *Req, rep *Rep) error {
		o := PReq(req).Query()
		c, done, err := s.enterRead(ctx, name, o, o.Consistency == structs.Leader, req, rep)
		if done || err != nil {
			return err
		}
		return f(ctx, c, req, rep)
	})
}

// readLeader makes a method of a read about things that only the leader knows well; structs.Stale
// asks the server at hand all the same.
func readLeader[Req, Rep any, PReq queryPtr[Req], PRep metaPtr[Rep]](
	s *service, name string, f func(ctx context.Context, c call, req *Req, rep *Rep) error,
) transport.Method {
	return transport.Unary(name, func(ctx context.Context, req *Req, rep *Rep) error {
		o := PReq(req).Query()
		c, done, err := s.enterRead(ctx, name, o, o.Consistency != structs.Stale, req, rep)
		if done || err != nil {
			return err
		}
		if err := f(ctx, c, req, rep); err != nil {
			return err
		}
		m := PRep(rep).Meta()
		s.stamp(m)
		return nil
	})
}

// streamOf makes a stream method of a read that any server may answer; with structs.Leader it goes to the leader.
func streamOf[Req any, PReq queryPtr[Req]](
	s *service, name string, f func(ctx context.Context, c call, req *Req, out io.Writer) error,
) transport.StreamMethod {
	return transport.StreamMethod{
		Name: name,
		New:  func() any { return new(Req) },
		Handle: func(ctx context.Context, req any, in io.Reader, out io.Writer) error {
			r, ok := req.(*Req)
			if !ok {
				return fmt.Errorf("%s: unexpected request %T", name, req)
			}
			o := PReq(r).Query()
			c, done, err := s.enterStream(ctx, name, o, o.Consistency == structs.Leader, req, in, out)
			if done || err != nil {
				return err
			}
			return f(ctx, c, r, out)
		},
	}
}

// write makes a method of a write: it goes to the leader, passed on at most once.
func write[Req, Rep any, PReq writePtr[Req]](
	s *service, name string, f func(ctx context.Context, c call, req *Req, rep *Rep) error,
) transport.Method {
	return transport.Unary(name, func(ctx context.Context, req *Req, rep *Rep) error {
		c, done, err := s.enterWrite(ctx, name, PReq(req).Write(), req, rep)
		if done || err != nil {
			return err
		}
		return f(ctx, c, req, rep)
	})
}

// propose commits a command whose FSM reply is a *Rep.
func propose[Rep any](ctx context.Context, s *service, t structs.CommandType, body any) (*Rep, uint64, error) {
	reply, index, err := s.b.Apply(ctx, t, body)
	if err != nil {
		return nil, 0, err
	}
	switch r := reply.(type) {
	case *Rep:
		return r, index, nil
	case Rep:
		return &r, index, nil
	}
	return nil, 0, unexpectedReply(t, reply)
}
