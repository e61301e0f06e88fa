package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/debros/debros/structs"
)

// serviceName is the one gRPC service; a method's path is /debros/KV.Apply.
const serviceName = "debros"

func path(method string) string { return "/" + serviceName + "/" + method }

// register builds gRPC's service description from the lists.
func (s *Server) register(methods []Method, streams []StreamMethod) {
	d := grpc.ServiceDesc{ServiceName: serviceName}
	for _, m := range methods {
		d.Methods = append(d.Methods, grpc.MethodDesc{
			MethodName: m.Name,
			Handler: func(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				return s.unary(ctx, &m, dec)
			},
		})
	}
	for _, m := range streams {
		d.Streams = append(d.Streams, grpc.StreamDesc{
			StreamName:    m.Name,
			ServerStreams: true,
			ClientStreams: true,
			Handler:       func(_ any, gs grpc.ServerStream) error { return s.stream(&m, gs) },
		})
	}
	s.grpc.RegisterService(&d, nil)
}

func (s *Server) unary(ctx context.Context, m *Method, dec func(any) error) (rep any, err error) {
	if err := s.authorize(ctx, m.Name, m.ServersOnly); err != nil {
		return nil, s.answer(m.Name, err, func(md map[string][]string) { grpc.SetTrailer(ctx, md) })
	}
	req := m.New()
	if err := dec(req); err != nil {
		return nil, s.undecoded(m.Name, err)
	}
	start := time.Now()
	s.count.inc("request", label("method", m.Name))
	rep, err = s.protect(m.Name, func() (any, error) { return m.Handle(ctx, req) })
	s.count.since("duration", start, label("method", m.Name))
	if err != nil {
		return nil, s.answer(m.Name, err, func(md map[string][]string) { grpc.SetTrailer(ctx, md) })
	}
	return rep, nil
}

func (s *Server) stream(m *StreamMethod, gs grpc.ServerStream) error {
	ctx := gs.Context()
	if err := s.authorize(ctx, m.Name, m.ServersOnly); err != nil {
		return s.answer(m.Name, err, func(md map[string][]string) { gs.SetTrailer(md) })
	}
	req := m.New()
	if err := gs.RecvMsg(req); err != nil {
		return s.undecoded(m.Name, err)
	}
	s.count.inc("request", label("method", m.Name))
	_, err := s.protect(m.Name, func() (any, error) {
		return nil, m.Handle(ctx, req, &streamReader{recv: gs.RecvMsg}, &streamWriter{send: gs.SendMsg})
	})
	if err != nil {
		return s.answer(m.Name, err, func(md map[string][]string) { gs.SetTrailer(md) })
	}
	return nil
}

func (s *Server) authorize(ctx context.Context, method string, serversOnly bool) error {
	if !serversOnly || s.cfg.Creds == nil {
		return nil
	}
	// One key may serve several datacenters, whose servers are guests of each other.
	if peer := PeerIdentity(ctx); peer.Role == structs.RoleServer && peer.Datacenter == s.cfg.Creds.Identity().Datacenter {
		return nil
	}
	return structs.Errorf(structs.KindDenied, "%s is for servers of the cluster", method)
}

// undecoded answers a request that could not be read. gRPC's own statuses (too large, cancelled) go on as they are.
func (s *Server) undecoded(method string, err error) error {
	s.count.inc("request_error", label("method", method), label("kind", structs.KindInvalid.String()))
	switch status.Code(err) {
	case codes.ResourceExhausted, codes.Canceled, codes.DeadlineExceeded:
		return err
	}
	s.cfg.Logger.Warn("request refused: it cannot be decoded", "method", method, "error", err)
	return status.Error(codes.InvalidArgument, "the request cannot be decoded")
}

// protect turns a panic of one method into an answer: one bad request must not stop a server.
func (s *Server) protect(method string, f func() (any, error)) (rep any, err error) {
	defer func() {
		if r := recover(); r != nil {
			s.count.inc("panic", label("method", method))
			s.cfg.Logger.Error("rpc method panicked", "method", method, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			rep, err = nil, structs.Errorf(structs.KindInternal, "internal error; the agent's log has the details")
		}
	}()
	return f()
}

// answer logs what a user must not see and makes the status.
func (s *Server) answer(method string, err error, trailer func(map[string][]string)) error {
	e := structs.AsError(err)
	s.count.inc("request_error", label("method", method), label("kind", e.Kind.String()))
	var known *structs.Error
	if e.Kind == structs.KindInternal && !errors.As(err, &known) {
		s.cfg.Logger.Error("rpc method failed", "method", method, "error", err)
	}
	md, st := answerError(e)
	if md != nil {
		trailer(md)
	}
	return st
}

// chunkBytes is how much of a stream goes in one message: above it gRPC's cost per message no longer
// shows, and flow control works by the byte anyway.
const chunkBytes = 64 << 10

// streamReader makes an io.Reader of the chunks that recv gives.
type streamReader struct {
	recv func(any) error
	buf  chunk
	rest []byte
	err  error
}

func (r *streamReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.rest) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		if err := r.recv(&r.buf); err != nil {
			r.err = err
			if !errors.Is(err, io.EOF) {
				r.err = structs.Errorf(structs.KindCanceled, "the stream was broken off")
			}
			return 0, r.err
		}
		r.rest = r.buf.data
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// streamWriter makes an io.Writer of send, which blocks while the other side does not read.
type streamWriter struct{ send func(any) error }

func (w *streamWriter) Write(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		k := min(chunkBytes, len(p)-n)
		if err := w.send(&chunk{data: p[n : n+k]}); err != nil {
			if errors.Is(err, io.EOF) {
				return n, err // the other side ended the stream
			}
			return n, structs.Errorf(structs.KindCanceled, "the stream was broken off")
		}
		n += k
	}
	return n, nil
}
