//go:build unix && !linux

package harness

import "syscall"

// childAttr: a group of its own, so that Ctrl-C reaches the harness alone and children end in order.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
