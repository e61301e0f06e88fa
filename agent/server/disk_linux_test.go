package server

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

// TestADiskThatFillsUpForReal does the same to a server alone, on a file system of a few megabytes:
// what a log store makes of half a write is its own affair, and must not cost an acknowledged one.
func TestADiskThatFillsUpForReal(t *testing.T) {
	eachBackend(t, func(t *testing.T, b LogBackend) {
		dir := filepath.Join(t.TempDir(), "small")
		mountSmall(t, dir, "3m")
		c := &cluster{t: t, roster: &roster{members: map[structs.NodeID]structs.Member{}}, adjust: func(cfg *Config) {
			cfg.LogBackend, cfg.HoldTimeout, cfg.SegmentSizeBytes = b, time.Second, 256<<10
		}}
		n := c.start("id0", dir, 1)
		c.nodes = append(c.nodes, n)
		t.Cleanup(func() {
			for _, n := range c.nodes {
				n.stop()
			}
		})
		n.MembershipChanged()
		c.leader()
		filler := strings.Repeat("x", 32<<10)
		acked := 0
		for ; put(n, "k"+num(acked), num(acked)+filler) == nil; acked++ {
			if acked > 1000 {
				t.Fatal("3 MiB hold 32 MiB")
			}
		}
		select {
		case <-n.Fatal(): // raft-wal says "segment is sealed" when it found no room for the next one
		case <-time.After(patience):
			t.Fatal("the node with the full disk goes on")
		}
		c.kill(n)
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=32m"); err != nil {
			t.Fatal(err)
		}
		again := c.back(n)
		c.leader()
		for i := range acked {
			wantGet(t, again, "k"+num(i), num(i)+filler)
		}
		mustPut(t, again, "room", "again")
	})
}

// mountSmall mounts a file system of the given size for the test.
func mountSmall(t *testing.T, dir, size string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("SKIPPED: a test with a file system that is really full needs the right to mount one: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
}
