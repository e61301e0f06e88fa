package config

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const testKey = "bG9uZyBsaXZlIHRoZSBjbHVzdGVyIGtleSBvZiAzMmI="

// testHost is a machine with two private networks, the second of which has the default route.
func testHost() *environment {
	lo := local{netip.MustParseAddr("127.0.0.1"), "lo"}
	eth0 := local{netip.MustParseAddr("10.0.0.5"), "eth0"}
	eth1 := local{netip.MustParseAddr("192.168.7.9"), "eth1"}
	return &environment{
		hostname: func() (string, error) { return "box", nil },
		route:    func() (netip.Addr, bool) { return eth1.addr, true },
		addrs:    func() ([]local, error) { return []local{lo, eth0, eth1}, nil },
		expand: func(s string) (string, error) {
			switch strings.Trim(s, "{} ") {
			case "none":
				return "", nil
			case "two":
				return "10.0.0.5 192.168.7.9", nil
			case "one":
				return "10.0.0.5", nil
			}
			return "", errors.New("function not defined")
		},
		canBind: func(a netip.Addr) error {
			switch a {
			case lo.addr, eth0.addr, eth1.addr, netip.IPv4Unspecified(), netip.IPv6Unspecified():
				return nil
			}
			return errors.New("cannot assign requested address")
		},
	}
}

