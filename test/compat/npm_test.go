package compat

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Time for a download on a slow line, and for the script, which waits for nothing long.
const (
	npmInstallTimeout = 4 * time.Minute
	npmTestTimeout    = 2 * time.Minute
)

func TestNPMClients(t *testing.T) {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			skip(t, "no "+tool+" on the PATH")
		}
	}
	if !installed("consul") || !installed("rqlite-js") {
		ctx, cancel := context.WithTimeout(t.Context(), npmInstallTimeout)
		defer cancel()
		install := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
		install.Dir = "npm"
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
	}
	host, port, err := net.SplitHostPort(shared.http)
	must(t, err)
	cmd := exec.CommandContext(within(t, npmTestTimeout), "node", "--test", "compat.test.js", "rqlite.test.js")
	cmd.Dir = "npm"
	cmd.Env = append(os.Environ(), "DEBROS_COMPAT_HOST="+host, "DEBROS_COMPAT_PORT="+port, "DEBROS_COMPAT_NODE="+shared.node)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func installed(name string) bool {
	_, err := os.Stat(filepath.Join("npm", "node_modules", name))
	return err == nil
}
