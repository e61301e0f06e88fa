package settings

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sample has a key of every kind, at every depth.
type sample struct {
	Datacenter    string            `hcl:"datacenter" default:"dc1" doc:"Datacenter."`
	DataDir       string            `hcl:"data_dir" doc:"Directory."`
	BindAddr      string            `hcl:"bind_addr" doc:"Address."`
	Server        bool              `hcl:"server" flag:"server" doc:"A server."`
	RetryJoin     []string          `hcl:"retry_join" flag:"retry-join" doc:"Whom to join."`
	RetryInterval time.Duration     `hcl:"retry_interval" flag:"retry-interval" default:"30s" min:"100ms" max:"1h" doc:"Time between attempts."`
	RetryMax      int               `hcl:"retry_max" flag:"retry-max" min:"0" doc:"Attempts."`
	NodeMeta      map[string]string `hcl:"node_meta" flag:"node-meta" doc:"Pairs."`
	ClusterKey    Secret            `hcl:"cluster_key" doc:"The secret."`
	LogLevel      string            `hcl:"log_level" env:"LOG_LEVEL" default:"info" reload:"true" doc:"Level."`
	LogFile       string            `hcl:"log_file" doc:"File."`
	TrailingLogs  uint64            `hcl:"raft_trailing_logs" min:"1" default:"10" reload:"true" doc:"Entries."`
	Ports         struct {
		HTTP   int `hcl:"http" default:"5001" doc:"Port."`
		Server int `hcl:"server" doc:"Port."`
	} `hcl:"ports" doc:"Ports."`
	Limits struct {
		Rate  float64 `hcl:"rpc_rate" min:"0" max:"10" doc:"Requests a second."`
		Bytes int64   `hcl:"kv_value_bytes_max" doc:"Bytes of a value."`
		Of    struct {
			Few uint `hcl:"few" max:"255" doc:"A few."`
		} `hcl:"of" doc:"More limits."`
	} `hcl:"limits" doc:"Limits."`
	Ignored int `hcl:"-"`
}

var theSchema = New[sample]("T_", map[string]string{"encrypt": "cluster_key"})

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	p := filepath.Join(dir, name)
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// load reads an HCL (or, when it begins with a brace, JSON) text.
func load(t *testing.T, text string) (*sample, Origins, []Problem) {
	t.Helper()
	name := "t.hcl"
	if strings.HasPrefix(text, "{") {
		name = "t.json"
	}
	v := &sample{}
	origins, ps := theSchema.Load(v, Sources{Files: []string{write(t, t.TempDir(), name, text)}})
	for i := range ps {
		ps[i].Source.Name = filepath.Base(ps[i].Source.Name)
	}
	return v, origins, ps
}

// Tags are written once and read for ever: what contradicts itself in them is found at the first run.
func TestNewRefusesTagsThatContradict(t *testing.T) {
	for want, make := range map[string]func(){
		`flag -a of b is that of "a" too`: func() {
			New[struct {
				A string `hcl:"a" flag:"a" doc:"A."`
				B string `hcl:"b" flag:"a" doc:"B."`
			}]("", nil)
		},
		"flag -config-file of a": func() {
			New[struct {
				A string `hcl:"a" flag:"config-file" doc:"A."`
			}]("", nil)
		},
		`variable P_A of b is that of "a" too`: func() {
			New[struct {
				A string `hcl:"a" doc:"A."`
				B string `hcl:"b" env:"P_A" doc:"B."`
			}]("P_", nil)
		},
		"a has no sentence": func() {
			New[struct {
				A string `hcl:"a" doc:"A"`
			}]("", nil)
		},
		"block a has no doc": func() {
			New[struct {
				A struct{} `hcl:"a"`
			}]("", nil)
		},
		`"x" of a: must be a whole number`: func() {
			New[struct {
				A int `hcl:"a" default:"x" doc:"A."`
			}]("", nil)
		},
		"bounds of a, a string": func() {
			New[struct {
				A string `hcl:"a" min:"1" doc:"A."`
			}]("", nil)
		},
		"a key of type complex128": func() {
			New[struct {
				A complex128 `hcl:"a" doc:"A."`
			}]("", nil)
		},
		`renamed to "b"`: func() { New[struct{}]("", map[string]string{"a": "b"}) },
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, want) {
					t.Errorf("got %s, want %s", got, want)
				}
			}()
			make()
		}()
	}
}

