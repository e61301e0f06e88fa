//go:build !linux

package agent

// readKernel knows nothing more on this system.
func readKernel(*hostInfo) error { return nil }

// readDisk knows nothing on this system.
func readDisk(*hostInfo) error { return nil }
