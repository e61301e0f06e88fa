package agent_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/agent/agenttest"
)

// TestSystemdHearsWhenAnAgentIsOfUse: the environment is the process's, so this test runs alone.
func TestSystemdHearsWhenAnAgentIsOfUse(t *testing.T) {
	dir, err := os.MkdirTemp("", "notify") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	next := func(within time.Duration) string {
		t.Helper()
		buf := make([]byte, 1<<10)
		if err := l.SetReadDeadline(time.Now().Add(within)); err != nil {
			t.Fatal(err)
		}
		n, err := l.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return ""
		}
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	want := func(states ...string) {
		t.Helper()
		for _, state := range states {
			if got := next(agenttest.Patience); !strings.HasPrefix(got, state) {
				t.Fatalf("systemd was told %q, want %q", got, state)
			}
		}
	}
	key := agenttest.Key()
	s1 := agenttest.Start(t, agenttest.Spec{Name: "s1", Server: true, Expect: 2, Key: key})
	if got := next(300 * time.Millisecond); got != "" {
		t.Fatalf("a server without a leader says %q", got)
	}
	s2 := agenttest.Start(t, agenttest.Spec{Name: "s2", Server: true, Expect: 2, Key: key, Join: []string{s1.GossipAddr()}})
	want("READY=1", "READY=1") // one each
	if _, err := s1.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	want("RELOADING=1", "READY=1")
	for _, n := range []*agenttest.Node{s2, s1} {
		n.Shutdown()
		want("STOPPING=1")
	}
}
