package command

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/debros/debros/agent/config"
)

// docs are the pages that people write, by path from here.
func docs(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "website", "docs", "*.md"))
	if err != nil || len(files) < 4 {
		t.Fatalf("pages of the documentation: %v, %v", files, err)
	}
	pages := map[string]string{}
	for _, f := range append(files, filepath.Join("..", "README.md")) {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		pages[f] = string(text)
	}
	return pages
}

func fenced(text, language string) []string {
	var out []string
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

func TestDocsLinksLeadToFiles(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for page, text := range docs(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

// TestDocsNameCommandsThatExist looks at each line of a code block, and each span of code, that begins with debros.
func TestDocsNameCommandsThatExist(t *testing.T) {
	line := regexp.MustCompile("(?m)(?:^|`|\\| )debros ([a-z][^`\n]*)")
	for page, text := range docs(t) {
		for _, m := range line.FindAllStringSubmatch(text, -1) {
			words := strings.Fields(m[1])
			c := longestCommand(leadingWords(words))
			if c == nil || c.run == nil {
				t.Errorf("%s: there is no command %q", page, m[1])
				continue
			}
			checkDocumentedFlags(t, page, c, words)
		}
	}
}

func checkDocumentedFlags(t *testing.T, page string, c *cmd, words []string) {
	fs := (&call{cmd: c}).flagSet()
	for i, w := range words {
		if w == "--" || w == "#" || strings.HasPrefix(w, "./") || w == "sh" || c.child && i > 1 && !strings.HasPrefix(w, "-") {
			return // what follows is a program's, or a remark
		}
		name, _, _ := strings.Cut(strings.TrimLeft(w, "-"), "=")
		if strings.HasPrefix(w, "-") && len(w) > 1 && fs.Lookup(name) == nil {
			t.Errorf("%s: debros %s has no option %s", page, c.name, w)
		}
	}
}

// TestDocsConfigurationsAreValid allows only what depends on the machine: addresses and files.
func TestDocsConfigurationsAreValid(t *testing.T) {
	n := 0
	for page, text := range docs(t) {
		for _, block := range fenced(text, "hcl") {
			n++
			file := filepath.Join(t.TempDir(), "block.hcl")
			if err := os.WriteFile(file, []byte(block), 0o600); err != nil {
				t.Fatal(err)
			}
			_, _, err := config.Load(config.LoadOptions{Files: []string{file}, Env: func(string) (string, bool) { return "", false }})
			var all *config.Error
			if err != nil && !errors.As(err, &all) {
				t.Fatal(err)
			}
			if all == nil {
				continue
			}
			for _, p := range all.Problems {
				if p.Key != "cluster_key_file" && p.Key != "cluster_key" && p.Key != "bind_addr" {
					t.Errorf("%s: %s", page, p)
				}
			}
		}
	}
	if n == 0 {
		t.Error("the documentation shows no configuration")
	}
}

func TestDocsGoProgramsBuild(t *testing.T) {
	for _, page := range []string{"go-client.md", "sql.md"} {
		text, err := os.ReadFile(filepath.Join("..", "website", "docs", page))
		if err != nil {
			t.Fatal(err)
		}
		program := fenced(string(text), "go")[0]
		file := filepath.Join(t.TempDir(), "main.go")
		if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("go", "vet", file).CombinedOutput(); err != nil {
			t.Errorf("%s: go vet: %v\n%s", page, err, out)
		}
	}
}
