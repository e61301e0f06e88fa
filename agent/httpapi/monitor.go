package httpapi

import (
	"net/http"
	"strings"
)

// logLevel maps Consul's names of levels, "" being its default, to ours.
func logLevel(name string) (level string, ok bool) {
	switch strings.ToLower(name) {
	case "", "info":
		return "info", true
	case "trace", "debug":
		return "debug", true
	case "warn", "warning":
		return "warn", true
	case "err", "error":
		return "error", true
	}
	return "", false
}

func agentMonitor(c *call) error {
	if err := c.agentMay(AgentRead); err != nil {
		return err
	}
	level, ok := logLevel(c.params.Get("loglevel"))
	if !ok {
		return invalid("Unknown log level: %s", shorten(c.params.Get("loglevel"))).WithHint("one of debug, info, warn, error")
	}
	release, err := c.h.watch(c)
	if err != nil {
		return err
	}
	defer release()
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if c.flag("logjson") {
		c.w.Header().Set("Content-Type", "application/x-ndjson")
	}
	c.w.WriteHeader(http.StatusOK)
	out := &flusher{c: c, rc: http.NewResponseController(c.w)}
	_ = out.rc.Flush() // the client learns that it is heard before the first line
	err = c.h.b.Monitor(c.r.Context(), level, c.flag("logjson"), out)
	if c.r.Context().Err() != nil || out.failed {
		c.w.gone = true
		return nil
	}
	return err
}

// flusher sends each write on its way at once.
type flusher struct {
	c      *call
	rc     *http.ResponseController
	failed bool
}

func (f *flusher) Write(p []byte) (int, error) {
	f.c.extendDeadline()
	n, err := f.c.w.Write(p)
	if err == nil {
		err = f.rc.Flush()
	}
	f.failed = f.failed || err != nil
	return n, err
}
