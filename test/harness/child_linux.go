package harness

import "syscall"

// childAttr: a group of its own, so that Ctrl-C reaches the harness alone and children end in order;
// and the kernel kills the child when the harness dies without a chance to.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
