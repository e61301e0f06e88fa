package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const modulePath = "github.com/debros/debros"

// layout is the import table: every package of the project and the packages of the project that it
// may import. A new package or a new edge is a reviewed line here.
var layout = map[string][]string{
	"":        {"command"},
	"structs": {},

	"internal/acl":        {"structs"},
	"internal/atomicfile": {},
	"internal/creds":      {"structs", "internal/atomicfile"},
	"internal/logging":    {},
	"internal/sqltext":    {},
	"internal/version":    {},
	// A program that is no member reaches agents through libp2p: the command line (-via), later the client
	// package. It stands apart from agent/overlay, which is the member's side, and from api, which has no dependencies.
	"internal/via": {},

	"state":              {"internal/atomicfile", "state/sqldb", "structs"},
	"state/fsm":          {"state", "state/sqldb", "structs"},
	"state/archive":      {"structs"},
	"state/sqldb":        {"internal/sqltext", "state/sqldb/sqlite", "structs"},
	"state/sqldb/sqlite": {},

	"rpc":           {"internal/acl", "rpc/transport", "state", "structs"},
	"rpc/transport": {"internal/creds", "structs"},

	"agent": {"agent/config", "agent/gossip", "agent/httpapi", "agent/overlay", "agent/pubsub", "agent/retryjoin", "agent/router", "agent/server", "agent/telemetry",
		"internal/acl", "internal/atomicfile", "internal/creds", "internal/logging", "internal/version", "rpc", "rpc/transport", "structs"},
	"agent/agenttest":       {"agent", "agent/config", "agent/gossip", "agent/server", "api", "internal/creds", "internal/logging", "structs", "test/pace"},
	"agent/config":          {"agent/config/settings", "internal/creds", "structs"},
	"agent/config/settings": {},
	"agent/gossip":          {"internal/atomicfile", "internal/logging", "structs"},
	// The JSON of SQL and of rqlite's API are rooms of their own: they know bodies, not requests or servers.
	"agent/httpapi":          {"agent/httpapi/rqlite", "agent/httpapi/sqljson", "internal/acl", "internal/sqltext", "structs"},
	"agent/httpapi/rqlite":   {"agent/httpapi/sqljson", "structs"},
	"agent/httpapi/sqljson":  {"structs"},
	"agent/overlay":          {"internal/atomicfile", "structs"},
	"agent/pubsub":           {"structs"},
	"agent/retryjoin":        {"structs"},
	"agent/router":           {"rpc/transport", "structs"},
	"agent/server":           {"agent/server/snapstore", "internal/acl", "internal/atomicfile", "internal/logging", "internal/sqltext", "internal/version", "rpc", "rpc/transport", "state", "state/archive", "state/fsm", "state/sqldb", "structs"},
	"agent/server/snapstore": {"internal/atomicfile", "state/fsm"},
	"agent/telemetry":        {},

	"api":           {},
	"api/sqldriver": {"api"},
	"client":        {"api", "internal/via", "structs"},
	"command": {"agent", "agent/config", "agent/server", "api", "command/sqlrun", "command/sqlshell", "internal/sqltext",
		"internal/atomicfile", "internal/creds", "internal/logging", "internal/version", "internal/via", "state/archive", "state/fsm", "structs"},
	"command/sqlrun":   {"api", "internal/sqltext"},
	"command/sqlshell": {"api", "command/sqlrun", "internal/sqltext"},

	"test":         {}, // only tests: they run binaries and test/harness
	"test/harness": {"api"},
	"test/bench":   {"api", "test/harness"},
	"test/pace":    {},
	"test/sqlgen":  {},
}

type pkg struct {
	ImportPath, Doc           string
	Imports, GoFiles          []string
	TestImports, XTestImports []string
}

// goList runs `go list` over the project; test packages are listed by their own package.
func goList(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Doc,Imports,GoFiles,TestGoFiles,TestImports,XTestImports", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func own(importPath string) (string, bool) {
	if importPath == modulePath {
		return "", true
	}
	return strings.CutPrefix(importPath, modulePath+"/")
}

func TestLayoutImportsFollowTheTable(t *testing.T) {
	for _, p := range goList(t) {
		name, _ := own(p.ImportPath)
		if strings.HasPrefix(name, "examples/") {
			continue // examples import api, as any program would
		}
		allowed, known := layout[name]
		if !known {
			t.Errorf("package %q is not in the layout table", name)
			continue
		}
		for _, imp := range p.Imports {
			if dep, ok := own(imp); ok && !slices.Contains(allowed, dep) {
				t.Errorf("package %q imports %q: not in the layout table", name, dep)
			}
		}
	}
}

func TestLayoutPackagesHaveAPackageComment(t *testing.T) {
	for _, p := range goList(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("package %s has no package comment", p.ImportPath)
		}
	}
}

func TestLayoutApiNeedsTheStandardLibraryOnly(t *testing.T) {
	for _, p := range goList(t) {
		name, _ := own(p.ImportPath)
		if name != "api" && name != "api/sqldriver" {
			continue
		}
		for _, imp := range p.Imports {
			if _, ours := own(imp); !ours && strings.Contains(strings.Split(imp, "/")[0], ".") {
				t.Errorf("%s imports %s", name, imp)
			}
		}
	}
}

func TestLayoutOnlyRegistryAndMainKnowTheCLILibrary(t *testing.T) {
	out, err := exec.Command("git", "grep", "-l", `"github.com/mitchellh/cli"`, "--", "*.go").Output()
	if err != nil {
		t.Skip("SKIPPED: not a git checkout")
	}
	for _, file := range strings.Fields(string(out)) {
		if file != "command/registry.go" && file != "main.go" && file != "layout_test.go" && !strings.HasSuffix(file, "_test.go") {
			t.Errorf("%s imports mitchellh/cli", file)
		}
	}
}

func TestLayoutFilesStaySmall(t *testing.T) {
	out, err := exec.Command("git", "ls-files", "*.go").Output()
	if err != nil {
		t.Skip("SKIPPED: not a git checkout")
	}
	const linesMax = 600
	for _, file := range strings.Fields(string(out)) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			continue // deleted in the work tree
		}
		if n := strings.Count(string(data), "\n"); n > linesMax {
			t.Errorf("%s has %d lines; split it (at most %d)", file, n, linesMax)
		}
	}
}
