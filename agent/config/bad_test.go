package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const ok = "bind_addr = \"127.0.0.1\"\n" // keeps a text from being refused for the missing cluster key

func TestAllProblemsAreReportedInOrder(t *testing.T) {
	dir := t.TempDir()
	z := write(t, dir, "z.hcl", "foo = 1\nserver = \"x\"\nports {\n  http = 70000\n  bar = 2\n}\n")
	a := write(t, dir, "a.json", `{"log_level": "loud"}`)
	_, _, err := Load(LoadOptions{
		Files: []string{z, a, filepath.Join(dir, "missing.hcl")}, Env: env("DEBROS_RETRY_MAX", "many"),
		Flags: parseFlags(t, "-bootstrap-expect=-3", "-bind=127.0.0.1", "-dev"), host: testHost(),
	})
	var got []string
	for line := range strings.SplitSeq(fmt.Sprint(err), "\n") {
		got = append(got, strings.TrimPrefix(line, dir+"/"))
	}
	want := []string{
		`z.hcl:1:1: unknown key "foo"`,
		`z.hcl:2:10: server: must be a bool, not a string (write true or false, without quotes)`,
		`z.hcl:4:3: ports.http: 70000 is not a port (-1 to 65535)`,
		`z.hcl:5:3: unknown key "ports.bar"`,
		`missing.hcl: no such file or directory`,
		`a.json:1:15: log_level: "loud" is not a level (one of trace, debug, info, warn, error)`,
		`environment variable DEBROS_RETRY_MAX: retry_max: must be a whole number`,
		`flag -bootstrap-expect: bootstrap_expect: dev is a cluster of one server at once (remove it, or dev)`,
	}
	if len(got) != len(want) {
		t.Fatalf("got\n%s", strings.Join(got, "\n"))
	}
	for _, w := range want {
		found := false
		for _, g := range got {
			found = found || strings.HasPrefix(g, strings.Replace(w, "a.json:1:15", "a.json:1:2", 1))
		}
		if !found {
			t.Errorf("no %s in\n%s", w, strings.Join(got, "\n"))
		}
	}
}

