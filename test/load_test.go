//go:build unix

// Package test holds tests of the whole: real binaries, real data, processes that are killed.
package test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestImportSurvivesTheLeadersDeath runs the example that loads real data: it is the proof that what a
// killed leader had acknowledged is on every server.
func TestImportSurvivesTheLeadersDeath(t *testing.T) {
	if _, err := os.Stat("../bin/debros"); err != nil {
		t.Skip("SKIPPED: no bin/debros (run make build)")
	}
	keys, within := "3000", 10*time.Minute
	if os.Getenv("DEBROS_SYSTEM_TESTS") != "" {
		keys, within = "100000", 15*time.Minute
	} else if testing.Short() {
		t.Skip("SKIPPED: -short")
	}
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, "../examples/load/run.sh", keys)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it ends its servers
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "PROVED") {
		t.Fatalf("run.sh %s: %v\n%s", keys, err, out)
	}
}
