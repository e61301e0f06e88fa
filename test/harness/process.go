//go:build unix

package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ResidentMB is the process's resident memory; 1 MB is 10^6 bytes.
func (n *Node) ResidentMB() (float64, error) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(n.Pid()), "status"))
	if err != nil {
		return 0, fmt.Errorf("read resident memory of %s (this needs Linux): %w", n.Name, err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			return kib * 1024 / 1e6, err
		}
	}
	return 0, fmt.Errorf("no VmRSS for %s", n.Name)
}

// clockTick is the unit of processor time in /proc: USER_HZ, which is 100 on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// ProcessorTime is what the process has used so far, in user and system mode.
func (n *Node) ProcessorTime() (time.Duration, error) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(n.Pid()), "stat"))
	if err != nil {
		return 0, fmt.Errorf("read processor time of %s (this needs Linux): %w", n.Name, err)
	}
	// The second field is the program's name in brackets, and may hold anything.
	fields := strings.Fields(string(data)[strings.LastIndexByte(string(data), ')')+1:])
	const user, system = 11, 12 // utime and stime, counted from the third field
	if len(fields) <= system {
		return 0, fmt.Errorf("processor time of %s: %d fields", n.Name, len(fields))
	}
	sum := 0
	for _, f := range []string{fields[user], fields[system]} {
		ticks, err := strconv.Atoi(f)
		if err != nil {
			return 0, fmt.Errorf("processor time of %s: %w", n.Name, err)
		}
		sum += ticks
	}
	return time.Duration(sum) * clockTick, nil
}
