package config

import (
	"strings"
	"testing"
	"time"
)

// FuzzHCL: no file makes the decoder panic or hang, every problem says something, and whatever was taken
// can be applied and checked.
func FuzzHCL(f *testing.F) {
	for _, s := range []string{
		"", "server = true", "ports {\n http = 1\n}", "node_meta = { a = \"b\" }", `retry_join = ["a", "b"]`,
		"retry_interval = \"1s\"\nretry_max = 1e99", `a = "${b}"`, "x = <<E\ny\nE\n", "limits = null", "a \"b\" {}", "data_dir = -1 + 2 * 3 ? a[0] : b.c",
		`log_level = [for x in y : x]`, "retry_join = \"%{ for x in y }\"", "dev = true\nbind_addr = \"{{ one }}\"",
	} {
		f.Add(s, false)
	}
	for _, s := range []string{`{"server": true}`, `{"ports": {"http": 1}}`, `{"retry_join": ["a"]}`, `{"a": 1e999999}`, `[{"server": true}]`, `{"": {"": ""}}`} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, src string, json bool) {
		start := time.Now()
		d := decodeFile("f", []byte(src), json)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		c := defaults()
		c.env = *testHost()
		for _, s := range d.settings {
			c.apply(s)
		}
		for _, p := range d.problems {
			if p.Message == "" || p.Source.Name == "" {
				t.Errorf("%+v says nothing", p)
			}
		}
		if strings.Contains(c.BindAddr+c.AdvertiseAddr+c.ClientAddr, "/") || len(c.RetryJoin) > 0 {
			return // looks at files of this host
		}
		c.ClusterKeyFile, c.DataDir, c.LogFile, c.TLS = "", "", "", TLS{}
		c.complete()
		validate(c)
		c.Sanitized()
	})
}
