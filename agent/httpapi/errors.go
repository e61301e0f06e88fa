package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/debros/debros/structs"
)

// statusError is an error whose HTTP status is not its kind's.
type statusError struct {
	status int
	err    *structs.Error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// asConsulFault gives a session that is gone, or a node that is unknown or has failed, the status 500
// that it has in Consul: its clients take a 409 for a condition of theirs and a 404 for a missing key.
// The kind stays, in X-Debros-Error-Kind.
func asConsulFault(err error) error {
	if errors.Is(err, structs.ErrConflict) || errors.Is(err, structs.ErrMissingNode) {
		return &statusError{http.StatusInternalServerError, structs.AsError(err)}
	}
	return err
}

// errorBody is what routes of our own answer an error with.
type errorBody struct {
	Error errorDetail `json:"error"`
}

type errorDetail struct {
	Kind      string `json:"kind"`
	Message   string `json:"message"`
	Hint      string `json:"hint,omitempty"`
	RequestID string `json:"request_id"`
}

func invalid(format string, args ...any) *structs.Error {
	return structs.Errorf(structs.KindInvalid, format, args...)
}

// fail answers the call with err: as text where Consul's clients read it, as JSON elsewhere. Once
// the body has begun, the only honest answer left is to break the connection.
func (c *call) fail(err error) {
	if c.r.Context().Err() != nil && (errors.Is(err, context.Canceled) || structs.KindOf(err) == structs.KindCanceled) {
		c.w.gone = true // for the access log
		if c.w.started() {
			panic(http.ErrAbortHandler)
		}
		// Either nobody listens any more, or the agent stops: then a blocked client must not take an
		// empty reply for an answer.
		if !c.reads {
			// It may have been on its way to the leader: "unavailable" would say that nothing was done.
			e := structs.Errorf(structs.KindUnknownResult, "the agent stopped before the write was confirmed; it may or may not have been applied")
			c.writeError(e.Kind.HTTPStatus(), e)
			return
		}
		c.writeError(http.StatusServiceUnavailable, structs.Errorf(structs.KindUnavailable, "the agent is shutting down"))
		return
	}
	e := structs.AsError(err)
	if e.Kind == structs.KindInternal {
		c.h.log.Error("http request failed", "request_id", c.id, "method", c.r.Method, "path", c.r.URL.Path, "error", err)
	}
	if c.w.started() {
		panic(http.ErrAbortHandler)
	}
	status := e.Kind.HTTPStatus()
	var se *statusError
	if errors.As(err, &se) {
		status = se.status
	}
	c.writeError(status, e)
}

func (c *call) writeError(status int, e *structs.Error) {
	hdr := c.w.Header()
	switch status {
	case http.StatusTooManyRequests:
		hdr.Set("Retry-After", "1")
		hdr.Set("Connection", "close") // the client has too many as it is
	case http.StatusServiceUnavailable:
		hdr.Set("Retry-After", "1")
	}
	message := e.Message
	if e.Kind == structs.KindInternal {
		message += " (request " + c.id + ")"
	}
	if !c.text {
		c.json(status, errorBody{errorDetail{e.Kind.String(), message, e.Hint, c.id}})
		return
	}
	if e.Hint != "" {
		message += "\nhint: " + e.Hint
	}
	hdr.Set("Content-Type", "text/plain; charset=utf-8")
	hdr.Set("X-Debros-Error-Kind", e.Kind.String())
	c.w.WriteHeader(status)
	// One line per line of the message, and no HTML: nosniff and text/plain see to the rest.
	c.w.Write([]byte(strings.TrimSuffix(message, "\n") + "\n"))
}
