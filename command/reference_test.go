package command

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

// update rewrites the reference: go test ./command -run Reference -update
var update = flag.Bool("update", false, "rewrite the generated reference of the command line")

func TestReferenceIsWhatTheHelpTextsSay(t *testing.T) {
	path := filepath.Join("..", "website", "docs", "reference", "cli.md")
	want := Reference()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is old; make it anew with: go test ./command -run Reference -update", path)
	}
}
