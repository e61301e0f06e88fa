//go:build !linux

package server

import "testing"

func mountExt4(t *testing.T, _ string) {
	t.Skip("SKIPPED: a test with a file system that fails for real needs Linux")
}

func turnReadOnly(*testing.T, string) {}

func shutDown(*testing.T, string) {}

func remountExt4(*testing.T, string) {}
