package api

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Kind is the class of an error, from a closed list.
type Kind string

// The kinds of errors.
const (
	KindInternal      Kind = "internal"       // a fault of the agent; its log has the details
	KindInvalid       Kind = "invalid"        // the request can never succeed as it stands
	KindNotFound      Kind = "not_found"      // the named thing does not exist
	KindConflict      Kind = "conflict"       // a condition did not hold
	KindDenied        Kind = "denied"         // the token may not do this
	KindTooLarge      Kind = "too_large"      // over a limit, which is in the message
	KindRateLimited   Kind = "rate_limited"   // try again later
	KindNoLeader      Kind = "no_leader"      // no leader; nothing was written
	KindUnavailable   Kind = "unavailable"    // the agent cannot be reached, or cannot answer now; nothing was written
	KindUnknownResult Kind = "unknown_result" // the write may or may not have been committed
	KindQuota         Kind = "quota"          // no room
	KindNoPath        Kind = "no_path"        // no path to the datacenter
	KindUnsupported   Kind = "unsupported"    // the cluster is too old for this
	KindCanceled      Kind = "canceled"       // the caller gave up or its deadline passed
	KindGone          Kind = "gone"           // what is asked for was there and is no longer kept
)

// Error is every error that comes from an agent or from the way to it. Match kinds with errors.Is
// and the sentinels below.
type Error struct {
	Kind      Kind
	Message   string
	Hint      string // what to do about it; may be ""
	Status    int    // HTTP status; 0 when there was no reply
	RequestID string // the agent's id of the request, which is in its log; may be ""

	cause error
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// Unwrap is the error of the connection or the context, if that was the cause.
func (e *Error) Unwrap() error { return e.cause }

// Is makes errors.Is(err, ErrNotFound) true for every Error of that kind.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind && (t.Message == "" || t.Message == e.Message)
}

// Sentinels, one per kind: match with errors.Is.
var (
	ErrInternal      = &Error{Kind: KindInternal}
	ErrInvalid       = &Error{Kind: KindInvalid}
	ErrNotFound      = &Error{Kind: KindNotFound}
	ErrConflict      = &Error{Kind: KindConflict}
	ErrDenied        = &Error{Kind: KindDenied}
	ErrTooLarge      = &Error{Kind: KindTooLarge}
	ErrRateLimited   = &Error{Kind: KindRateLimited}
	ErrNoLeader      = &Error{Kind: KindNoLeader}
	ErrUnavailable   = &Error{Kind: KindUnavailable}
	ErrUnknownResult = &Error{Kind: KindUnknownResult}
	ErrQuota         = &Error{Kind: KindQuota}
	ErrNoPath        = &Error{Kind: KindNoPath}
	ErrUnsupported   = &Error{Kind: KindUnsupported}
	ErrCanceled      = &Error{Kind: KindCanceled}
	ErrGone          = &Error{Kind: KindGone}
)

func errorf(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Message: fmt.Sprintf(format, args...)}
}

// errorBodyBytesMax bounds how much of an error reply is read.
const errorBodyBytesMax = 64 << 10

// replyError makes the Error of a reply whose status is not a success. The body is consumed. Errors
// on Consul's paths are plain text: the hint is a line of it, the kind is in a header or follows from
// the status.
func replyError(r *http.Response) *Error {
	body, _ := io.ReadAll(io.LimitReader(r.Body, errorBodyBytesMax))
	e := &Error{
		Kind:      Kind(r.Header.Get("X-Debros-Error-Kind")),
		Message:   strings.TrimSpace(string(body)),
		Status:    r.StatusCode,
		RequestID: r.Header.Get("X-Request-Id"),
	}
	if text, hint, ok := strings.Cut(e.Message, "\nhint: "); ok {
		e.Message, e.Hint = text, hint
	}
	var j struct {
		Error *struct {
			Kind, Message, Hint string
			RequestID           string `json:"request_id"`
		}
	}
	if json.Unmarshal(body, &j) == nil && j.Error != nil {
		e.Kind, e.Message, e.Hint = Kind(j.Error.Kind), j.Error.Message, j.Error.Hint
		if j.Error.RequestID != "" {
			e.RequestID = j.Error.RequestID
		}
	}
	if e.Kind == "" {
		e.Kind = kindOfStatus(r.StatusCode, e.Message)
	}
	if r.StatusCode >= 300 && r.StatusCode < 400 {
		e.Message = fmt.Sprintf("the path is not in its canonical form; the agent points to %s", r.Header.Get("Location"))
		e.Hint = "a key does not begin with '/' and has no '//', '/./' or '/../' in it"
	}
	if e.Message == plainToTLS {
		e.Hint = "the agent uses TLS there: begin its address with https://"
	}
	if e.Message == "" {
		e.Message = "the agent answered " + r.Status
	}
	return e
}

