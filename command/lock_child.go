package command

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// child runs the program in a process group of its own, so that its children end with it.
func (r *lockRun) child(lost <-chan struct{}, fencing uint64, signals <-chan os.Signal) error {
	runtime.LockOSThread() // whose end would be ours to the child: see childAttributes
	defer runtime.UnlockOSThread()
	child := exec.Command(r.argv[0], r.argv[1:]...)
	child.Stdin, child.Stdout, child.Stderr = r.c.Stdin, r.c.Stdout, r.c.Stderr
	child.Env = append(os.Environ(), "DEBROS_LOCK_FENCING_TOKEN="+strconv.FormatUint(fencing, 10), "DEBROS_LOCK_HELD=true", "CONSUL_LOCK_HELD=true")
	child.SysProcAttr = childAttributes()
	tty := r.terminal()
	if tty != nil {
		child.SysProcAttr.Foreground, child.SysProcAttr.Ctty = true, int(tty.Fd())
	}
	if err := child.Start(); err != nil {
		return fmt.Errorf("run %s: %w", r.argv[0], err)
	}
	if tty != nil {
		defer takeBack(tty)
		defer keepGoing(child.Process.Pid, tty)()
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	return r.await(child, ended, lost, signals)
}

// await passes signals on until the child has ended. One that asks for its end, and the loss of the
// lock, leave it -kill-after; a second signal leaves it nothing.
func (r *lockRun) await(child *exec.Cmd, ended <-chan error, lost <-chan struct{}, signals <-chan os.Signal) error {
	var kill <-chan time.Time // not nil: the child was told to end
	var why error
	for {
		select {
		case err := <-ended:
			if why != nil {
				return why
			}
			return childStatus(err)
		case <-lost:
			lost, why = nil, withHint(errors.New("the lock was lost; the child was stopped"), "is the agent reachable, and does the cluster have a leader?")
			r.signal(child, syscall.SIGTERM)
			kill = time.After(r.killAfter)
		case <-kill:
			r.signal(child, syscall.SIGKILL)
		case s := <-signals:
			switch {
			case s == syscall.SIGHUP: // to many a program no more than "read your configuration"
				r.signal(child, syscall.SIGHUP)
			case kill != nil:
				r.signal(child, syscall.SIGKILL)
			default:
				r.signal(child, s.(syscall.Signal))
				kill = time.After(r.killAfter)
			}
		}
	}
}

func (r *lockRun) signal(child *exec.Cmd, s syscall.Signal) {
	r.say("send %s to the child", s)
	_ = syscall.Kill(-child.Process.Pid, s) // it may just have ended
}

// terminal is the terminal that the child is to have, nil for none. A background group that reads from
// the terminal is stopped, so whoever runs a child in another group hands it over. Not if that
// would take it from somebody else: from the job in the foreground when we are in the background,
// or from the pager behind us in a pipeline.
func (r *lockRun) terminal() *os.File {
	if !isTerminal(r.c.Stdin) || !isTerminal(r.c.Stdout) {
		return nil
	}
	tty := r.c.Stdin.(*os.File)
	if group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP); err != nil || group != unix.Getpgrp() {
		return nil
	}
	return tty
}

// takeBack makes our own group the foreground again.
func takeBack(tty *os.File) {
	signal.Ignore(syscall.SIGTTOU) // which a background group gets for that
	defer signal.Reset(syscall.SIGTTOU)
	_ = unix.IoctlSetPointerInt(int(tty.Fd()), unix.TIOCSPGRP, unix.Getpgrp()) // the terminal may be gone
}

// childStatus turns the end of the child into ours: its exit status, or 128 + the signal.
func childStatus(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return &exitError{128 + int(ws.Signal())}
	}
	return &exitError{exit.ExitCode()}
}
