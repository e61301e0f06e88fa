package agent_test

import (
	"testing"
	"time"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
)

func TestHealthIsWhatUsersOfTheAgentMeet(t *testing.T) {
	t.Parallel()
	alone := agenttest.Start(t, agenttest.Spec{Name: "s1", Server: true, Expect: 3})
	h, err := alone.API.Agent().Health(t.Context(), time.Second)
	if err != nil || h.Status != api.HealthUnhealthy || h.Node != "s1" {
		t.Fatalf("%+v, %v", h, err)
	}
	for _, c := range h.Checks {
		if c.OK || c.Error == "" || !c.Needed {
			t.Errorf("without a leader: %+v", c)
		}
	}
	c := agenttest.Cluster(t, 1, 1, overlayOn)
	for _, n := range c.Nodes() { // servers and clients alike
		agenttest.Eventually(t, n.Spec.Name+" to be healthy", func() bool {
			h, err := n.API.Agent().Health(t.Context(), 0)
			return err == nil && h.Status == api.HealthHealthy && len(h.Checks) == 5 && h.Millis > 0
		})
	}
}
