//go:build linux || darwin

package server

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// statfs measures the file system that holds dir.
func statfs(dir string) (room, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return room{}, fmt.Errorf("statfs %s: %w", dir, err)
	}
	unit := uint64(fs.Bsize)
	return room{size: fs.Blocks * unit, free: fs.Bavail * unit}, nil
}