func TestContradictions(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "file", "x")
	for _, tc := range []struct{ text, want string }{
		{ok + `datacentre = "x"`, `t.hcl:2:1: unknown key "datacentre" (did you mean datacenter?)`},
		{ok + `encrypt = "x"`, `t.hcl:2:1: unknown key "encrypt" (here it is cluster_key)`},
		{ok + `log_level = "loud"`, `t.hcl:2:1: log_level: "loud" is not a level (one of trace, debug, info, warn, error)`},
		{ok + `server = true`, `data_dir: a server needs a data directory (set data_dir, or dev for a server that keeps nothing)`},
		{ok + `bootstrap_expect = 3`, `t.hcl:2:1: bootstrap_expect: only servers elect a leader, and this agent is a client (set server = true, or remove it)`},
		{"dev = true\nretry_join = [\"a\"]", `t.hcl:2:1: retry_join: dev is a cluster of its own`},
		{"dev = true\ndata_dir = \"/x\"", `t.hcl:2:1: data_dir: dev keeps everything in memory`},
		{"dev = true\nserver = false", `t.hcl:2:1: server: dev is a server, but server = false`},
		{ok + "ports {\n http = 80\n server = 80\n}", `t.hcl:4:2: ports.server: 80 is the port of ports.http too`},
		{ok + "overlay {\n enabled = true\n bootstrap = [\"10.0.0.1:4001\"]\n}", `t.hcl:4:2: overlay.bootstrap: "10.0.0.1:4001" is not a multiaddr (such as /ip4/10.0.0.1/tcp/4001)`},
		{ok + "overlay {\n enabled = true\n bootstrap = [\"/ip4/10.0.0.1/tcp/4001\"]\n}", `t.hcl:4:2: overlay.bootstrap: "/ip4/10.0.0.1/tcp/4001" does not end in /p2p/<id> ('debros peer-id' on that agent shows its id)`},
		{ok + "overlay {\n listen = [\"/ip4/127.0.0.1/tcp/1/p2p/12D3KooWRhT5vWYkRMvkxXkqM8ckMfmfFPC1TXtNnWH95obsgDUK\"]\n}", `t.hcl:3:2: overlay.listen: "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWRhT5vWYkRMvkxXkqM8ckMfmfFPC1TXt…" names a peer (remove /p2p/<id>: this node's id goes without saying)`},
		{ok + "overlay {\n enabled = true\n listen = [\"/ip4/0.0.0.0/udp/4001/quic\"]\n}", `cluster_key: needed to listen on /ip4/0.0.0.0/udp/4001/quic, which is not loopback`},
		{ok + "overlay {\n network = \"Main\"\n}", `t.hcl:3:2: overlay.network: "Main" is not a name of a network`},
		{ok + "overlay {\n reachability = \"maybe\"\n}", `t.hcl:3:2: overlay.reachability: "maybe" is none of them (auto, public or private)`},
		{ok + "overlay {\n bootstrap = [\"/ip4/10.0.0.1/udp/4001/quic/p2p/12D3KooWRhT5vWYkRMvkxXkqM8ckMfmfFPC1TXtNnWH95obsgDUK\"]\n}", `t.hcl:3:2: overlay.bootstrap: the overlay is off (set data_dir, or overlay { enabled = true }, and ports.overlay to a port)`},
		{ok + "ports {\n server = -1\n}", `t.hcl:3:2: ports.server: -1 is not a port (0 to 65535)`},
		{`data_dir = "/tmp"`, `cluster_key: needed to listen on 192.168.7.9, which is not loopback`},
		{`bind_addr = "0.0.0.0"`, `cluster_key: needed to listen on 0.0.0.0`},
		{ok + "cluster_key = \"" + testKey + "\"\ncluster_key_file = \"" + file + "\"", `t.hcl:3:1: cluster_key_file: cluster_key is set too`},
		{ok + `cluster_key_file = "/nowhere/key"`, `t.hcl:2:1: cluster_key_file: /nowhere/key: no such file`},
		{ok + `cluster_key_file = "` + file + `"`, `t.hcl:2:1: cluster_key: must be 32 bytes in base64`},
		{ok + `node_name = "a b"`, `t.hcl:2:1: node_name: "a b" is not a node name`},
		{ok + `node_name = "` + strings.Repeat("x", 129) + `"`, `t.hcl:2:1: node_name: is longer than 128 characters`},
		{ok + `datacenter = "DC1"`, `t.hcl:2:1: datacenter: "DC1" is not a name of a datacenter`},
		{ok + `node_meta = { "a b" = "" }`, `t.hcl:2:1: node_meta: "a b" is not a key`},
		{ok + `node_meta = { a = "` + strings.Repeat("x", 513) + `" }`, `t.hcl:2:1: node_meta: the value of "a" has 513 bytes, more than 512`},
		{ok + "node_meta {\n" + metaPairs(65) + "}", `t.hcl:2:1: node_meta: 65 pairs are more than 64`},
		{`bind_addr = "{{ none }}"`, `t.hcl:1:1: bind_addr: template "{{ none }}" matches no address of this host`},
		{`bind_addr = "{{ two }}"`, `t.hcl:1:1: bind_addr: comes to 2 addresses: 10.0.0.5, 192.168.7.9 (choose one, such as bind_addr = "10.0.0.5")`},
		{`bind_addr = "{{ wrong }}"`, `t.hcl:1:1: bind_addr: template "{{ wrong }}": function not defined`},
		{`bind_addr = "eth0"`, `t.hcl:1:1: bind_addr: "eth0" is not an IP address`},
		{`bind_addr = "127.0.0.9"`, `t.hcl:1:1: bind_addr: cannot listen on 127.0.0.9: cannot assign requested address (this host has 127.0.0.1, 10.0.0.5, 192.168.7.9)`},
		{ok + `client_addr = "10.0.0.5 10.9.9.9"`, `t.hcl:2:1: client_addr: cannot listen on 10.9.9.9`},
		{ok + `client_addr = ""`, `t.hcl:2:1: client_addr: no address`},
		{ok + `advertise_addr = "0.0.0.0"`, `t.hcl:2:1: advertise_addr: 0.0.0.0 is no address of one host`},
		{ok + `retry_join = ["http://x"]`, `t.hcl:2:1: retry_join: "http://x" is not an address (host, host:port`},
		{ok + `retry_join = [""]`, `t.hcl:2:1: retry_join: "" is not an address`},
		{ok + `retry_join = ["a:0"]`, `t.hcl:2:1: retry_join: "a:0" is not an address`},
		{ok + `retry_join = ["provider=aws tag_key=x"]`, `t.hcl:2:1: retry_join: "provider=aws tag_key=x" is not an address (providers of clouds`},
		{ok + `retry_join = ["exec=prog"]`, `t.hcl:2:1: retry_join: "exec=prog" is not the path of a program`},
		{ok + `retry_join = ["exec=/nowhere"]`, `t.hcl:2:1: retry_join: "exec=/nowhere": no such file`},
		{ok + `retry_join = ["exec=` + file + `"]`, `t.hcl:2:1: retry_join: "exec=` + file + `" is not executable`},
		{ok + `data_dir = "` + file + `"`, `t.hcl:2:1: data_dir: ` + file + ` is not a directory`},
		{ok + `data_dir = "` + file + `/sub/dir"`, `t.hcl:2:1: data_dir: ` + file + ` is not a directory`},
		{ok + `log_file = "` + dir + `"`, `t.hcl:2:1: log_file: ` + dir + ` is a directory`},
		{ok + `tls { cert_file = "` + file + `" }`, `tls.ca_file: is missing beside`},
		{ok + `tls { ca_file = "` + file + `" }`, `t.hcl:2:7: tls.ca_file: ` + file + ` holds no certificate`},
		{ok + "tls {\n http {\n  cert_file = \"/nowhere\"\n  key_file = \"/nowhere2\"\n }\n}", `t.hcl:4:3: tls.http.cert_file: /nowhere: no such file`},
		{ok + "performance {\n raft_multiplier = 11\n}", `t.hcl:3:2: performance.raft_multiplier: 11 is above 10`},
		{ok + `retry_interval = "1ms"`, `t.hcl:2:1: retry_interval: 1ms is below 100ms`},
		{ok + "limits {\n rpc_rate = -1\n}", `t.hcl:3:2: limits.rpc_rate: -1 is below 0`},
		{ok + "limits {\n kv_value_bytes_max = 2000000\n}", `limits.txn_bytes_max: 1048576 is below limits.kv_value_bytes_max, 2000000`},
		{ok + "raft_logstore {\n backend = \"sqlite\"\n}", `t.hcl:3:2: raft_logstore.backend: "sqlite" is not a log store (wal or boltdb)`},
		{ok + "gossip_lan {\n probe_timeout = \"2s\"\n}", `t.hcl:3:2: gossip_lan.probe_timeout: 2s is not below probe_interval, 1s`},
		{ok + `log_rotate_bytes = 10`, `t.hcl:2:1: log_rotate_bytes: 10 is below 65536`},
	} {
		found := false
		ps := problems(t, tc.text)
		for _, p := range ps {
			found = found || strings.HasPrefix(p.String(), tc.want)
		}
		if !found {
			t.Errorf("%s\n got %v\nwant %s", tc.text, ps, tc.want)
		}
	}
}

