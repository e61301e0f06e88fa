package transport

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/debros/debros/structs"
)

// errorTrailer carries a *structs.Error in msgpack. ("-bin" lets gRPC carry any bytes.) The status
// beside it only tells gRPC that the call failed.
const errorTrailer = "debros-error-bin"

// What fits the trailer: HTTP/2 header lists are bounded (headerBytesMax).
const (
	errorMessageBytesMax = 4 << 10
	errorHintBytesMax    = 1 << 10
	headerBytesMax       = 32 << 10
)

// answerError makes the trailer and status of a method's error. The error must be fit for a user already.
func answerError(e *structs.Error) (metadata.MD, error) {
	b, err := structs.Encode(&structs.Error{
		Kind:    e.Kind,
		Message: cut(e.Message, errorMessageBytesMax),
		Hint:    cut(e.Hint, errorHintBytesMax),
	})
	if err != nil {
		return nil, status.Error(codes.Internal, "encode error")
	}
	return metadata.Pairs(errorTrailer, string(b)), status.Error(codes.Unknown, e.Kind.String())
}

// cut shortens s to n bytes without leaving half a character.
func cut(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}

// callError turns what gRPC returned into a *structs.Error. sent says whether the request may have
// reached the other side.
func callError(ctx context.Context, addr string, err error, trailer metadata.MD, sent bool, dialErr error) *structs.Error {
	if e := errorFromTrailer(trailer); e != nil {
		return e
	}
	if ctx.Err() != nil {
		return canceled(sent)
	}
	var own *structs.Error
	if errors.As(err, &own) {
		return own
	}
	st := status.Convert(err)
	switch st.Code() {
	case codes.Unimplemented:
		return structs.Errorf(structs.KindUnsupported, "the server at %s does not know this request", addr).
			WithHint("bring all servers to one version")
	case codes.ResourceExhausted:
		// The server runs a method before it finds its answer too large; a request that is too large, which
		// it says in other words, it never decodes. An answer too large for us alone cannot be: all nodes have one limit.
		if sent && strings.Contains(st.Message(), "trying to send") {
			return structs.Errorf(structs.KindUnknownResult, "the answer of %s is over the limit of one message: %s",
				addr, strings.TrimPrefix(st.Message(), "grpc: ")).WithHint("a write may have been committed: read, in pages, before trying again")
		}
		return structs.Errorf(structs.KindTooLarge, "the request or its answer is over the limit of one message: %s",
			strings.TrimPrefix(st.Message(), "grpc: "))
	case codes.InvalidArgument:
		return structs.Errorf(structs.KindInvalid, "the server at %s could not read the request", addr)
	case codes.DeadlineExceeded:
		return canceled(sent)
	}
	const readFirst = "a write may or may not have been committed: read before trying again"
	if sent && st.Code() == codes.Internal {
		return structs.Errorf(structs.KindUnknownResult, "the answer of %s could not be read", addr).WithHint(readFirst)
	}
	if sent {
		return structs.Errorf(structs.KindUnknownResult, "the connection to %s was lost before the answer came", addr).
			WithHint(readFirst)
	}
	msg := "the server at " + addr + " cannot be reached"
	if dialErr != nil {
		msg += ": " + dialErr.Error()
	}
	return structs.Errorf(structs.KindUnavailable, "%s", msg)
}

func canceled(sent bool) *structs.Error {
	e := &structs.Error{Kind: structs.KindCanceled, Message: "the request was cancelled or its deadline passed"}
	if sent {
		return e.WithHint("it had been sent: a write may or may not have been committed")
	}
	return e
}

func errorFromTrailer(md metadata.MD) *structs.Error {
	v := md.Get(errorTrailer)
	if len(v) == 0 {
		return nil
	}
	e := new(structs.Error)
	if err := decodeMessage([]byte(v[0]), e); err != nil {
		return structs.Errorf(structs.KindInternal, "the server's error could not be read")
	}
	return e
}
