package settings

import (
	"strings"
	"testing"
	"time"
)

// head is a line before the one that a test is about.
const head = "bind_addr = \"127.0.0.1\"\n"

func TestBadFilesAreRefusedWithPlaceAndHint(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{head + `datacentre = "x"`, `t.hcl:2:1: unknown key "datacentre" (did you mean datacenter?)`},
		{head + "ports {\n  htpp = 1\n}", `t.hcl:3:3: unknown key "ports.htpp" (did you mean ports.http?)`},
		{head + "port {\n  http = 1\n}", `t.hcl:2:1: unknown key "port" (did you mean ports?)`},
		{head + `encrypt = "x"`, `t.hcl:2:1: unknown key "encrypt" (here it is cluster_key)`},
		{head + `kv_value_bytes_max = 1`, `t.hcl:2:1: unknown key "kv_value_bytes_max" (did you mean limits.kv_value_bytes_max?)`},
		{head + `retry-join = ["a"]`, `t.hcl:2:1: unknown key "retry-join" (did you mean retry_join?)`},
		{head + `zzzzzzzz = 1`, `t.hcl:2:1: unknown key "zzzzzzzz"`},
		{head + `server = "true"`, `t.hcl:2:10: server: must be a bool, not a string (write true or false, without quotes)`},
		{head + `data_dir = 5`, `t.hcl:2:12: data_dir: must be a string, not a number (put it into double quotes)`},
		{head + `retry_interval = 30`, `t.hcl:2:18: retry_interval: must be a duration, not a number (write it with its unit, such as "10s")`},
		{head + `retry_interval = "soon"`, `t.hcl:2:18: retry_interval: must be a duration such as "10s", "1m30s" or "200ms"`},
		{head + `retry_max = 1.5`, `t.hcl:2:13: retry_max: must be a whole number`},
		{head + `retry_max = 1e999999999`, `t.hcl:2:13: number out of range`},
		{head + `retry_max = 1e99`, `t.hcl:2:13: retry_max: number out of range`},
		{head + `raft_trailing_logs = -1`, `t.hcl:2:22: raft_trailing_logs: number out of range`},
		{head + `retry_join = "a"`, `t.hcl:2:1: retry_join: must be a list of strings (retry_join = ["…", "…"])`},
		{head + `retry_join = ["a", 5]`, `t.hcl:2:20: retry_join: an element must be a string, not a number (put it into double quotes)`},
		{head + `node_meta = { a = 1 }`, `t.hcl:2:19: node_meta: the value of "a" must be a string, not a number (put it into double quotes)`},
		{head + `ports = 5`, `t.hcl:2:1: ports: must be a block (write ports { … })`},
		{head + "log_level {\n}", `t.hcl:2:1: log_level: must be a string, not a block (write log_level = …)`},
		{head + "ports \"x\" {\n}", `t.hcl:2:7: ports: a block has no label (write ports { … })`},
		{head + `log_level = debug`, `t.hcl:2:13: log_level: variables not allowed (put text into double quotes)`},
		{head + `log_level = "a${b}"`, `t.hcl:2:15: templates are not allowed (a configuration holds values: put text into double quotes, and write $${ or %%{ for ${ or %{ in it)`},
		{head + `log_file = file("x")`, `t.hcl:2:16: function calls and parentheses are not allowed`},
		{head + "log_level = \"info\"\nlog_level = \"warn\"", `t.hcl:3:1: attribute redefined`},
		{head + `ports = { http = 1, http = 2 }`, `t.hcl:2:21: ports: "http" is set twice (remove one of them)`},
		{head + `datacenter = `, `t.hcl:2:14: missing expression`},
		{`{"bind_addr": "127.0.0.1", "ports": {"htp": 1}}`, `t.json:1:38: unknown key "ports.htp" (did you mean ports.http?)`},
		{`{"bind_addr": "127.0.0.1", "server": 1}`, `t.json:1:38: server: must be a bool, not a number`},
		{`{"bind_addr": "127.0.0.1", }`, `t.json:1:26: trailing comma`},
		{`{"bind_addr": "127.0.0.1", "ports": [1]}`, `t.json:1:28: ports: must be a block`},
		{`{"bind_addr": "127.0.0.1"`, `t.json:1:1: unclosed object`},
	} {
		_, _, ps := load(t, tc.text)
		if len(ps) != 1 || !strings.HasPrefix(ps[0].String(), tc.want) {
			t.Errorf("%s\n got %v\nwant %s", tc.text, ps, tc.want)
		}
	}
}

