package config

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the published reference")

func TestPublishedReferenceIsCurrent(t *testing.T) {
	path := filepath.Join("..", "..", "website", "docs", "reference", "configuration.md")
	want := []byte(Reference())
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is out of date: go test ./agent/config -update", path)
	}
}

var commented = regexp.MustCompile(`(?m)^#( *[a-z])`)

// Examples are what people copy: every line of them must be accepted, those shown as comments included.
func TestExamplesAreValid(t *testing.T) {
	keyFile := regexp.MustCompile(`(?m)^#cluster_key_file.*$`) // names a file that is not here
	for _, name := range []string{"server.hcl", "client.hcl", "dev.hcl"} {
		src, err := os.ReadFile(filepath.Join("..", "..", "examples", "config", name))
		if err != nil {
			t.Fatal(err)
		}
		settings := regexp.MustCompile(`(?m)^# .*$`).ReplaceAll(keyFile.ReplaceAll(src, nil), nil)
		all := commented.ReplaceAll(settings, []byte("$1"))
		for _, text := range [][]byte{src, all} {
			o := LoadOptions{Files: []string{write(t, t.TempDir(), name, string(text))}, Env: env("DEBROS_CLUSTER_KEY", testKey), host: testHost()}
			o.host.expand = func(string) (string, error) { return "10.0.0.5", nil }
			if name == "dev.hcl" {
				o.Env = nil
			}
			if _, _, err := Load(o); err != nil {
				t.Errorf("%s: %v\n%s", name, err, text)
			}
		}
	}
}
