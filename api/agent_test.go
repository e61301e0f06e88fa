package api_test

import (
	"os"
	"testing"
	"time"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
)

// shared is a real agent for all tests and examples that leave it as it is.
var shared agenttest.Shared

func TestMain(m *testing.M) {
	status := m.Run()
	shared.Close()
	os.Exit(status)
}

// namespaced is a client that repeats soon.
func namespaced(t *testing.T, address, namespace string) *api.Client {
	t.Helper()
	client, err := api.New(api.Config{
		Address: address, Namespace: namespace,
		Retry: api.RetryPolicy{Max: 3, WaitMin: time.Millisecond, WaitMax: 5 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// newClient is a client of the agent, in a namespace of the test's.
func newClient(t *testing.T) *api.Client {
	t.Helper()
	return namespaced(t, shared.Node().API.Address(), shared.Namespace())
}

// fronted is what stands before the agent for one test.
type fronted struct {
	*agenttest.Front
	namespace string
}

// newFrontedClient is newClient with faults on demand.
func newFrontedClient(t *testing.T) (*api.Client, fronted) {
	t.Helper()
	f := fronted{agenttest.NewFront(t, shared.Node()), shared.Namespace()}
	return namespaced(t, f.URL, f.namespace), f
}
