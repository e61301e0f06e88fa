package server

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"
)

// mountExt4 mounts a file system of its own, which can be made to fail.
func mountExt4(t *testing.T, dir string) {
	t.Helper()
	image := dir + ".img"
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 64<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-E", "lazy_itable_init=1", image).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: a test with a file system that fails for real needs mkfs.ext4: %v %s", err, out)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := mountImage(dir); err != nil {
		t.Skipf("SKIPPED: a test with a file system that fails for real needs root and loop devices: %v %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
}

func mountImage(dir string) ([]byte, error) {
	return exec.Command("mount", "-t", "ext4", "-o", "loop,errors=remount-ro", dir+".img", dir).CombinedOutput()
}

// turnReadOnly is what the kernel does when it finds the file system damaged: files that are open for writing do not hinder it.
func turnReadOnly(t *testing.T, dir string) {
	_ = exec.Command("mount", "-o", "remount,abort", dir).Run() // it says that it failed, and it should
	if err := os.WriteFile(filepath.Join(dir, "probe"), nil, 0o600); err == nil {
		t.Skip("SKIPPED: this kernel does not let a test turn ext4 read-only")
	}
}

// shutDown has every later operation fail, as when the device is gone. What was not synced is lost.
func shutDown(t *testing.T, dir string) {
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	const ioctlShutdown, withoutLog = 0x8004587d, 2
	flags := uint32(withoutLog)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, d.Fd(), ioctlShutdown, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		t.Skipf("SKIPPED: this kernel does not let a test shut ext4 down: %v", errno)
	}
}

func remountExt4(t *testing.T, dir string) {
	if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	_ = exec.Command("e2fsck", "-fy", dir+".img").Run() // it says that it repaired something
	if out, err := mountImage(dir); err != nil {
		t.Fatalf("%v %s", err, out)
	}
}