func TestHostileFilesAreRefusedQuickly(t *testing.T) {
	deep := func(open, close string) string { return strings.Repeat(open, 10_000) + strings.Repeat(close, 10_000) }
	for name, tc := range map[string]struct{ file, text, want string }{
		"HCL blocks":         {"x.hcl", deep("a {\n", "}\n"), "x.hcl:33:3: nested deeper than 32 levels"},
		"HCL lists":          {"x.hcl", "a = " + deep("[", "]"), "nested deeper"},
		"HCL parens":         {"x.hcl", "a = " + deep("(", ")"), "nested deeper"},
		"HCL templates":      {"x.hcl", "a = " + deep(`"${`, `}"`), "nested deeper"},
		"HCL unary":          {"x.hcl", "a = " + strings.Repeat("-", 200_000) + "1", "more than 256 operators"},
		"HCL not":            {"x.hcl", "a = " + strings.Repeat("!", 200_000) + "true", "expressions with ! are not allowed"},
		"HCL sum":            {"x.hcl", "a = 1" + strings.Repeat("+1", 100_000), "more than 256 operators"},
		"HCL ternary":        {"x.hcl", "a = " + strings.Repeat("true ? 1 : ", 20_000) + "1", "expressions with ? are not allowed"},
		"HCL index":          {"x.hcl", "a = b" + strings.Repeat("[0]", 80_000), "a list is not allowed here"},
		"HCL dots":           {"x.hcl", "a = b" + strings.Repeat(".c", 100_000), "expressions with . are not allowed"},
		"HCL loops":          {"x.hcl", "a = " + strings.Repeat("[for x in [1,2,3,4,5,6,7,8,9] : ", 20) + "x" + strings.Repeat("]", 20), "loops are not allowed"},
		"HCL number":         {"x.hcl", `a = { 1e99999999 = 1 }`, "number out of range"},
		"HCL text as number": {"x.hcl", `a = { "1e99999999" * 1 = 1 }`, "arithmetic with text is not allowed"},
		"JSON number":        {"x.json", `{"retry_max": 1e99999999, "log_level": 1e99999999}`, "retry_max: number out of range"},
		"JSON long number":   {"x.json", `{"retry_max": ` + strings.Repeat("9", 250_000) + `}`, "retry_max: number out of range"},
		"JSON objects":       {"x.json", deep(`{"a":`, "}"), "nested deeper"},
		"JSON lists":         {"x.json", `{"a":` + deep("[", "]") + "}", "nested deeper"},
		"HCL 10 MiB":         {"x.hcl", strings.Repeat("# comment\n", 1<<20), "larger than 256 KiB"},
		"JSON 10 MiB":        {"x.json", strings.Repeat(" ", 10<<20), "larger than 256 KiB"},
		"garbage":            {"x.hcl", strings.Repeat("\x00\xff}{", 50_000), "x.hcl:"},
		"many bad lines":     {"x.hcl", strings.Repeat("unknown_key_of_the_file = 1\n", 8_000), "more problems"},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, ps := theSchema.Load(&sample{}, Sources{Files: []string{write(t, t.TempDir(), tc.file, tc.text)}})
			_, err := Judge(ps)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %.300v, want %s", err, tc.want)
			}
			if d := time.Since(start); d > time.Minute { // the promise is a second; a loaded machine under the race detector gets more
				t.Errorf("took %v", d)
			}
		})
	}
}

func TestHCLFormsThatMeanTheSame(t *testing.T) {
	for _, text := range []string{
		"ports {\n http = 81 \n}\n node_meta = { a = \"b\" }\n bind_addr = \"127.0.0.1\"",
		"ports = { http = 80 + 1 }\n node_meta {\n a = \"b\" \n}\n bind_addr = \"127.0.0.1\"\n data_dir = null",
		`{"ports": {"http": 81}, "node_meta": {"a": "b"}, "bind_addr": "127.0.0.1", "limits": null, "//": "a comment"}`,
	} {
		c, _, ps := load(t, text)
		if len(ps) > 0 {
			t.Errorf("%s: %v", text, ps)
			continue
		}
		if c.Ports.HTTP != 81 || c.NodeMeta["a"] != "b" || c.BindAddr != "127.0.0.1" {
			t.Errorf("%s: got %+v", text, c)
		}
	}
}

// FuzzHCL: no file makes the decoder panic or hang, every problem says something, and whatever was taken
// can be applied and shown.
func FuzzHCL(f *testing.F) {
	for _, s := range []string{
		"", "server = true", "ports {\n http = 1\n}", "node_meta = { a = \"b\" }", `retry_join = ["a", "b"]`,
		"retry_interval = \"1s\"\nretry_max = 1e99", `a = "${b}"`, "x = <<E\ny\nE\n", "limits = null", "a \"b\" {}", "data_dir = -1 + 2 * 3 ? a[0] : b.c",
		`log_level = [for x in y : x]`, "retry_join = \"%{ for x in y }\"", "server = true\nbind_addr = \"{{ one }}\"",
	} {
		f.Add(s, false)
	}
	for _, s := range []string{`{"server": true}`, `{"ports": {"http": 1}}`, `{"retry_join": ["a"]}`, `{"a": 1e999999}`, `[{"server": true}]`, `{"": {"": ""}}`} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, src string, json bool) {
		start := time.Now()
		var v sample
		l := &loader{schema: theSchema, into: theSchema.value(&v)}
		l.text("f", []byte(src), json)
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("took %v", took)
		}
		for _, p := range l.problems {
			if p.Message == "" || p.Source.Name == "" {
				t.Errorf("%+v says nothing", p)
			}
		}
		for key, message := range theSchema.OutOfBounds(&v) {
			if key == "" || message == "" {
				t.Errorf("%q: %q", key, message)
			}
		}
		theSchema.Plain(&v)
	})
}
