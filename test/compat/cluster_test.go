package compat

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// startCluster starts three servers and a client agent, each told of the others, and waits until all
// of them answer. The last is the client agent.
func startCluster(t *testing.T) []*agent {
	t.Helper()
	dir := t.TempDir()
	ports, err := freePorts(4 * 4)
	must(t, err)
	names := []string{"s1", "s2", "s3", "c1"}
	agents := make([]*agent, len(names))
	for i, name := range names {
		p := ports[4*i : 4*i+4]
		agents[i] = newAgent(name, p)
		args := []string{"agent", "-bind=127.0.0.1", "-data-dir=" + filepath.Join(dir, name), "-retry-interval=200ms", "-retry-join=" + address(ports[2])}
		if name != "c1" {
			args = append(args, "-server", "-bootstrap-expect=3")
		}
		must(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		must(t, agents[i].launch(args...))
		t.Cleanup(func() { agents[i].stop() })
	}
	t.Cleanup(func() {
		for _, a := range agents {
			if t.Failed() {
				t.Logf("log of %s:\n%s", a.node, a.log.String())
			}
		}
	})
	for _, a := range agents {
		must(t, a.ready())
	}
	return agents
}

// Through every agent, client agents included, the client sees one store; a lock outlives its leader.
func TestClusterSurvivesItsLeader(t *testing.T) {
	t.Parallel()
	agents := startCluster(t)
	var clients []*api.Client
	for _, a := range agents {
		c, err := a.client()
		must(t, err)
		clients = append(clients, c)
	}
	edge := clients[3]
	eventually(t, 2*deadline, "three voters", func() bool {
		config, err := edge.Operator().RaftGetConfiguration(nil)
		if err != nil || len(config.Servers) != 3 {
			return false
		}
		for _, s := range config.Servers {
			if !s.Voter {
				return false
			}
		}
		return true
	})
	for i, c := range clients {
		put(t, c.KV(), "shared", agents[i].node)
		for j, other := range clients {
			if got := get(t, other.KV(), "shared"); got == nil || string(got.Value) != agents[i].node {
				t.Fatalf("written through %s, read through %s: %+v", agents[i].node, agents[j].node, got)
			}
		}
	}

	eventually(t, deadline, "leadership is handed over", func() bool { // raft gives the next leader half a second
		transfer, err := edge.Operator().RaftLeaderTransfer("", nil)
		return err == nil && transfer.Success
	})
	eventually(t, deadline, "a leader after the transfer", func() bool { return leaderOf(agents, edge) != nil })

	// Consul's lock, held through the client agent while the leader is killed.
	l, err := edge.LockOpts(&api.LockOptions{Key: "lock", SessionTTL: "30s", MonitorRetries: 10, MonitorRetryTime: 500 * time.Millisecond})
	must(t, err)
	lostCh, err := l.Lock(nil)
	must(t, err)
	held := get(t, edge.KV(), "lock")
	leader := leaderOf(agents, edge)
	must(t, leader.process.Process.Kill())
	<-leader.exited
	eventually(t, 2*deadline, "a write after the leader's death", func() bool {
		_, err := edge.KV().Put(&api.KVPair{Key: "after", Value: []byte("x")}, nil)
		return err == nil
	})
	if got := get(t, edge.KV(), "lock"); got == nil || got.Session != held.Session || lost(lostCh) {
		t.Errorf("the lock was %+v, is %+v; lost: %v", held, got, lost(lostCh))
	}
	must(t, l.Unlock())

	// All that are left agree, stale reads after a moment as well.
	var wg sync.WaitGroup
	for i, a := range agents {
		if a == leader {
			continue
		}
		wg.Go(func() {
			for end := time.Now().Add(deadline); ; time.Sleep(10 * time.Millisecond) {
				p, _, err := clients[i].KV().Get("after", &api.QueryOptions{AllowStale: true})
				if err == nil && p != nil && string(p.Value) == "x" {
					return
				}
				if time.Now().After(end) {
					t.Errorf("stale read through %s: %+v %v", a.node, p, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// leaderOf is the agent that leads, nil while there is none.
func leaderOf(agents []*agent, client *api.Client) *agent {
	at, err := client.Status().Leader()
	if err != nil || at == "" {
		return nil
	}
	for _, a := range agents {
		if strings.EqualFold(a.server, at) {
			return a
		}
	}
	return nil
}
