//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/debros/debros/test/harness"
)

// machine is what the numbers were measured on and with.
type machine struct {
	CPU, Kernel     string
	Cores           int
	Debros, Go      string
	Modules         map[string]string
	FsyncsPerSecond float64
	FsyncP50        time.Duration
	Load1           string // load average before the bench
}

func describeMachine(ctx context.Context, o options) (machine, error) {
	m := machine{Cores: runtime.NumCPU(), Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH, Modules: map[string]string{}, CPU: "unknown", Kernel: "unknown"}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for _, line := range strings.Split(string(b), "\n") {
			if name, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(v)
				break
			}
		}
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load1, _, _ = strings.Cut(string(b), " ")
	}
	if out, err := exec.CommandContext(ctx, "uname", "-sr").Output(); err == nil {
		m.Kernel = strings.TrimSpace(string(out))
	}
	binary := o.binary
	if binary == "" {
		var err error
		if binary, err = harness.BinaryPath(); err != nil {
			return m, err
		}
	}
	out, err := exec.CommandContext(ctx, binary, "version").Output()
	if err != nil {
		return m, fmt.Errorf("%s version: %w", binary, err)
	}
	m.Debros, _, _ = strings.Cut(strings.TrimSpace(string(out)), "\n")
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == "github.com/hashicorp/raft" || d.Path == "github.com/hashicorp/raft-wal" {
				m.Modules[d.Path] = d.Version
			}
		}
	}
	m.FsyncsPerSecond, m.FsyncP50, err = fsyncRate(o.dir)
	return m, err
}

// fsyncFor is how long the disk is measured.
const fsyncFor = time.Second

// fsyncRate appends 512 bytes to a preallocated file and syncs it, again and again, as a log does.
func fsyncRate(dir string) (perSecond float64, p50 time.Duration, err error) {
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return 0, 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(make([]byte, 8<<20)); err != nil {
		return 0, 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, 0, err
	}
	block := make([]byte, 512)
	var laps []time.Duration
	start := time.Now()
	for time.Since(start) < fsyncFor {
		begin := time.Now()
		if _, err := f.WriteAt(block, int64(len(laps)*len(block)%(8<<20))); err != nil {
			return 0, 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, 0, err
		}
		laps = append(laps, time.Since(begin))
	}
	return float64(len(laps)) / time.Since(start).Seconds(), quantile(laps, 0.5), nil
}
