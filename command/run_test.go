package command

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
)

// shared is a real agent for all tests that leave it as it is. TestMain closes it.
var shared agenttest.Shared

// harness runs command lines in this process, against a real agent with a Front before it.
type harness struct {
	t     *testing.T
	front *agenttest.Front
	api   *api.Client // of the same namespace, past the front
}

// newCLI runs command lines in a namespace of the test's.
func newCLI(t *testing.T) *harness {
	t.Helper()
	return newCLIFor(t, shared.Node(), shared.Namespace())
}

func newCLIFor(t *testing.T, n *agenttest.Node, namespace string) *harness {
	t.Helper()
	for _, name := range []string{"HTTP_ADDR", "HTTP_TOKEN", "HTTP_TOKEN_FILE", "NAMESPACE", "DATACENTER", "CACERT", "CLIENT_CERT", "CLIENT_KEY", "HTTP_SSL", "HTTP_SSL_VERIFY", "TLS_SERVER_NAME"} {
		t.Setenv("DEBROS_"+name, "")
		t.Setenv("CONSUL_"+name, "")
	}
	f := agenttest.NewFront(t, n)
	t.Setenv("DEBROS_HTTP_ADDR", f.URL)
	t.Setenv("DEBROS_NAMESPACE", namespace)
	client, err := api.New(api.Config{Address: n.API.Address(), Namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &harness{t: t, front: f, api: client}
}

// endSessions ends every session of the namespace.
func (c *harness) endSessions() {
	c.t.Helper()
	all, _, err := c.api.Session().List(c.t.Context(), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, s := range all {
		if _, err := c.api.Session().Destroy(c.t.Context(), s.ID, nil); err != nil {
			c.t.Fatal(err)
		}
	}
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

// settles is ok for what a busy cluster may refuse for a moment: it changes its leader, and members
// answer late.
func (c *harness) settles(args ...string) string {
	c.t.Helper()
	var r result
	if err := until(func() error {
		if r = c.run(args...); r.status != 0 || r.stderr != "" {
			return fmt.Errorf("debros %s: status %d, stderr %q", strings.Join(args, " "), r.status, r.stderr)
		}
		return nil
	}); err != nil {
		c.t.Fatal(err)
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
