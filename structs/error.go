package structs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// Kind is the closed list of error classes that cross RPC and HTTP. Append only: the number is on the wire.
type Kind uint8

const (
	KindInternal      Kind = iota // a fault of ours; details are in the log, never in the message
	KindInvalid                   // the request can never succeed as it stands
	KindNotFound                  // the named thing does not exist
	KindConflict                  // a condition (CAS, guard, session) did not hold
	KindDenied                    // the token may not do this
	KindTooLarge                  // over a size or count limit; the limit is in the message
	KindRateLimited               // try again later
	KindNoLeader                  // no leader within the hold time; nothing was written
	KindUnavailable               // this node cannot answer now (shutting down, not ready, behind)
	KindUnknownResult             // the write may or may not have been committed (leadership or connection lost)
	KindQuota                     // the namespace or disk has no room
	KindNoPath                    // no path to the datacenter
	KindUnsupported               // a server of the cluster is too old, or the feature is not in this build
	KindCanceled                  // the caller gave up or its deadline passed
	KindGone                      // what is asked for was there and is no longer kept
)

type kindInfo struct {
	name string
	http int
	exit int
}

// kinds is the one table from Kind to its name, HTTP status and CLI exit code.
var kinds = [...]kindInfo{
	KindInternal:      {"internal", http.StatusInternalServerError, 1},
	KindInvalid:       {"invalid", http.StatusBadRequest, 1},
	KindNotFound:      {"not_found", http.StatusNotFound, 1},
	KindConflict:      {"conflict", http.StatusConflict, 1},
	KindDenied:        {"denied", http.StatusForbidden, 1},
	KindTooLarge:      {"too_large", http.StatusRequestEntityTooLarge, 1},
	KindRateLimited:   {"rate_limited", http.StatusTooManyRequests, 1},
	KindNoLeader:      {"no_leader", http.StatusServiceUnavailable, 1},
	KindUnavailable:   {"unavailable", http.StatusServiceUnavailable, 1},
	KindUnknownResult: {"unknown_result", http.StatusInternalServerError, 1},
	KindQuota:         {"quota", http.StatusInsufficientStorage, 1},
	KindNoPath:        {"no_path", http.StatusInternalServerError, 1},
	KindUnsupported:   {"unsupported", http.StatusNotImplemented, 1},
	KindCanceled:      {"canceled", http.StatusRequestTimeout, 1},
	KindGone:          {"gone", http.StatusGone, 1},
}

func (k Kind) info() kindInfo {
	if int(k) < len(kinds) {
		return kinds[k]
	}
	return kinds[KindInternal]
}

// String is the kind's name in JSON error bodies, e.g. "not_found".
func (k Kind) String() string { return k.info().name }

// HTTPStatus is the status code the HTTP API answers with for this kind.
func (k Kind) HTTPStatus() int { return k.info().http }

// ExitCode is the exit code of the command line for this kind.
func (k Kind) ExitCode() int { return k.info().exit }

// Error is the only error that crosses RPC. Message and Hint are for the user.
type Error struct {
	Kind    Kind
	Message string
	Hint    string `codec:",omitempty"`
}

func (e *Error) Error() string { return e.Message }

// Is makes errors.Is(err, ErrNoLeader) true for every Error of the same kind.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind && (t.Message == "" || t.Message == e.Message)
}

// Sentinels, one per kind: match with errors.Is.
var (
	ErrNotFound      = &Error{Kind: KindNotFound}
	ErrInvalid       = &Error{Kind: KindInvalid}
	ErrConflict      = &Error{Kind: KindConflict}
	ErrDenied        = &Error{Kind: KindDenied}
	ErrTooLarge      = &Error{Kind: KindTooLarge}
	ErrRateLimited   = &Error{Kind: KindRateLimited}
	ErrNoLeader      = &Error{Kind: KindNoLeader}
	ErrUnavailable   = &Error{Kind: KindUnavailable}
	ErrUnknownResult = &Error{Kind: KindUnknownResult}
	ErrNoPath        = &Error{Kind: KindNoPath}
)

// ErrMissingNode refuses a session for a node that the cluster does not know. The text is Consul's,
// which clients know.
var ErrMissingNode = &Error{Kind: KindNotFound, Message: "Missing node registration"}

// Errorf makes an Error of a kind; the message is shown to users.
func Errorf(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Message: fmt.Sprintf(format, args...)}
}

// WithHint returns a copy of e that tells the user what to do.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// AsError turns any error into an Error fit for a user: an Error in the chain is returned as it is,
// a context error becomes KindCanceled, anything else becomes KindInternal without its text (the
// caller logs the original).
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &Error{Kind: KindCanceled, Message: "the request was cancelled or its deadline passed"}
	}
	return &Error{Kind: KindInternal, Message: "internal error; the agent's log has the details"}
}

// KindOf is the kind of an error as AsError sees it.
func KindOf(err error) Kind { return AsError(err).Kind }
