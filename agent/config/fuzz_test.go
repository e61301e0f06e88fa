package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/debros/debros/agent/config/settings"
)

// FuzzValidate: whatever a file sets can be completed, checked and shown.
func FuzzValidate(f *testing.F) {
	for _, s := range []string{
		"server = true", "ports {\n http = 1\n}", "node_meta = { \"a b\" = \"b\" }", "dev = true\nbind_addr = \"{{ one }}\"",
		"advertise_addr = \"::\"\ninsecure = true", "cluster_key = \"_-\"\nbootstrap_expect = 255", "limits {\n rpc_rate = 1e300\n}",
	} {
		f.Add(s)
	}
	file := filepath.Join(f.TempDir(), "f.hcl")
	f.Fuzz(func(t *testing.T, src string) {
		if err := os.WriteFile(file, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		c := &Config{env: *testHost()}
		c.origins, _ = schema().Load(c, settings.Sources{Files: []string{file}})
		if strings.Contains(c.BindAddr+c.AdvertiseAddr+c.ClientAddr, "/") || len(c.RetryJoin) > 0 {
			return // looks at files of this host
		}
		c.ClusterKeyFile, c.DataDir, c.LogFile, c.TLS = "", "", "", TLS{}
		c.complete()
		for _, p := range Validate(c) {
			if p.Message == "" || p.Key == "" {
				t.Errorf("%+v says nothing", p)
			}
		}
		c.Sanitized()
	})
}
