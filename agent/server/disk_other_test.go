//go:build !linux

package server

import "testing"

// mountSmall skips the test: mounting a file system of a given size is done on Linux only.
func mountSmall(t *testing.T, _, _ string) {
	t.Helper()
	t.Skip("SKIPPED: a file system that is really full is mounted on Linux only")
}
