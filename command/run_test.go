package command

import (
	"bytes"
	"github.com/debros/debros/test/fakeagent"
	"strings"
	"testing"
)

// harness runs command lines against a fake agent.
type harness struct {
	t     *testing.T
	agent *fakeagent.Agent
	addr  string
}

func newCLI(t *testing.T) *harness {
	t.Helper()
	for _, name := range []string{"HTTP_ADDR", "HTTP_TOKEN", "HTTP_TOKEN_FILE", "NAMESPACE", "DATACENTER", "CACERT", "CLIENT_CERT", "CLIENT_KEY", "HTTP_SSL", "HTTP_SSL_VERIFY", "TLS_SERVER_NAME"} {
		t.Setenv("DEBROS_"+name, "")
		t.Setenv("CONSUL_"+name, "")
	}
	f, server := fakeagent.New()
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	t.Setenv("DEBROS_HTTP_ADDR", server.URL)
	return &harness{t: t, agent: f, addr: server.URL}
}

type result struct {
	status         int
	stdout, stderr string
}

func (c *harness) in(stdin string, args ...string) result {
	var out, errs bytes.Buffer
	status := Run(args, IO{Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs})
	return result{status, out.String(), errs.String()}
}

func (c *harness) run(args ...string) result { return c.in("", args...) }

// ok runs a command that must succeed and gives what it printed.
func (c *harness) ok(args ...string) string {
	c.t.Helper()
	r := c.run(args...)
	if r.status != 0 || r.stderr != "" {
		c.t.Fatalf("debros %s: status %d, stderr %q", strings.Join(args, " "), r.status, r.stderr)
	}
	return r.stdout
}

// fails runs a command that must end with the status and say so on stderr, and gives that.
func (c *harness) fails(status int, args ...string) string {
	c.t.Helper()
	r := c.run(args...)
	if r.status != status {
		c.t.Fatalf("debros %s: status %d, want %d; stderr %q", strings.Join(args, " "), r.status, status, r.stderr)
	}
	return r.stderr
}

func (c *harness) contains(got string, wants ...string) {
	c.t.Helper()
	for _, want := range wants {
		if !strings.Contains(got, want) {
			c.t.Errorf("no %q in:\n%s", want, got)
		}
	}
}
