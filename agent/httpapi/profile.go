package httpapi

import (
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"time"

	"github.com/debros/debros/structs"
)

const (
	// profileDefault and profileMax bound how long a CPU profile or a trace is taken.
	profileDefault = 30 * time.Second
	profileMax     = 5 * time.Minute
)

func profileRoutes() []route {
	return []route{{
		method: "GET", pattern: "/debug/pprof/{name}", handle: agentProfile,
		doc:    "Take a profile of the agent: heap, allocs, goroutine, block, mutex, threadcreate, profile (CPU) or trace.",
		params: "`seconds` (profile and trace; default 30, at most 300)", reply: "pprof's format, or that of `go tool trace`",
	}}
}

// agentProfile serves what runtime/pprof has. Profiles tell what a process does, so they ask for operator:read.
func agentProfile(c *call) error {
	if err := c.agentMay(OperatorRead); err != nil {
		return err
	}
	d, err := profileTime(c.params.Get("seconds"))
	if err != nil {
		return err
	}
	name := c.param
	switch name {
	case "profile":
		return c.sampled(d, func() error { return pprof.StartCPUProfile(c.w) }, pprof.StopCPUProfile)
	case "trace":
		return c.sampled(d, func() error { return trace.Start(c.w) }, trace.Stop)
	}
	p := pprof.Lookup(name)
	if p == nil {
		return structs.Errorf(structs.KindNotFound, "there is no profile %q", shorten(name)).
			WithHint("heap, allocs, goroutine, block, mutex, threadcreate, profile or trace")
	}
	c.w.Header().Set("Content-Type", "application/octet-stream")
	return p.WriteTo(c.w, 0)
}

// sampled runs a profiler of which the process has one, for d or until the client hangs up.
func (c *call) sampled(d time.Duration, start func() error, stop func()) error {
	c.w.Header().Set("Content-Type", "application/octet-stream")
	if err := start(); err != nil {
		c.w.Header().Del("Content-Type")
		return structs.Errorf(structs.KindConflict, "another profile is being taken").WithHint("try again when it is done")
	}
	defer stop()
	select {
	case <-time.After(d):
	case <-c.r.Context().Done():
	}
	return nil
}

func profileTime(seconds string) (time.Duration, error) {
	if seconds == "" {
		return profileDefault, nil
	}
	n, err := strconv.Atoi(seconds)
	if d := time.Duration(n) * time.Second; err == nil && n > 0 && d <= profileMax {
		return d, nil
	}
	return 0, invalid("seconds=%s: want 1 to %d", shorten(seconds), int(profileMax.Seconds()))
}
