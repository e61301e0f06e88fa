package agent_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/agent/config"
	"github.com/debros/debros/structs"
)

// overlayOn puts an agent on the overlay, at a free port.
func overlayOn(s *agenttest.Spec) { s.Overlay = true }

func TestMembersOfTheLANArePeersWithoutABootstrapAddress(t *testing.T) {
	c := agenttest.Cluster(t, 2, 1, overlayOn)
	for _, n := range c.Nodes() {
		for _, m := range c.Nodes() {
			if n == m {
				continue
			}
			agenttest.Eventually(t, n.Spec.Name+" to have "+m.Spec.Name+" for a peer", func() bool {
				for _, p := range n.Overlay().Peers() {
					if structs.NodeID(p.ID.String()) == m.Member.ID && p.Member {
						return true
					}
				}
				return false
			})
		}
	}
}

func TestAnAgentOfAnotherClusterIsNoPeer(t *testing.T) {
	c := agenttest.Cluster(t, 1, 0, overlayOn)
	boot := c.Servers[0].Overlay().Self()
	other := agenttest.Start(t, agenttest.Spec{
		Name: "x", Server: true, Expect: 1, Key: agenttest.Key(), Overlay: true,
		HCL: `overlay { bootstrap = ["` + boot.Listen[0].String() + "/p2p/" + boot.ID.String() + `"] }`,
	})
	agenttest.Eventually(t, "the bootstrap peer to be refused", func() bool {
		for _, p := range other.Overlay().Peers() {
			if p.ID == boot.ID {
				return p.Err != nil && !p.Member
			}
		}
		return false
	})
	if n := len(c.Servers[0].Overlay().Members()); n != 0 {
		t.Errorf("%d members", n)
	}
}

func TestTheOverlayIsOffForNodesWithoutADirectory(t *testing.T) {
	for text, want := range map[string]bool{
		``:                                 false,
		`data_dir = "` + t.TempDir() + `"`: true,
		`dev = true`:                       true,
		`overlay { enabled = true }`:       true,
		`dev = true
		 overlay { enabled = false }`: false,
		`dev = true
		 ports { overlay = -1 }`: false,
	} {
		file := filepath.Join(t.TempDir(), "agent.hcl")
		if err := os.WriteFile(file, []byte("bind_addr = \"127.0.0.1\"\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, _, err := config.Load(config.LoadOptions{Files: []string{file}})
		if err != nil {
			t.Fatal(err)
		}
		if cfg.OverlayOn() != want {
			t.Errorf("%q: overlay %t", text, !want)
		}
	}
}

// The key of a copied directory is in use: across networks, where no gossip could tell.
func TestTheSecondAgentWithANodeKeyStops(t *testing.T) {
	c := agenttest.Cluster(t, 1, 0, overlayOn)
	boot := c.Servers[0].Overlay().Self()
	edge := func(name, dir string) agenttest.Spec {
		return agenttest.Spec{
			Name: name, Dir: dir, Key: c.Key, Overlay: true,
			HCL: `overlay { bootstrap = ["` + boot.Listen[0].String() + "/p2p/" + boot.ID.String() + `"] }`,
		}
	}
	first := agenttest.Start(t, edge("e1", t.TempDir()))
	agenttest.Eventually(t, "the first to be a member", func() bool { return len(first.Overlay().Members()) == 1 })
	key, err := os.ReadFile(filepath.Join(first.Spec.Dir, "node.key"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "node.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	second, err := agenttest.TryStart(t, edge("e2", dir))
	if err == nil { // else it was found while it started
		select {
		case <-second.Done():
		case <-time.After(agenttest.Patience):
			t.Fatal("the second agent with one node key goes on")
		}
		err = second.Err()
	}
	if !errors.Is(err, structs.ErrConflict) {
		t.Errorf("it stopped with %v", err)
	}
	// The key moved to another directory, once its agent has stopped, is the same peer.
	first.Shutdown()
	moved := agenttest.Start(t, edge("e3", dir))
	agenttest.Eventually(t, "the moved key to be a member", func() bool { return len(moved.Overlay().Members()) == 1 })
	if moved.Member.ID != first.Member.ID {
		t.Errorf("another peer: %s", moved.Member.ID)
	}
}
