package command

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestExportAndImportRoundTrip(t *testing.T) {
	c := newCLI(t)
	var b strings.Builder
	for i := range 1200 { // more than a page
		fmt.Fprintf(&b, `{"key":"n/%04d","flags":%d,"value":"%s"}`+"\n", i, i, base64.StdEncoding.EncodeToString([]byte{byte(i), 0, 255}))
	}
	if r := c.in(b.String(), "kv", "import", "-"); r.status != 0 {
		t.Fatal(r)
	}
	c.ok("kv", "put", "empty")
	file := filepath.Join(t.TempDir(), "export")
	before := ""
	for _, format := range []string{"table", "json"} {
		before = c.ok("kv", "export", "-format="+format)
		if err := os.WriteFile(file, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		c.ok("kv", "delete", "-recurse", "-yes", "")
		c.contains(c.ok("kv", "import", file), "Imported 1201 pairs")
		if after := c.ok("kv", "export", "-format="+format); after != before {
			t.Errorf("-format=%s: the export of the import differs", format)
		}
	}
	// Twice is as good as once, standard input as good as a file.
	if r := c.in(before, "kv", "import", "-", "-prefix=copy/"); r.status != 0 || r.stderr != "" {
		t.Errorf("got %+v", r)
	}
	if got := c.ok("kv", "get", "-count", "copy/"); got != "1201\n" {
		t.Errorf("copies: %s", got)
	}
}

func TestTheProgressBarShowsHowFarItCame(t *testing.T) {
	c := newCLI(t)
	file := filepath.Join(t.TempDir(), "pairs")
	pairs := strings.Repeat(`{"key":"k","flags":0,"value":"`+strings.Repeat("A", 4000)+`"}`+"\n", 40)
	for text, complete := range map[string]bool{pairs: true, pairs[:len(pairs)/2] + "?" + pairs: false} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r := c.run("kv", "import", "-progress=always", file)
		if (r.status == exitDone) != complete || strings.Contains(r.stderr, "100%") != complete {
			t.Errorf("complete %v: %+v", complete, r)
		}
		if r.stderr == "" {
			t.Error("no bar")
		}
	}
	// Of unknown length: how much went through, no more.
	if r := c.in(pairs, "kv", "import", "-progress=always", "-"); r.status != exitDone || !strings.Contains(r.stderr, "B/s") || strings.Contains(r.stderr, "100%") {
		t.Errorf("got %+v", r)
	}
}

func TestAnInterruptedImportSaysHowToGoOn(t *testing.T) {
	c := newCLI(t)
	in := &silence{reading: make(chan struct{}), over: t.Context().Done()}
	pairs := strings.NewReader(`{"key":"a","value":"eA=="}` + "\n" + `{"key":"b","value":"eA=="}` + "\n")
	r := c.interrupted(io.MultiReader(pairs, in), in.reading, "kv", "import", "-progress=always", "-resume="+filepath.Join(t.TempDir(), "resume"), "-")
	if r.status != exitFailed {
		t.Errorf("status %d", r.status)
	}
	c.contains(r.stderr, "debros: interrupted (", " pairs were imported before)", "\nhint: the same command goes on where this one stopped")
}

// This is what "consul kv export" writes.
func TestImportReadsConsulsExport(t *testing.T) {
	c := newCLI(t)
	const export = `[
	{
		"key": "config/a",
		"flags": 42,
		"value": "aGVsbG8=",
		"namespace": "default",
		"partition": "default"
	},
	{ "key": "config/empty", "flags": 0, "value": "" }
]`
	if r := c.in(export, "kv", "import", "-"); r.status != 0 {
		t.Fatal(r)
	}
	c.contains(c.ok("kv", "get", "-detailed", "config/a"), "hello", "42")
}

func TestImportOfBrokenFilesFailsAndSaysWhere(t *testing.T) {
	c := newCLI(t)
	pair := `{"key":"a","flags":0,"value":"eA=="}`
	for text, want := range map[string]string{
		pair + "\n" + `{"key":"b"`:              "read pair 2: the file ends in the middle of a pair",
		"[" + pair:                              "the file ends in the middle of the array",
		"[" + pair + ",":                        "read pair 2",
		"hello":                                 "neither a JSON array nor JSON objects",
		`{"key":"a","value":"!"}`:               "read pair 1",
		`{"flags":1}`:                           "it has no key",
		`[1]`:                                   "read pair 1",
		`{"key":"a","flags":-1,"value":"eA=="}`: "read pair 1",
	} {
		r := c.in(text, "kv", "import", "-")
		if r.status != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("%q: status %d, %q, want %q", text, r.status, r.stderr, want)
		}
	}
	if r := c.in(" \n", "kv", "import", "-"); r.status != 0 {
		t.Errorf("an empty file: %+v", r)
	}
}