// TestWhatAStartWouldRefuseIsFound: that only trying shows.
func TestWhatAStartWouldRefuseIsFound(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(t.TempDir(), "open")
	junk := filepath.Join(t.TempDir(), "junk")
	for d, mode := range map[string]os.FileMode{open: 0o644, junk: 0o600} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(write(t, d, "node.key", "junk"), mode); err != nil {
			t.Fatal(err)
		}
	}
	cert, key, ca := nodeCert(t, dir, "client.dc1.debros")
	files := fmt.Sprintf("\ntls {\n ca_file = %q\n cert_file = %q\n key_file = %q\n}\n", ca, cert, key)
	server := ok + "server = true\ndata_dir = \"" + dir + "\""
	for _, tc := range []struct{ text, want string }{
		{ok + `data_dir = "/proc/nope"`, "t.hcl:2:1: data_dir: nothing can be created in /proc"},
		{ok + `log_file = "/proc/nope/x.log"`, "t.hcl:2:1: log_file: nothing can be created in /proc"},
		{ok + `data_dir = "` + open + `"`, "t.hcl:2:1: data_dir: node key " + open + "/node.key is open to every user (mode 0644)"},
		{ok + `data_dir = "` + junk + `"`, "t.hcl:2:1: data_dir: node key " + junk + "/node.key: not a PEM private key"},
		{server + files, "t.hcl:6:2: tls.cert_file: "},
		{ok + files, ""},
		{ok + `datacenter = "dc2"` + files, "t.hcl:5:2: tls.cert_file: "},
		{ok + `cluster_key_file = "/nowhere/key"`, "t.hcl:2:1: cluster_key_file: /nowhere/key: no such file"},
	} {
		if strings.Contains(tc.text, "/proc/") && os.Geteuid() != 0 {
			continue // only a warning, as of any place that this user may not write to
		}
		ps := problems(t, tc.text)
		if tc.want == "" && len(ps) > 0 || tc.want != "" && (len(ps) != 1 || !strings.HasPrefix(ps[0].String(), tc.want)) {
			t.Errorf("%s\n got %v\nwant %s", tc.text, ps, tc.want)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".debros-*")); len(left) > 0 {
		t.Errorf("trying left %v behind", left)
	}
}

