package agent

import "golang.org/x/sys/unix"

// readKernel fills in what only Linux answers this way.
func readKernel(h *hostInfo) error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	h.Kernel = unix.ByteSliceToString(u.Release[:])
	var si unix.Sysinfo_t
	if err := unix.Sysinfo(&si); err != nil {
		return err
	}
	h.UptimeSeconds = int64(si.Uptime)
	h.MemoryBytes, h.MemoryFree = uint64(si.Totalram)*uint64(si.Unit), uint64(si.Freeram)*uint64(si.Unit)
	return nil
}

// readDisk fills in the file system that holds the data directory.
func readDisk(h *hostInfo) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(h.DataDir, &fs); err != nil {
		return err
	}
	h.DiskBytes, h.DiskFree = fs.Blocks*uint64(fs.Bsize), fs.Bavail*uint64(fs.Bsize)
	return nil
}