func TestOriginsTellWhatIsKnownOfAKey(t *testing.T) {
	_, o, _ := load(t, "server = 5\ndata_dir = \"x\"\nlog_levle = \"debug\"\n")
	for key, want := range map[string][3]bool{ // set, refused, unsure
		"data_dir": {true, false, false}, "server": {false, true, true}, "bind_addr": {false, false, false},
		"log_level": {false, true, true}, // the misspelt one was likely meant to be this
	} {
		if got := [3]bool{o.IsSet(key), o.Refused(key), o.Unsure(key)}; got != want {
			t.Errorf("%s: got %v, want %v", key, got, want)
		}
	}
	if s := o.Source("data_dir"); filepath.Base(s.File()) != "t.hcl" || s.Line != 2 || s.Column != 1 {
		t.Errorf("source %v", s)
	}
	_, o, _ = load(t, "data_dir = \"x\"\nserver = \n")
	if o.Unsure("data_dir") || !o.Unsure("bind_addr") {
		t.Error("a key that is not set may be in the part that could not be read; one that is set is known")
	}
}

func TestOutOfBoundsNamesTheBound(t *testing.T) {
	v := &sample{}
	theSchema.Defaults(v)
	if got := maps.Collect(theSchema.OutOfBounds(v)); len(got) > 0 {
		t.Errorf("defaults: %v", got)
	}
	v.RetryInterval, v.RetryMax, v.TrailingLogs, v.Limits.Rate, v.Limits.Of.Few = time.Millisecond, -1, 0, 10.5, 256
	want := map[string]string{
		"retry_interval": "1ms is below 100ms", "retry_max": "-1 is below 0", "raft_trailing_logs": "0 is below 1",
		"limits.rpc_rate": "10.5 is above 10", "limits.of.few": "256 is above 255",
	}
	if got := maps.Collect(theSchema.OutOfBounds(v)); !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	v.RetryInterval, v.RetryMax, v.TrailingLogs, v.Limits.Rate, v.Limits.Of.Few = time.Hour, 0, 1, 10, 255
	if got := maps.Collect(theSchema.OutOfBounds(v)); len(got) > 0 {
		t.Errorf("the bounds themselves: %v", got)
	}
}

func TestReferenceNamesEveryKey(t *testing.T) {
	got := theSchema.Reference()
	for _, want := range []string{
		"\n## Top level\n", "\n## limits.of\n\nMore limits.\n", "| `retry_interval` | duration | `\"30s\"` | `-retry-interval` | Time between attempts. |",
		"| `log_level` † | string | `\"info\"` |  | Level. Also `LOG_LEVEL` in the environment. |", "| `limits.of.few` | number | `0` |  | A few. |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestWrongFlagsAreUsageErrors(t *testing.T) {
	for _, arg := range []string{"-retry-max=three", "-server=perhaps", "-retry-interval=5", "-node-meta=x", "-unknown"} {
		fs := flag.NewFlagSet("agent", flag.ContinueOnError)
		var out bytes.Buffer
		fs.SetOutput(&out)
		theSchema.Flags(fs)
		if err := fs.Parse([]string{arg}); err == nil {
			t.Errorf("%s: accepted", arg)
		}
	}
	fs := flag.NewFlagSet("agent", flag.ContinueOnError)
	theSchema.Flags(fs)
	var out bytes.Buffer
	fs.SetOutput(&out)
	fs.PrintDefaults() // calls String of zero flag values
	if !strings.Contains(out.String(), "-retry-join text") {
		t.Errorf("usage:\n%s", out.String())
	}
	fs.SetOutput(io.Discard)
}

func TestFileAndDirectoryAreNotMistaken(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "a.hcl", "")
	_, ps := theSchema.Load(&sample{}, Sources{Files: []string{dir}, Dirs: []string{file}})
	_, err := Judge(ps)
	for _, want := range []string{dir + ": is a directory (use -config-dir)", file + ": not a directory (it is a file: use -config-file)"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
