package agent_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
)

// edgeSpec is a client agent that knows one member of the overlay and nobody on the LAN.
func edgeSpec(key string, boot *agenttest.Node) agenttest.Spec {
	return agenttest.Spec{
		Name: "edge", Key: key, Overlay: true,
		HCL: fmt.Sprintf("overlay {\n bootstrap = [%q]\n discovery_interval = \"500ms\"\n}", overlayAddr(boot)),
	}
}

func TestAnEdgeAgentReadsWritesAndBlocksAndSurvivesItsServers(t *testing.T) {
	c := agenttest.Cluster(t, 3, 0, overlayOn)
	leader := c.Leader()
	edge := agenttest.Start(t, edgeSpec(c.Key, leader))
	if err := edge.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, edge, "a", "1")
	if _, err := edge.API.SQL().Exec(t.Context(), "create table t (n)"); err != nil {
		t.Fatal(err)
	}
	pair, meta, err := edge.API.KV().Get(t.Context(), "a", nil)
	if err != nil || string(pair.Value) != "1" {
		t.Fatalf("%v, %v", pair, err)
	}
	woken := make(chan error, 1)
	go func() {
		_, _, err := edge.API.KV().Get(t.Context(), "a", &api.QueryOptions{Index: meta.Index, Wait: agenttest.Patience})
		woken <- err
	}()
	put(t, leader, "a", "2")
	if err := <-woken; err != nil {
		t.Fatal(err)
	}
	agenttest.Eventually(t, "the edge agent to know all servers", func() bool { return len(edge.Overlay().Members()) >= 3 })

	// The only peer that it was told dies, and leads at that.
	leader.Kill()
	c.Drop(leader)
	killed := time.Now()
	agenttest.Eventually(t, "a write through the edge agent", func() bool {
		_, err := edge.API.KV().Put(t.Context(), &api.KVPair{Key: "a", Value: []byte("3")}, nil)
		return err == nil
	})
	if took := time.Since(killed); took > 30*time.Second {
		t.Errorf("the edge agent recovered after %s", took)
	}
	pair, _, err = c.Leader().API.KV().Get(t.Context(), "a", nil)
	if err != nil || string(pair.Value) != "3" {
		t.Fatalf("%v, %v", pair, err)
	}
	if n := len(edge.Agent.Overlay().Members()); n > 2 {
		t.Errorf("%d members after a death", n)
	}
}

func TestAnEdgeAgentComesBackWhenItsBootstrapPeerIsGone(t *testing.T) {
	c := agenttest.Cluster(t, 3, 0, overlayOn)
	boot := c.Leader()
	spec := edgeSpec(c.Key, boot)
	spec.Dir = t.TempDir()
	edge := agenttest.Start(t, spec)
	agenttest.Eventually(t, "all servers to be saved", func() bool {
		b, err := os.ReadFile(filepath.Join(spec.Dir, "peers.json"))
		for _, s := range c.Servers {
			if err != nil || !strings.Contains(string(b), string(s.Member.ID)) {
				return false
			}
		}
		return true
	})
	edge.Shutdown()
	boot.Kill()
	c.Drop(boot)
	edge = agenttest.Start(t, spec)
	agenttest.Eventually(t, "a write through the edge agent", func() bool {
		_, err := edge.API.KV().Put(t.Context(), &api.KVPair{Key: "a", Value: []byte("1")}, nil)
		return err == nil
	})
}

func TestAnEdgeAgentOfAnotherKeyReachesNoServer(t *testing.T) {
	n := agenttest.Start(t, agenttest.Spec{Name: "s1", Server: true, Expect: 1, Key: agenttest.Key(), Overlay: true})
	spec := edgeSpec(agenttest.Key(), n)
	spec.HCL += "\nperformance { rpc_hold_timeout = \"500ms\" }"
	edge := agenttest.Start(t, spec)
	agenttest.Eventually(t, "the bootstrap peer to be found a stranger", func() bool {
		for _, p := range edge.Overlay().Peers() {
			if p.Err != nil {
				return true
			}
		}
		return false
	})
	if _, err := edge.API.KV().Put(t.Context(), &api.KVPair{Key: "a"}, nil); err == nil || !strings.Contains(err.Error(), "no known servers") {
		t.Errorf("a write of an agent with another key: %v", err)
	}
}

func TestAStrangerReachesNoRPCAndIsCounted(t *testing.T) {
	n := agenttest.Start(t, agenttest.Spec{Name: "s1", Server: true, Expect: 1, Key: agenttest.Key(), Overlay: true})
	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	info, err := peer.AddrInfoFromString(overlayAddr(n))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Connect(t.Context(), *info); err != nil {
		t.Fatal(err)
	}
	const pid = "/debros/rpc/1.0.0/dc1"
	s, err := h.NewStream(t.Context(), info.ID, pid)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.SetDeadline(time.Now().Add(agenttest.Patience))
	_, _ = s.Write([]byte("G"))
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, network.ErrReset) {
		t.Errorf("the stream of a stranger: %v, want a reset", err)
	}
	res, err := http.Get(n.API.Address() + "/v1/agent/metrics?format=prometheus")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("debros_overlay_refused{protocol=%q}", pid); !strings.Contains(string(text), want) {
		t.Errorf("no %s in the metrics", want)
	}
}
