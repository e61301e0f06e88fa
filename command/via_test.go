package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/debros/debros/agent/agenttest"
)

func TestViaAsksAnAgentThroughLibp2p(t *testing.T) {
	n := agenttest.Start(t, agenttest.Spec{Name: "s1", Server: true, Expect: 1, Key: agenttest.Key(), Overlay: true})
	if err := n.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	self := n.Overlay().Self()
	var addrs []string
	for _, a := range self.Listen {
		addrs = append(addrs, a.String()+"/p2p/"+self.ID.String())
	}
	c := newCLIFor(t, n, "default")
	t.Setenv("DEBROS_HTTP_ADDR", "127.0.0.1:1") // nobody
	for _, addr := range append(addrs, strings.Join(addrs, ",")) {
		c.ok("kv", "put", "-via="+addr, "a", addr)
		if got := c.ok("kv", "get", "-via="+addr, "a"); got != addr {
			t.Errorf("-via=%s: got %q", addr, got)
		}
	}
	c.contains(c.ok("members", "-format=json", "-via="+addrs[0]), `"Name": "s1"`)
	file := filepath.Join(t.TempDir(), "snapshot.tar.gz")
	c.ok("snapshot", "save", "-via="+addrs[0], file)
	if info, err := os.Stat(file); err != nil || info.Size() == 0 {
		t.Errorf("snapshot: %v, %v", info, err)
	}
	t.Setenv("DEBROS_VIA", addrs[0])
	c.ok("kv", "get", "a")
	c.contains(c.fails(1, "kv", "get", "-http-addr=127.0.0.1:1", "a"), "127.0.0.1:1") // it is nearer than the variable
}

func TestViaSaysWhatIsWrongWithAnAddress(t *testing.T) {
	c := newCLI(t)
	const id = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
	c.contains(c.fails(2, "kv", "get", "-via=nonsense", "a"), "-via: ", "multiaddr")
	c.contains(c.fails(2, "kv", "get", "-via=/ip4/127.0.0.1/tcp/1", "a"), "/p2p/<id>")
	c.contains(c.fails(2, "kv", "get", "-via=/ip4/127.0.0.1/tcp/1/p2p/"+id, "-http-addr=127.0.0.1:1", "a"), "give one of them")
	c.contains(c.fails(1, "kv", "get", "-via=/ip4/127.0.0.1/tcp/1/p2p/"+id, "a"), id, "connection refused", "\nhint: is the agent running")
}
