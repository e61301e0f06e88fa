//go:build !linux

package command

import (
	"os"
	"syscall"
)

// childAttributes: this system does not end the child with us.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// keepGoing does nothing: this system does not tell of a stopped child without also reaping ended ones.
func keepGoing(int, *os.File) (wait func()) { return func() {} }
