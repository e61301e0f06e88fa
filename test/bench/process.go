//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/debros/debros/test/harness"
)

// rssMB is a process's resident memory; 1 MB is 10^6 bytes.
func rssMB(pid int) (float64, error) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, fmt.Errorf("read resident memory (this needs Linux): %w", err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			return kib * 1024 / 1e6, err
		}
	}
	return 0, fmt.Errorf("no VmRSS for process %d", pid)
}

// clockTick is the unit of processor time in /proc: USER_HZ, which is 100 on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// processorTime is what a process has used so far, in user and system mode.
func processorTime(pid int) (time.Duration, error) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, fmt.Errorf("read processor time (this needs Linux): %w", err)
	}
	// The second field is the program's name in brackets, and may hold anything.
	fields := strings.Fields(string(data)[strings.LastIndexByte(string(data), ')')+1:])
	const user, system = 11, 12 // utime and stime, counted from the third field
	if len(fields) <= system {
		return 0, fmt.Errorf("processor time of process %d: %d fields", pid, len(fields))
	}
	sum := 0
	for _, f := range []string{fields[user], fields[system]} {
		n, err := strconv.Atoi(f)
		if err != nil {
			return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
		}
		sum += n
	}
	return time.Duration(sum) * clockTick, nil
}

// processorTimes adds up what the processes of nodes have used.
func processorTimes(nodes []*harness.Node) (sum time.Duration, err error) {
	for _, n := range nodes {
		d, err := processorTime(n.Pid())
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}