func metaPairs(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d = \"v\"\n", i)
	}
	return b.String()
}

func TestWarningsDoNotPreventAStart(t *testing.T) {
	dir := t.TempDir()
	key := write(t, dir, "key", testKey+"\n")
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ args, want string }{
		{"-server -data-dir=" + dir + " -bind=127.0.0.1 -bootstrap-expect=2", "bootstrap_expect: with 2 servers"},
		{"-server -data-dir=" + dir + " -bind=127.0.0.1 -bootstrap-expect=4", "bootstrap_expect: 4 servers survive no more failures than 3"},
		{"-bind=127.0.0.1 -client=0.0.0.0", "client_addr: anybody who reaches port 5001"},
		{"-insecure", "insecure: gossip and RPC on 192.168.7.9 are not encrypted"},
		{"-cluster-key-file=" + key, "cluster_key_file: " + key + " can be read by other users (mode 0644)"},
		{"-cluster-key=" + testKey, "cluster_key: other users of this machine"},
	} {
		c, warnings := load(t, LoadOptions{Flags: parseFlags(t, strings.Fields(tc.args)...)})
		if len(warnings) != 1 || !strings.Contains(warnings[0].String(), tc.want) {
			t.Errorf("%s: got %v, want %s", tc.args, warnings, tc.want)
		}
		if strings.Contains(tc.args, "key") && c.ClusterKey != testKey {
			t.Errorf("%s: key %q", tc.args, c.ClusterKey.Reveal())
		}
	}
}

func TestBindAddressIsTheDefaultRoutes(t *testing.T) {
	noRoute := func() (netip.Addr, bool) { return netip.Addr{}, false }
	for _, tc := range []struct {
		change                func(*environment)
		args                  string
		bind, advertise, note string
	}{
		{nil, "", "192.168.7.9", "192.168.7.9", "chose 192.168.7.9 of eth1, the interface of the default route"},
		{func(e *environment) { e.route = noRoute }, "", "10.0.0.5", "10.0.0.5", "no default route: chose 10.0.0.5 of eth0, the first private address"},
		{func(e *environment) {
			e.route = noRoute
			e.addrs = func() ([]local, error) { return nil, errors.New("none") }
		}, "", "127.0.0.1", "127.0.0.1", "chose loopback"},
		{nil, "-bind=0.0.0.0", "0.0.0.0", "192.168.7.9", "advertise_addr is not set: chose 192.168.7.9"},
		{nil, "-bind=10.0.0.5 -advertise=203.0.113.7", "10.0.0.5", "203.0.113.7", ""},
		{nil, "-bind={{one}} -advertise={{one}}", "10.0.0.5", "10.0.0.5", ""},
		{nil, "-dev", "127.0.0.1", "127.0.0.1", ""},
	} {
		h := testHost()
		if tc.change != nil {
			tc.change(h)
		}
		c, _ := load(t, LoadOptions{Env: env("DEBROS_CLUSTER_KEY", testKey), Flags: parseFlags(t, strings.Fields(tc.args)...), host: h})
		a := c.Addrs
		if a.Bind.String() != tc.bind || a.Advertise.String() != tc.advertise || !strings.Contains(a.Note, tc.note) || (tc.note == "") != (a.Note == "") {
			t.Errorf("%q: got %+v", tc.args, a)
		}
	}
}

func TestThisHostHasAnAddressToBind(t *testing.T) {
	a, note := host().chooseBind()
	if err := canBind(a); err != nil || note == "" {
		t.Errorf("chose %s (%s): %v", a, note, err)
	}
	if as, err := host().resolve(`{{ GetAllInterfaces | include "name" "^lo" | include "type" "IPv4" | limit 1 | attr "address" }}`); err != nil || !loopback(as) {
		t.Errorf("template of the loopback: %v, %v", as, err)
	}
}

func TestTLSFilesAreReallyRead(t *testing.T) {
	dir := t.TempDir()
	cert, key, ca := nodeCert(t, dir, "client.dc1.debros")
	text := ok + fmt.Sprintf("tls {\n ca_file = %q\n cert_file = %q\n key_file = %q\n}", ca, cert, key)
	if ps := problems(t, text); len(ps) > 0 {
		t.Errorf("good files: %v", ps)
	}
	_, other := selfSigned(t, t.TempDir())
	text = strings.Replace(text, key, other, 1)
	if ps := problems(t, text); len(ps) != 1 || !strings.Contains(ps[0].String(), "private key does not match") {
		t.Errorf("another's key: %v", ps)
	}
}
