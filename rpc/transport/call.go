package transport

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"

	"github.com/debros/debros/structs"
)

// callState says whether a call's request may have reached the server. It errs on the side of yes.
type callState struct{ sent atomic.Bool }

type callStateKey struct{}

// sentTracker keeps callState by gRPC's own events. A payload counts as sent from when it is in the
// connection's send queue. When gRPC begins a transparent retry it knows that the attempt before was
// not processed, so the answer starts over.
type sentTracker struct{}

func (sentTracker) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (sentTracker) HandleRPC(ctx context.Context, ev stats.RPCStats) {
	st, ok := ctx.Value(callStateKey{}).(*callState)
	if !ok {
		return
	}
	switch ev := ev.(type) {
	case *stats.Begin:
		if ev.IsTransparentRetryAttempt {
			st.sent.Store(false)
		}
	case *stats.OutPayload:
		st.sent.Store(true)
	}
}

func (sentTracker) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (sentTracker) HandleConn(context.Context, stats.ConnStats) {}

// Call sends req to a method of the server at addr and decodes the answer into reply. Every error is a
// *structs.Error: the method's own; KindUnavailable when the request was not sent, so that trying elsewhere
// is safe; KindUnknownResult when it may have arrived and no answer came; KindCanceled when ctx ended
// (its hint says whether the request was sent). Nothing is ever sent twice.
func (p *Pool) Call(ctx context.Context, addr, method string, req, reply any) error {
	e, serr := p.acquire(addr)
	if serr != nil {
		return serr
	}
	defer p.release(e)
	st := new(callState)
	var trailer metadata.MD
	err := e.cc.Invoke(context.WithValue(ctx, callStateKey{}, st), path(method), req, reply, grpc.Trailer(&trailer))
	if err == nil {
		return nil
	}
	return p.failed(ctx, e, err, trailer, st)
}

func (p *Pool) failed(ctx context.Context, e *pooled, err error, trailer metadata.MD, st *callState) error {
	serr := callError(ctx, e.addr, err, trailer, st.sent.Load(), e.lastDialErr())
	if serr.Kind == structs.KindUnknownResult {
		p.count.inc("call_unknown_result")
		p.cfg.Logger.Debug("rpc call lost", "address", e.addr, "error", err)
	}
	return serr
}

// Stream sends req to a stream method, then copies in to it and what it writes to out, until the method
// ends. Either may be nil. Errors are as Call's, except that an error of in or out is returned as it is, and the
// method sees its stream broken off. A call that fails midway may have written to out.
//
// A Read of in that is in progress when the stream ends cannot be interrupted: Stream does not wait for it.
// Its result is dropped, and in is not read again.
func (p *Pool) Stream(ctx context.Context, addr, method string, req any, in io.Reader, out io.Writer) error {
	e, serr := p.acquire(addr)
	if serr != nil {
		return serr
	}
	defer p.release(e)
	st := new(callState)
	sctx, cancel := context.WithCancelCause(context.WithValue(ctx, callStateKey{}, st))
	defer cancel(nil)
	desc := &grpc.StreamDesc{StreamName: method, ServerStreams: true, ClientStreams: true}
	cs, err := e.cc.NewStream(sctx, desc, path(method))
	if err != nil {
		return p.failed(ctx, e, err, nil, st)
	}
	if err := cs.SendMsg(req); err != nil && !errors.Is(err, io.EOF) { // EOF: the reason comes with receiving
		return p.failed(ctx, e, err, nil, st)
	}
	if in == nil {
		cs.CloseSend()
	} else {
		go send(cs, in, cancel)
	}
	err = receive(cs, out)
	var local localError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &local):
		return local.error
	case errors.As(context.Cause(sctx), &local):
		return local.error
	}
	return p.failed(ctx, e, err, cs.Trailer(), st)
}

// localError is an error of the caller's own reader or writer.
type localError struct{ error }

// send copies in to the stream. It ends with the stream, or at the next return of in.Read.
func send(cs grpc.ClientStream, in io.Reader, abort context.CancelCauseFunc) {
	buf := make([]byte, chunkBytes)
	for {
		n, err := in.Read(buf)
		if cs.Context().Err() != nil {
			return
		}
		if n > 0 {
			if cs.SendMsg(&chunk{data: buf[:n]}) != nil {
				return // the stream ended; receive knows why
			}
		}
		if errors.Is(err, io.EOF) {
			cs.CloseSend()
			return
		}
		if err != nil {
			abort(localError{err})
			return
		}
	}
}

// receive copies the stream to out until its end.
func receive(cs grpc.ClientStream, out io.Writer) error {
	var c chunk
	for {
		if err := cs.RecvMsg(&c); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if out == nil || len(c.data) == 0 {
			continue
		}
		if _, err := out.Write(c.data); err != nil {
			return localError{err}
		}
	}
}
