//go:build unix

package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// stopWithin is how long SIGTERM may take before Stop gives up and kills: handing over leadership,
// leaving, and draining have bounds of a few seconds each.
const stopWithin = time.Minute

// life is one process of a node.
type life struct {
	cmd    *exec.Cmd
	done   chan struct{} // closed when the process was waited for
	err    error         // read after done
	wanted bool          // Kill or Stop ended it; under the node's mu
	paused bool          // under the node's mu
}

// Start starts the process and returns at once; see Cluster.WaitReady.
func (n *Node) Start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.life != nil {
		return fmt.Errorf("start %s: it runs already", n.Name)
	}
	log, err := os.OpenFile(n.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own
	cmd := exec.Command(n.cluster.cfg.Binary, n.Args()...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = slices.Concat(os.Environ(), n.cluster.cfg.Env, n.Env)
	cmd.SysProcAttr = childAttr()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	l := &life{cmd: cmd, done: make(chan struct{})}
	n.life = l
	go func() { // ends with the process; Kill and Stop wait for it
		l.err = cmd.Wait()
		close(l.done)
	}()
	return nil
}

// Pid is the process id, 0 when it does not run.
func (n *Node) Pid() int {
	if l := n.current(); l != nil {
		return l.cmd.Process.Pid
	}
	return 0
}

func (n *Node) current() *life {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.life
}

// Running reports whether the process was started and has not ended.
func (n *Node) Running() bool {
	l := n.current()
	if l == nil {
		return false
	}
	select {
	case <-l.done:
		return false
	default:
		return true
	}
}

// Kill ends the process with SIGKILL and waits for it; one that does not run is no error.
func (n *Node) Kill() error {
	l := n.claim()
	if l == nil {
		return nil
	}
	err := l.cmd.Process.Kill()
	<-l.done
	n.forget(l)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Stop ends the process with SIGTERM and wants exit code 0.
func (n *Node) Stop() error {
	l := n.claim()
	if l == nil {
		return nil
	}
	defer n.forget(l)
	_ = l.cmd.Process.Signal(syscall.SIGTERM) // one that has ended shows below
	select {
	case <-l.done:
	case <-time.After(stopWithin):
		_ = l.cmd.Process.Kill()
		<-l.done
		return fmt.Errorf("stop %s: it still ran %s after SIGTERM", n.Name, stopWithin)
	}
	if l.err != nil {
		return fmt.Errorf("stop %s: %w\n%s", n.Name, l.err, n.LogTail(10))
	}
	return nil
}

// Restart kills the process, if it runs, and starts it with the same ports and data.
func (n *Node) Restart() error {
	if err := n.Kill(); err != nil {
		return err
	}
	return n.Start()
}

// Pause stops the process with SIGSTOP: its connections stay open and nothing answers.
func (n *Node) Pause() error {
	n.setPaused(true)
	return n.signal(syscall.SIGSTOP)
}

// Resume lets a paused process go on.
func (n *Node) Resume() error {
	n.setPaused(false)
	return n.signal(syscall.SIGCONT)
}

func (n *Node) setPaused(v bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.life != nil {
		n.life.paused = v
	}
}

// answers reports whether the process runs and is not paused. The signal takes a moment to arrive, in
// which a paused leader may still say that it leads.
func (n *Node) answers() bool {
	if !n.Running() {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.life != nil && !n.life.paused
}

// Reload sends SIGHUP.
func (n *Node) Reload() error { return n.signal(syscall.SIGHUP) }

func (n *Node) signal(sig os.Signal) error {
	l := n.current()
	if l == nil {
		return fmt.Errorf("signal %s: it does not run", n.Name)
	}
	return l.cmd.Process.Signal(sig)
}

// claim takes the process to end it.
func (n *Node) claim() *life {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.life != nil {
		n.life.wanted = true
	}
	return n.life
}

func (n *Node) forget(l *life) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.life == l {
		n.life = nil
	}
}

// crashed is an error when the process ended and nobody asked it to.
func (n *Node) crashed() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.life == nil || n.life.wanted {
		return nil
	}
	select {
	case <-n.life.done:
		return fmt.Errorf("%s ended by itself: %v", n.Name, n.life.err)
	default:
		return nil
	}
}
