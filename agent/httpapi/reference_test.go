package httpapi

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the reference page instead of checking it")

const referenceFile = "../../website/docs/reference/http.md"

func TestReferenceDocumentsEveryRoute(t *testing.T) {
	page := Reference()
	if *update {
		if err := os.MkdirAll(filepath.Dir(referenceFile), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(referenceFile, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != page {
		t.Errorf("%s is not what the route table says: run this test with -update", referenceFile)
	}
	for _, r := range routes() {
		if !strings.Contains(string(got), "### "+r.method+" "+r.pattern+"\n") {
			t.Errorf("%s %s is not documented", r.method, r.pattern)
		}
		if r.doc == "" || r.reply == "" || r.handle == nil {
			t.Errorf("%s %s: the row is not complete", r.method, r.pattern)
		}
		if r.method == "GET" && r.body != "" {
			t.Errorf("%s %s: a GET with a body", r.method, r.pattern)
		}
	}
}
