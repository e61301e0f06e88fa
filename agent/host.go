package agent

import (
	"os"
	"runtime"
	"time"
)

// hostInfo is what /v1/agent/host says of the machine.
type hostInfo struct {
	Hostname      string
	OS            string
	Arch          string
	Kernel        string
	CPUs          int
	UptimeSeconds int64
	MemoryBytes   uint64
	MemoryFree    uint64
	DataDir       string `json:",omitempty"`
	DiskBytes     uint64 `json:",omitempty"` // of the file system that holds data_dir
	DiskFree      uint64 `json:",omitempty"`
	CollectedAt   time.Time
}

// readHost asks the kernel.
func readHost(dataDir string) (*hostInfo, error) {
	h := &hostInfo{OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), DataDir: dataDir, CollectedAt: time.Now().UTC()}
	var err error
	if h.Hostname, err = os.Hostname(); err != nil {
		return nil, err
	}
	if err := readKernel(h); err != nil {
		return nil, err
	}
	if dataDir != "" {
		if err := readDisk(h); err != nil {
			return nil, err
		}
	}
	return h, nil
}