func TestImportOutlastsALeaderThatIsGone(t *testing.T) {
	c := newCLI(t)
	var b strings.Builder
	for i := range 40 {
		fmt.Fprintf(&b, `{"key":"k%d","value":"%s"}`+"\n", i, base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%d", i)))
	}
	c.front.Fail(slices.Repeat([]int{500}, 60)...)
	r := c.in(b.String(), "kv", "import", "-", "-parallel=8")
	if r.status != 0 || !strings.Contains(r.stdout, "Imported 40 pairs") {
		t.Fatal(r)
	}
	if got := c.ok("kv", "get", "-count", "k"); got != "40\n" {
		t.Errorf("keys: %s", got)
	}
}

func TestImportKeepsTheLastValueOfAKeyThatComesTwice(t *testing.T) {
	c := newCLI(t)
	var b strings.Builder
	for i := range 300 {
		fmt.Fprintf(&b, `{"key":"k%d","value":"%s"}`+"\n", i%3, base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%d", i)))
	}
	if r := c.in(b.String(), "kv", "import", "-"); r.status != 0 {
		t.Fatal(r)
	}
	for k, want := range map[string]string{"k0": "297", "k1": "298", "k2": "299"} {
		if got := c.ok("kv", "get", k); got != want {
			t.Errorf("%s: %s, want %s", k, got, want)
		}
	}
}

func TestImportGoesOnWhereItStopped(t *testing.T) {
	c := newCLI(t)
	dir := t.TempDir()
	file, resume := filepath.Join(dir, "pairs"), filepath.Join(dir, "resume")
	line := func(i int, value string) string {
		return fmt.Sprintf(`{"key":"k%02d","value":"%s"}`+"\n", i, base64.StdEncoding.EncodeToString([]byte(value)))
	}
	var good strings.Builder
	for i := range 30 {
		good.WriteString(line(i, "v"))
	}
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The same file, cut short, as a stop in the middle would leave it.
	half := good.String()[:len(good.String())/2+5]
	write(half)
	c.contains(c.fails(1, "kv", "import", "-resume="+resume, file), "hint: the same command goes on")
	n := strings.Count(half, "\n")
	write(strings.Replace(good.String(), "k00", "x00", 1))
	c.contains(c.fails(1, "kv", "import", "-resume="+resume, file), "not the file whose import was begun")
	write(good.String())
	c.contains(c.ok("kv", "import", "-resume="+resume, file), fmt.Sprintf("Imported %d pairs", 30-n), fmt.Sprintf("after %d that were imported before", n))
	if _, err := os.Stat(resume); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the -resume file is still there: %v", err)
	}
	if got := c.ok("kv", "get", "-count", "k"); got != "30\n" {
		t.Errorf("keys: %s", got)
	}
	if err := os.WriteFile(resume, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.contains(c.fails(1, "kv", "import", "-resume="+resume, file), "is not a -resume file")
}

func FuzzPairReader(f *testing.F) {
	for _, s := range []string{`[{"key":"a","flags":1,"value":"eA=="}]`, `{"key":"a"}{"key":"b"}`, "[", "{", "[]", " ", "[{}", "[{},]", "nul"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		next, err := pairReader(strings.NewReader(s))
		if err != nil {
			return
		}
		for range len(s) + 1 { // never more pairs than bytes
			var p exported
			if err := next(&p); err != nil {
				return
			}
		}
		t.Error("no end")
	})
}

func FuzzParseTxn(f *testing.F) {
	for _, s := range []string{`[{"KV":{"Verb":"set","Key":"a"}}]`, `kv "set" "a" { value = "x" }`, `kv "cas" "a" { index = -1 }`, "{", strings.Repeat("[", 200), `kv "a" "b" { value = "${x}" }`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ops, err := parseTxn("f", []byte(s))
		if err == nil {
			for _, op := range ops {
				if op.KV == nil {
					t.Error("an operation without KV")
				}
			}
		}
	})
}

func TestTxnFilesInBothForms(t *testing.T) {
	c := newCLI(t)
	const hcl = `
kv "check-not-exists" "a" {}
kv "set" "a" {
  value = "blue"
  flags = 3
  ttl   = "1h"
}
kv "set" "b" { value_base64 = "eA==" }
`
	c.in(hcl, "txn", "-")
	if got := c.ok("kv", "get", "-recurse", ""); got != "a:blue\nb:x\n" {
		t.Errorf("got %q", got)
	}
	r := c.in(hcl, "txn", "-")
	if r.status != 1 || !strings.Contains(r.stdout, `key "a" exists`) || !strings.Contains(r.stderr, "nothing was done") {
		t.Errorf("got %+v", r)
	}
	ops, err := parseTxn("f", []byte(hcl))
	if err != nil || ops[1].KV.Flags != 3 || ops[1].KV.TTL.String() != "1h0m0s" {
		t.Errorf("got %+v, %v", ops, err)
	}
	for text, want := range map[string]string{
		"":                              "no operation",
		`[{"KV":{"Verbs":"set"}}]`:      "unknown field",
		`[{}]`:                          `has no "KV"`,
		`kv "set" "a" { valu = 1 }`:     "no such attribute",
		`kv "set" { value = 1 }`:        "key",
		`kv "set" "a" { value = x }`:    "Variables",
		`kv "set" "a" { ttl = "soon" }`: "ttl",
		`kv "set" "a" { ttl = "-1s" }`:  "want more than 0",
		strings.Repeat("x {", 5000):     "nested",
	} {
		if _, err := parseTxn("f", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}
