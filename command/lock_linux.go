package command

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttributes: the child does not outlive us, without whom the lock is lost. The kernel looks at the
// thread that started it.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// keepGoing continues the child when it was stopped from its terminal: Ctrl-Z reaches its group and not
// us, so nobody would notice, and the lock be held by a program that stands still. Call the result
// after the child was waited for.
func keepGoing(pid int, tty *os.File) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED, nil)
			if err != nil && !errors.Is(err, unix.EINTR) {
				return // there is no such child any more
			}
			if group, gerr := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP); err == nil && gerr == nil && group == pid {
				_ = syscall.Kill(-pid, syscall.SIGCONT)
			}
		}
	}()
	return func() { <-done }
}
