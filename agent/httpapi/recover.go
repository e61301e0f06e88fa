package httpapi

import (
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/debros/debros/structs"
)

// recovered turns a handler's panic into a 500 that names the request, so that its trace can be
// found in the log.
func (h *Handler) recovered(c *call, p any) {
	if p == http.ErrAbortHandler { // our own, see fail: net/http closes the connection quietly
		panic(p)
	}
	h.log.Error("http handler panicked", "request_id", c.id, "method", c.r.Method, "path", c.r.URL.Path,
		"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	if c.w.started() {
		panic(http.ErrAbortHandler)
	}
	c.writeError(http.StatusInternalServerError,
		&structs.Error{Kind: structs.KindInternal, Message: "internal error; the agent's log has the details"})
}