func env(kv ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(kv); i += 2 {
			if kv[i] == name {
				return kv[i+1], true
			}
		}
		return "", false
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	p := filepath.Join(dir, name)
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func parseFlags(t *testing.T, args ...string) *FlagValues {
	t.Helper()
	fs := flag.NewFlagSet("agent", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	v := Flags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return v
}

func load(t *testing.T, o LoadOptions) (*Config, []Warning) {
	t.Helper()
	if o.host == nil {
		o.host = testHost()
	}
	c, warnings, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	return c, warnings
}

// problems loads an HCL (or, when it begins with a brace, JSON) text that must be refused.
func problems(t *testing.T, text string, args ...string) []Problem {
	t.Helper()
	name := "t.hcl"
	if strings.HasPrefix(text, "{") {
		name = "t.json"
	}
	o := LoadOptions{Files: []string{write(t, t.TempDir(), name, text)}, Flags: parseFlags(t, args...), host: testHost()}
	_, _, err := Load(o)
	if err == nil {
		return nil
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%T is no *Error", err)
	}
	for i := range e.Problems {
		e.Problems[i].Source.Name = filepath.Base(e.Problems[i].Source.Name)
	}
	return e.Problems
}

func TestDefaultsAreWhatTheReferenceSays(t *testing.T) {
	c, warnings := load(t, LoadOptions{Env: env("DEBROS_CLUSTER_KEY", testKey)})
	if len(warnings) > 0 {
		t.Errorf("warnings %v", warnings)
	}
	if c.NodeName != "box" || c.Datacenter != "dc1" || c.Ports != (Ports{5001, 7001, 7946, 4001}) || c.RetryInterval != 30*time.Second ||
		!c.Autopilot.CleanupDeadServers || c.RaftLogStore.Backend != "wal" || c.LogLevel != "info" || c.Limits.KVValueBytesMax != 512<<10 {
		t.Errorf("got %+v", c)
	}
	if !c.LeaveOnTerminate || c.SkipLeaveOnInterrupt {
		t.Error("a client leaves on SIGTERM and SIGINT by default")
	}
	s, _ := load(t, LoadOptions{Flags: parseFlags(t, "-server", "-data-dir", t.TempDir(), "-bind=127.0.0.1")})
	if s.LeaveOnTerminate || !s.SkipLeaveOnInterrupt || s.Role() != "server" {
		t.Error("a server stays a member by default")
	}
}

func TestLaterSourcesWinMapsMergeListsGrow(t *testing.T) {
	dir, confd := t.TempDir(), t.TempDir()
	a := write(t, dir, "a.hcl", `
		datacenter = "from-file"
		node_name  = "file"
		log_level  = "warn"
		retry_join = ["a"]
		node_meta  = { x = "1", y = "1" }
		ports { http = 1001 }
		ports { server = 1002 }`)
	b := write(t, dir, "b.json", `{"retry_join": ["b"], "node_meta": {"y": "2"}, "ports": {"http": 2001}, "retry_interval": "3s"}`)
	write(t, confd, "20.json", `{"retry_join": ["20"], "log_level": "error"}`)
	write(t, confd, "10.hcl", `retry_join = ["10"]
		log_level = "debug"`)
	write(t, confd, "ignored.txt", `garbage {`)
	c, _ := load(t, LoadOptions{
		Env: env("DEBROS_NODE_NAME", "env", "LOG_LEVEL", "trace", "DEBROS_RETRY_JOIN", "e1, e2", "DEBROS_NODE_META", "z:3", "DEBROS_PORTS_SERF_LAN", "4001", "DEBROS_PORTS_OVERLAY", "", "DEBROS_BIND_ADDR", "127.0.0.1", "DEBROS_PORTS_HTTP", "77"),
		Flags: parseFlags(t, "-config-file", a, "-config-file", b, "-config-dir", confd, "-node=flag", "-retry-join=f1", "-retry-join=exec=/bin/sh",
			"-node-meta=w:4=5", "-overlay-port=-1"),
	})
	got := fmt.Sprint(c.Datacenter, c.NodeName, c.LogLevel, c.RetryJoin, c.NodeMeta, c.Ports, c.RetryInterval)
	want := fmt.Sprint("from-file", "flag", "trace", []string{"a", "b", "10", "20", "e1", "e2", "f1", "exec=/bin/sh"},
		map[string]string{"x": "1", "y": "2", "z": "3", "w": "4=5"}, Ports{77, 1002, 4001, -1}, 3*time.Second)
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if s := c.Source("ports.server").String(); !strings.HasSuffix(s, "a.hcl:8:11") {
		t.Errorf("source %q", s)
	}
}

func TestOwnVariableWinsOverLogLevel(t *testing.T) {
	c, _ := load(t, LoadOptions{Env: env("LOG_LEVEL", "debug", "DEBROS_LOG_LEVEL", "warn", "DEBROS_DEV", "true")})
	if c.LogLevel != "warn" {
		t.Errorf("level %s", c.LogLevel)
	}
}

func TestSecretsNeverShow(t *testing.T) {
	c, _ := load(t, LoadOptions{Env: env("DEBROS_CLUSTER_KEY", testKey)})
	if c.ClusterKey.Reveal() != testKey {
		t.Fatal("key not taken")
	}
	js, err := json.Marshal(c.Sanitized())
	if err != nil {
		t.Fatal(err)
	}
	direct, err := json.Marshal(c.ClusterKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{string(js), string(direct), fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c.ClusterKey)} {
		if strings.Contains(s, testKey) || !strings.Contains(s, "hidden") {
			t.Errorf("secret shown: %s", s)
		}
	}
	ps := problems(t, `cluster_key = "c2VjcmV0IHRleHQ="`)
	if s := fmt.Sprint(ps); strings.Contains(s, "c2VjcmV0") || !strings.Contains(s, "32 bytes") {
		t.Errorf("problem %s", s)
	}
	var back map[string]any
	if err := json.Unmarshal(js, &back); err != nil {
		t.Fatal(err)
	}
	wal := back["raft_logstore"].(map[string]any)["wal"].(map[string]any)
	if wal["segment_size_mb"] != 64.0 || back["retry_interval"] != "30s" || back["cluster_key_file"] != "" {
		t.Errorf("sanitized %s", js)
	}
}

func TestDiffTellsReloadFromRestart(t *testing.T) {
	base := []string{"DEBROS_BIND_ADDR", "127.0.0.1"}
	a, _ := load(t, LoadOptions{Env: env(base...)})
	b, _ := load(t, LoadOptions{Env: env(append(base, "LOG_LEVEL", "debug", "DEBROS_PORTS_HTTP", "1", "DEBROS_NODE_META", "a:b",
		"DEBROS_LIMITS_TXN_OPS_MAX", "5", "DEBROS_CLUSTER_KEY", testKey)...)})
	reload, restart := Diff(a, b)
	if got := fmt.Sprint(reload, restart); got != "[limits.txn_ops_max log_level] [node_meta ports.http cluster_key]" {
		t.Errorf("got %s", got)
	}
	if reload, restart := Diff(a, a); len(reload)+len(restart) > 0 {
		t.Error("a configuration differs from itself")
	}
}

func TestValidateOfAnyConfigNeedsNoLoad(t *testing.T) {
	c := &Config{}
	schema().Defaults(c)
	c.NodeName, c.BindAddr, c.Server = "n", "127.0.0.1", true
	ps := Validate(c)
	if len(ps) != 1 || ps[0].Key != "data_dir" {
		t.Errorf("got %v", ps)
	}
	Validate(&Config{}) // must not panic
}