// kindOfStatus guesses the kind from an HTTP status, for agents and proxies that do not name it.
func kindOfStatus(status int, message string) Kind {
	switch status {
	case http.StatusNotFound:
		return KindNotFound
	case http.StatusConflict, http.StatusPreconditionFailed:
		return KindConflict
	case http.StatusUnauthorized, http.StatusForbidden:
		return KindDenied
	case http.StatusRequestEntityTooLarge:
		return KindTooLarge
	case http.StatusTooManyRequests:
		return KindRateLimited
	case http.StatusServiceUnavailable:
		if strings.Contains(message, "leader") {
			return KindNoLeader
		}
		return KindUnavailable
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return KindUnknownResult
	case http.StatusInsufficientStorage:
		return KindQuota
	case http.StatusNotImplemented:
		return KindUnsupported
	case http.StatusGone:
		return KindGone
	case http.StatusRequestTimeout:
		return KindCanceled
	}
	if status >= 500 {
		return KindInternal
	}
	return KindInvalid
}

// wayError makes the Error of a call that got no reply. sent says that the agent may have read the
// request; write, that this matters.
func wayError(ctx context.Context, err error, address string, write, sent bool) *Error {
	e := &Error{Kind: KindUnavailable, Message: fmt.Sprintf("no answer from the agent at %s: %v", address, bare(err)), cause: err}
	switch {
	case write && sent:
		e.Kind = KindUnknownResult
		e.Message = fmt.Sprintf("no answer from the agent at %s; the write may or may not have been done: %v", address, bare(err))
		e.Hint = "read what is there before you write again"
	case ctx.Err() != nil:
		e.Kind = KindCanceled
		e.Message = "the call was given up: " + context.Cause(ctx).Error()
	default:
		e.Hint = wayHint(err)
	}
	return e
}

// wayHint is what to do about a way to the agent that does not exist.
func wayHint(err error) string {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var own interface{ Hint() string }
	switch {
	case errors.As(err, &own): // of Config.Dialer
		return own.Hint()
	case errors.As(err, &authority):
		return "name the authority that vouches for the agent with -ca-file or DEBROS_CACERT"
	case errors.As(err, &name):
		return "name what the agent's certificate is for with -tls-server-name or DEBROS_TLS_SERVER_NAME"
	case certificateRefused(err):
		return "show the agent a certificate that it trusts with -client-cert and -client-key, or DEBROS_CLIENT_CERT and DEBROS_CLIENT_KEY"
	case errors.Is(err, http.ErrSchemeMismatch):
		return "the agent does not use TLS there: begin its address with http://"
	}
	return "is an agent running there? start one with 'debros agent', or name another with -http-addr or DEBROS_HTTP_ADDR"
}

// certificateRefused reports whether the agent ended the handshake because of the caller's certificate, or
// for want of one: it has read no request. The alerts have no exported names, only texts.
func certificateRefused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" && strings.Contains(op.Err.Error(), "certificate")
}

// plainToTLS is how net/http answers a request without TLS where TLS is spoken.
const plainToTLS = "Client sent an HTTP request to an HTTPS server."

// bare strips the method and URL that net/http puts around an error.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// temporary reports whether the same call may succeed later without anyone changing it.
func temporary(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Kind {
	case KindInternal, KindRateLimited, KindNoLeader, KindUnavailable, KindUnknownResult, KindNoPath:
		return true
	}
	return false
}
