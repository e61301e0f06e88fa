//go:build unix

package test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/debros/debros/test/harness"
)

// idleMBMax is the memory of an agent with the overlay that has nothing to do.
const idleMBMax = 110

func TestIdleAgentsWithTheOverlayAreSmall(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: resident memory is read from /proc")
	}
	if _, err := os.Stat("../bin/debros"); err != nil {
		t.Skip("SKIPPED: no bin/debros (run make build)")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := harness.ForTest(t, harness.Config{Servers: 3, Clients: 2})
	server, err := c.Servers[0].API().Network().Self(ctx)
	if err != nil {
		t.Fatal(err)
	}
	edge, err := c.AddClient("edge")
	if err != nil {
		t.Fatal(err)
	}
	edge.JoinOverlay = server.Listen[0] + "/p2p/" + server.ID
	if err := edge.Start(); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes() {
		err := c.Wait(ctx, func(ctx context.Context) error {
			self, err := n.Quick().Network().Self(ctx)
			if err == nil && self.Members < len(c.Servers)-1 {
				err = fmt.Errorf("%s has %d members", n.Name, self.Members)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		mb, err := n.ResidentMB()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %.1f MB", n.Name, mb)
		if mb > idleMBMax {
			t.Errorf("%s takes %.1f MB, more than %d", n.Name, mb, idleMBMax)
		}
	}
}
