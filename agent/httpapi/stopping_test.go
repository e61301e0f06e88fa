package httpapi

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/debros/debros/structs"
)

// A client repeats what was answered "unavailable", since nothing was done: true of a read, not of a
// write that had been passed on when the agent stopped.
func TestAWriteCutOffByTheAgentsStopIsAnUnknownResult(t *testing.T) {
	s := start(t, Config{})
	s.b.fail = structs.Errorf(structs.KindCanceled, "the request was cancelled")
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	for method, want := range map[string]structs.Kind{
		"PUT": structs.KindUnknownResult, "DELETE": structs.KindUnknownResult, "GET": structs.KindUnavailable,
	} {
		r := httptest.NewRequestWithContext(stopped, method, "/v1/kv/k", strings.NewReader(""))
		r.Host = "localhost"
		w := httptest.NewRecorder()
		s.h.ServeHTTP(w, r)
		if got := w.Header().Get("X-Debros-Error-Kind"); got != want.String() || w.Code != want.HTTPStatus() {
			t.Errorf("%s: %d %s (%s), want %s", method, w.Code, got, strings.TrimSpace(w.Body.String()), want)
		}
	}
}
