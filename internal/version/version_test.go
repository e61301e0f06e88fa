package version

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestVersionFitsInATag(t *testing.T) {
	if v := Version(); v == "" || len(v) > 32 || strings.ContainsAny(v, " \n\t") || strings.HasPrefix(v, "v") {
		t.Fatalf("Version() = %q", v)
	}
	if s := String(); !strings.HasPrefix(s, "debros "+Version()+" (commit ") || strings.Contains(s, "\n") {
		t.Fatalf("String() = %q", s)
	}
}

// The names that the makefile gives to -X must be the ones here: the linker ignores unknown ones in silence.
func TestLinkerSetsVersionAndCommit(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	// The program has to live inside this module to import an internal package.
	dir, err := os.MkdirTemp(".", "_link-") // "_" hides it from ./...
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	const pkg = "github.com/debros/debros/internal/version"
	src := "package main\n\nimport \"" + pkg + "\"\n\nfunc main() { print(version.String()) }\n"
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "run", "-ldflags", "-X "+pkg+".version=9.8.7 -X "+pkg+".commit=abcdef", "./"+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go run: %v\n%s", err, out)
	}
	if !strings.HasPrefix(string(out), "debros 9.8.7 (commit abcdef, ") {
		t.Fatalf("String() = %q", out)
	}
}
