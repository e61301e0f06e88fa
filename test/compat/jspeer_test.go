package compat

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A peer in JavaScript, with npm's libp2p, opens /debros/http/1.0.0 and puts and gets a key.
func TestJavaScriptPeer(t *testing.T) {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			skip(t, "no "+tool+" on the PATH")
		}
	}
	dir := filepath.Join("..", "..", "examples", "js-peer")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "libp2p")); err != nil {
		ctx, cancel := context.WithTimeout(t.Context(), npmInstallTimeout)
		defer cancel()
		install := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
		install.Dir = dir
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
	}
	res, err := http.Get("http://" + shared.http + "/v1/network/self")
	must(t, err)
	defer res.Body.Close()
	var self struct {
		ID     string
		Listen []string
	}
	must(t, json.NewDecoder(res.Body).Decode(&self))
	address := ""
	for _, a := range self.Listen {
		if strings.Contains(a, "/tcp/") {
			address = a + "/p2p/" + self.ID
		}
	}
	cmd := exec.CommandContext(within(t, npmTestTimeout), "node", "index.js", address)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "hello from 12D3KooW") {
		t.Errorf("%v\n%s", err, out)
	}
}
