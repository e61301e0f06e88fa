package command

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
)

func TestKVCommandsWriteReadListAndDelete(t *testing.T) {
	c := newCLI(t)
	file := filepath.Join(t.TempDir(), "value")
	if err := os.WriteFile(file, []byte("from a file\n\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.ok("kv", "put", "a/1", "one")
	c.ok("kv", "put", "a/2", "@"+file)
	c.ok("kv", "put", "-base64", "a/3", "dGhyZWU=")
	c.ok("kv", "put", "a/4", `\@four`)
	c.ok("kv", "put", "--", "a/5", "-five")
	c.ok("kv", "put", "empty")
	if r := c.in("from stdin", "kv", "put", "a/6", "-"); r.status != 0 {
		t.Fatal(r)
	}
	for key, want := range map[string]string{"a/1": "one", "a/2": "from a file\n\x00", "a/3": "three", "a/4": "@four", "a/5": "-five", "a/6": "from stdin", "empty": ""} {
		if got := c.ok("kv", "get", key); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
	c.contains(c.ok("kv", "get", "-recurse", ""), "a/1:one\n", "empty:\n")
	if got := c.ok("kv", "get", "-keys", "-separator=/", ""); got != "a/\nempty\n" {
		t.Errorf("keys: %q", got)
	}
	if got := c.ok("kv", "list", "e"); got != "empty\n" {
		t.Errorf("list: %q", got)
	}
	if got := c.ok("kv", "get", "-count", "a/"); got != "6\n" {
		t.Errorf("count: %q", got)
	}
	c.contains(c.ok("kv", "get", "a/1", "-detailed"), "ModifyIndex", "Value        one")
	c.contains(c.fails(1, "kv", "get", "nothing"), `debros: no key "nothing"`)
	c.ok("kv", "delete", "a/1")
	c.ok("kv", "delete", "-recurse", "a/")
	if got := c.ok("kv", "list"); got != "empty\n" {
		t.Errorf("after deletion: %q", got)
	}
	c.contains(c.fails(1, "kv", "delete", "-recurse", ""), "-yes does it without asking")
	if r := c.in("delete\n", "kv", "delete", "-recurse", ""); r.status != 0 {
		t.Errorf("confirmed: %+v", r)
	}
	if got := c.ok("kv", "get", "-recurse", "-format=json", ""); got != "[]\n" {
		t.Errorf("empty tree: %q", got)
	}
}

func TestKVPutConditions(t *testing.T) {
	c := newCLI(t)
	c.ok("kv", "put", "-cas=0", "-flags=18446744073709551615", "-ttl=1h", "k", "v")
	c.contains(c.fails(1, "kv", "put", "-cas=0", "k", "w"), "debros: not written", "hint: debros kv get -detailed k")
	c.contains(c.ok("kv", "get", "-detailed", "k"), "18446744073709551615", "ExpiresAt")
	id := strings.TrimSpace(c.ok("session", "create", "-name=me", "-ttl=15s"))
	c.ok("kv", "put", "-acquire="+id, "lock")
	other := strings.TrimSpace(c.ok("session", "create"))
	c.contains(c.fails(1, "kv", "put", "-acquire="+other, "lock"), "locked by another session")
	c.contains(c.fails(1, "kv", "put", "-release="+other, "lock"), "not locked by session")
	c.ok("kv", "put", "-release="+id, "lock")
	c.fails(1, "kv", "delete", "-cas=1", "k")
	c.contains(c.ok("session", "info", id), "me", "15s")
	c.contains(c.ok("session", "list"), id, other)
	c.contains(c.ok("session", "renew", id), id)
	c.ok("session", "destroy", id)
	c.contains(c.fails(1, "session", "renew", id), "no session")
	c.fails(1, "session", "info", id)
}

func TestCommandLinesThatMakeNoSenseEndWithStatus2(t *testing.T) {
	c := newCLI(t)
	for _, line := range []string{
		"nonsense", "kv", "kv nonsense", "kv get a b", "kv get -recurse -keys a", "kv get -keys -count a", "kv get -recurse -count a", "kv put", "kv put -unknown a b", "kv put -cas=x a b", "kv put -ttl=0 a b", "kv put -ttl=-1s a b", "kv put -cas=1 -acquire=s a b",
		"members -format=xml", "members extra", "members -status=(", "watch", "watch -key=a -prefix=b", "lock", "lock p", "lock -n=0 p true",
		"operator raft remove-peer", "operator raft recover", "keyring -list -use=x", "completion", "completion tcsh", "kv import -parallel=0 -",
		"kv delete", "rtt", "join", "session create -ttl=soon", "operator raft recover -data-dir=x -server=nonsense",
	} {
		stderr := c.fails(2, strings.Fields(line)...)
		if stderr == "" {
			t.Errorf("debros %s: nothing on stderr", line)
		}
	}
	if asked := c.front.Asked(); len(asked) > 0 {
		t.Errorf("the agent was asked: %v", asked)
	}
}

func TestHelpGoesToStdoutAndNamesEveryFlag(t *testing.T) {
	c := newCLI(t)
	for _, make := range registry() {
		cmd := make()
		got := c.ok(append(strings.Fields(cmd.name), "-h")...)
		c.contains(got, "Usage: debros "+cmd.name, cmd.synopsis)
		if cmd.run == nil {
			continue
		}
		(&call{cmd: cmd}).flagSet().VisitAll(func(f *flag.Flag) { c.contains(got, "\n  -"+flagForm(f)+"\n") })
	}
}

func TestErrorsHaveAMessageAndAHint(t *testing.T) {
	c := newCLI(t)
	got := c.fails(1, "members", "-http-addr=127.0.0.1:1")
	c.contains(got, "debros: no answer from the agent at 127.0.0.1:1", "\nhint: is an agent running there?")
	if strings.Contains(got, "\x1b") {
		t.Errorf("colours without a terminal: %q", got)
	}
	c.contains(c.fails(1, "members", "-http-addr=ftp://x"), "scheme", "hint: check -http-addr")
	c.contains(c.fails(1, "kv", "put", "big", strings.Repeat("x", 1<<20)), "the limit is 524288 bytes", "hint: ")
	c.front.Fail(403)
	c.contains(c.fails(1, "members"), "hint: wait")
}

func TestFlagsCountMoreThanTheEnvironment(t *testing.T) {
	c := newCLI(t)
	t.Setenv("DEBROS_NAMESPACE", "env")
	t.Setenv("DEBROS_HTTP_TOKEN", "env-token")
	c.run("kv", "get", "k", "-stale")
	c.run("kv", "get", "-ns=flag", "k")
	c.contains(strings.Join(c.front.Asked(), "\n"), "/v1/kv/k?ns=env&stale=", "/v1/kv/k?ns=flag")
	f := commonFlags{tokenFile: "f"}
	if cfg := f.config(); cfg.Token != "" || cfg.TokenFile != "f" {
		t.Errorf("-token-file loses to DEBROS_HTTP_TOKEN: %+v", cfg)
	}
	f = commonFlags{caFile: "ca"}
	if cfg := f.config(); cfg.TLS == nil || cfg.TLS.CAFile != "ca" {
		t.Errorf("TLS %+v", cfg.TLS)
	}
}

func TestFlagsMayStandAnywhereButNotBehindAChild(t *testing.T) {
	c := newCLI(t)
	c.ok("kv", "put", "a", "-flags=3", "v", "-ttl=1m")
	c.contains(c.ok("kv", "get", "a", "-detailed"), "Flags        3")
	if r := c.run("lock", "-ttl=20s", "p", "sh", "-c", "echo $0 $1", "-h", "--help"); r.status != 0 || r.stdout != "-h --help\n" {
		t.Errorf("got %+v", r)
	}
}

// Every command with a result gives JSON on request.
func TestEveryResultIsJSONOnRequest(t *testing.T) {
	cluster := agenttest.Cluster(t, 3, 1)
	leader := cluster.Leader()
	c := newCLIFor(t, leader, "")
	dir := t.TempDir()
	file := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	c.ok("kv", "put", "k", "v")
	id := strings.TrimSpace(c.ok("session", "create"))
	snap := filepath.Join(dir, "s.snap")
	key := strings.TrimSpace(c.ok("keygen"))
	client, follower := cluster.Clients[0], cluster.Follower()
	agenttest.Eventually(t, "coordinates of both", func() bool { return c.run("rtt", follower.Spec.Name, "c1").status == 0 })
	for _, line := range []string{
		"members", "members -detailed", "join " + client.GossipAddr(), "kv put a b", "kv get k", "kv get -recurse k",
		"kv get -keys k", "kv get -count k", "kv list", "kv export", "kv delete a", "session create", "session list", "session info " + id,
		"session renew " + id, "session destroy " + id, "namespace create -description=x -meta=a=b shop", "namespace list", "namespace read shop",
		"namespace update shop", "namespace delete -yes shop", "operator raft list-peers",
		"operator autopilot get-config", "operator autopilot set-config -min-quorum=3", "operator autopilot health",
		"operator autopilot state", "snapshot save " + snap, "snapshot inspect " + snap, "snapshot restore " + snap, "keygen", "keyring", "keyring -install=" + key, "keyring -use=" + key,
		"reload", "info", "rtt " + follower.Spec.Name + " c1", "rtt c1", "version", "watch -once -key=k", "watch -once -prefix=k",
		"txn " + file("txn.json", `[{"KV":{"Verb":"set","Key":"t","Value":"eA=="}}]`),
		"kv import " + file("pairs.json", `[{"key":"i","flags":0,"value":"eA=="}]`),
		"debug -duration=1ms -output=" + filepath.Join(dir, "d.tar.gz"),
		"leave -http-addr=" + client.API.Address(), "force-leave -prune c1",
		"operator raft transfer-leader", "operator raft remove-peer -id=" + string(leader.Member.ID), // a follower by now
	} {
		out := c.settles(append(strings.Fields(line), "-format=json")...)
		if strings.HasPrefix(line, "watch") {
			out = c.settles(append([]string{"watch", "-format=json"}, strings.Fields(line)[1:]...)...)
		}
		var v any
		if err := json.Unmarshal([]byte(out), &v); err != nil || v == nil {
			t.Errorf("debros %s: %v in %q", line, err, out)
		}
	}
}

func TestTablesShowTheCluster(t *testing.T) {
	// A dead server would be cleaned up, and the rest be healthy again.
	cluster := agenttest.Cluster(t, 3, 0, func(s *agenttest.Spec) {
		s.HCL = "autopilot { cleanup_dead_servers = false }"
		s.Env = map[string]string{}
	})
	leader, dead := cluster.Leader(), cluster.Follower()
	c := newCLIFor(t, leader, "")
	agenttest.Eventually(t, "coordinates of all", func() bool { return c.run("rtt", leader.Spec.Name, dead.Spec.Name).status == 0 })
	dead.Shutdown()
	agenttest.Eventually(t, dead.Spec.Name+" to be failed", func() bool { return c.run("members", "-status=failed").status == 0 })
	row := func(n *agenttest.Node, status string) string {
		return fmt.Sprintf("%-4s  %-15s  %-6s  server", n.Spec.Name, n.GossipAddr(), status)
	}
	c.contains(c.ok("members"), "Node  Address", row(leader, "alive"), row(dead, "failed"))
	if strings.Contains(c.ok("members", "-status=alive"), dead.GossipAddr()) {
		t.Error("-status shows others")
	}
	if r := c.run("members", "-status=left"); r.status != 1 || r.stderr != "" {
		t.Errorf("no such member: %+v", r)
	}
	c.contains(c.ok("members", "-detailed"), "dc=dc1")
	c.contains(c.ok("operator", "raft", "list-peers"), "leader", "follower")
	agenttest.Eventually(t, "the cluster to be unhealthy", func() bool {
		r := c.run("operator", "autopilot", "health")
		return r.status == 1 && strings.Contains(r.stdout, "Healthy: false")
	})
	c.contains(c.ok("info"), "raft:\n", "\tstate = Leader\n")
	c.contains(c.ok("rtt", leader.Spec.Name, dead.Spec.Name), leader.Spec.Name+" <-> "+dead.Spec.Name+": ", " ms\n")
	c.contains(c.fails(1, "rtt", "s1", "s9"), "no coordinate")
	c.contains(c.settles("keyring"), "dc1", "2/2")
	leader.Spec.Env["DEBROS_LOG_LEVEL"], leader.Spec.Env["DEBROS_DATACENTER"] = "debug", "dc2"
	c.contains(c.ok("reload"), "Changed: log_level", "Needs a restart: datacenter")
}

func TestListPeersNamesServersOfOtherClusters(t *testing.T) {
	key := agenttest.Key()
	a := agenttest.Start(t, agenttest.Spec{Name: "a1", Server: true, Expect: 1, Key: key})
	b := agenttest.Start(t, agenttest.Spec{Name: "b1", Server: true, Expect: 1, Key: key})
	c := newCLIFor(t, a, "")
	for _, n := range []*agenttest.Node{a, b} { // or b1 might join a1 before it has founded a cluster
		agenttest.Eventually(t, n.Spec.Name+" to lead", func() bool { return clusterID(t, n) != "" })
	}
	c.ok("join", b.GossipAddr())
	agenttest.Eventually(t, "the refusal", func() bool { return strings.Contains(c.ok("operator", "raft", "list-peers"), "Kept out") })
	c.contains(c.ok("operator", "raft", "list-peers"), "Kept out of this cluster ("+clusterID(t, a)+")",
		string(b.Member.ID), clusterID(t, b), "belongs to another cluster")
	c.contains(c.ok("operator", "raft", "list-peers", "-format=json"), `"ClusterID": "`+clusterID(t, a), `"Refused"`)
	c.contains(c.ok("info"), "cluster_id = "+clusterID(t, a))
}

func clusterID(t *testing.T, n *agenttest.Node) string {
	t.Helper()
	conf, err := n.API.Operator().RaftConfiguration(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return conf.ClusterID
}

func TestNamespaceDeletionAsksForTheName(t *testing.T) {
	c := newCLI(t)
	c.ok("namespace", "create", "shop")
	if r := c.in("shoe\n", "namespace", "delete", "shop"); r.status != 1 {
		t.Errorf("wrong name: %+v", r)
	}
	c.contains(c.fails(1, "namespace", "delete", "shop"), "nobody confirmed")
	c.ok("namespace", "read", "shop")
	if r := c.in("shop\n", "namespace", "delete", "shop"); r.status != 0 {
		t.Errorf("right name: %+v", r)
	}
	c.contains(c.fails(1, "namespace", "read", "shop"), "no namespace")
}

func TestAMissingNamespaceIsNamed(t *testing.T) {
	c := newCLI(t)
	for _, line := range []string{
		"kv get -ns=nope k", "kv get -ns=nope -recurse k", "kv get -ns=nope -count k", "kv get -ns=nope -keys k", "kv list -ns=nope", "kv export -ns=nope",
		"namespace read nope", "namespace delete nope",
	} {
		r := c.run(strings.Fields(line)...)
		if r.status != exitFailed || r.stdout != "" || !strings.HasPrefix(r.stderr, `debros: no namespace "nope"`+"\nhint: debros namespace list") {
			t.Errorf("debros %s: %+v", line, r)
		}
	}
	if r := c.run("namespace", "delete", "default"); r.status != exitFailed || !strings.HasPrefix(r.stderr, "debros: the namespace \"default\" cannot be deleted") {
		t.Errorf("default: %+v", r)
	}
	for _, line := range []string{"kv list", "kv list -ns=default no/such", "kv export"} { // empty, but there
		if got := c.ok(strings.Fields(line)...); got != "" {
			t.Errorf("debros %s: %q", line, got)
		}
	}
}

func TestWhatOthersWroteCannotSteerTheTerminal(t *testing.T) {
	c := newCLI(t)
	hostile := &api.Namespace{Name: "hostile", Description: "\x1b]0;owned\x07\x1b[2J\ttab"}
	if _, _, err := c.api.Namespaces().Create(t.Context(), hostile, nil); err != nil {
		t.Fatal(err)
	}
	defer c.api.Namespaces().Delete(t.Context(), hostile.Name, nil)
	if got := c.ok("namespace", "list"); strings.ContainsAny(got, "\x1b\x07") {
		t.Errorf("got %q", got)
	}
}

func TestWhatCannotBePrintedIsEscaped(t *testing.T) {
	for in, want := range map[string]string{
		"a\tb\r\n": `a b\r\n`, "\x1b[2J\x07": `\x1b[2J\a`, "\xff\x00é世": `\xff\x00é世`, "\u202e'\u00a0\ufffd": "\\u202e'\\u00a0\ufffd",
	} {
		if got := printable(in, false); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got := printable("a\n\t* b", true); got != "a\n * b" {
		t.Errorf("lines: %q", got)
	}
	c := newCLI(t)
	c.ok("kv", "put", "greeting", "hello\n")
	c.contains(c.ok("kv", "get", "-detailed", "greeting"), `  hello\n`)
}

func TestCompletionKnowsCommandsAndFlags(t *testing.T) {
	for _, tc := range []struct {
		words string
		want  string
	}{
		{"|", "agent backup completion connect"},
		{"k|", "keygen keyring kv"},
		{"kv |p", "put"},
		{"operator |", "autopilot raft verify"},
		{"kv put |-c", "-ca-file= -cas= -client-cert= -client-key= -consistency="},
		{"kv put key |--ca", "-ca-file= -cas="},
		{"nonsense |", ""},
		{"lock p |-n", "-n= -name= -ns="},
	} {
		words := strings.Split(strings.ReplaceAll(tc.words, "|", ""), " ")
		got := strings.Join(completions(words), " ")
		if got != tc.want && !(tc.words == "|" && strings.HasPrefix(got, tc.want)) {
			t.Errorf("%q: got %q, want %q", tc.words, got, tc.want)
		}
	}
	c := newCLI(t)
	for _, shell := range []string{"bash", "zsh", "fish"} {
		c.contains(c.ok("completion", shell), "debros completion words")
	}
	if got := c.ok("completion", "words", "--", "kv", "exp"); got != "export\n" {
		t.Errorf("got %q", got)
	}
}
