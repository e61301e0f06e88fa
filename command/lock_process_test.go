//go:build unix

package command

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// process is a program of its own whose output is at hand while it runs.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	quiet chan struct{} // closed when nobody has its output open any more
	tty   *os.File      // nil without a terminal

	mu  sync.Mutex // protects the following
	out bytes.Buffer
}

// start runs a program with its standard output and error in a pipe.
func start(t *testing.T, argv ...string) *process {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(argv[0], argv[1:]...), quiet: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	p.follow(r)
	return p
}

// startOnTerminal runs a program at the head of a session on a terminal of its own.
func startOnTerminal(t *testing.T, argv ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(argv[0], argv[1:]...), quiet: make(chan struct{})}
	tty, err := pty.Start(p.cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	// The same without blocking, so that Close ends a read.
	fd, err := unix.Dup(int(tty.Fd()))
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.tty = os.NewFile(uintptr(fd), tty.Name())
	p.follow(p.tty)
	return p
}

func (p *process) follow(r *os.File) {
	go func() {
		defer close(p.quiet)
		_, _ = io.Copy(p, r) // a terminal ends with an error
	}()
	p.t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		_ = p.cmd.Wait()
		r.Close() // hangs up a terminal, which ends all that is left on it
		<-p.quiet
	})
}

// Write implements io.Writer.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// says waits until the text was printed.
func (p *process) says(text string) {
	p.t.Helper()
	if until(func() error {
		if !strings.Contains(p.output(), text) {
			return io.ErrNoProgress
		}
		return nil
	}) != nil {
		p.t.Fatalf("no %q in:\n%s", text, p.output())
	}
}

func (p *process) types(text string) {
	p.t.Helper()
	if _, err := p.tty.WriteString(text); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// ends waits for the end of all that has the output open, and gives the exit status of the program.
func (p *process) ends() int {
	p.t.Helper()
	select {
	case <-p.quiet:
	case <-time.After(patience):
		p.t.Fatalf("runs on after:\n%s", p.output())
	}
	_ = p.cmd.Wait() // the status says it
	return p.cmd.ProcessState.ExitCode()
}

const stubborn = `trap "" INT TERM; trap "echo reloaded" HUP; echo begun; while :; do sleep 0.1; done`

func TestLockKillsAChildThatIgnoresSignals(t *testing.T) {
	newCLI(t)
	p := start(t, "debros", "lock", "-kill-after=100ms", "jobs", "sh", "-c", stubborn)
	p.says("begun")
	p.signal(syscall.SIGHUP) // asks for nobody's end
	p.says("reloaded")
	p.signal(syscall.SIGTERM)
	if status := p.ends(); status != 128+9 {
		t.Errorf("after -kill-after: status %d", status)
	}
	p = start(t, "debros", "lock", "-verbose", "-kill-after=1h", "jobs", "sh", "-c", stubborn)
	p.says("begun")
	p.signal(syscall.SIGINT)
	p.says("send interrupt to the child")
	p.signal(syscall.SIGINT)
	if status := p.ends(); status != 128+9 {
		t.Errorf("after a second signal: status %d", status)
	}
}

func TestALockedChildDoesNotOutliveDebros(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a child of its parent's end")
	}
	newCLI(t)
	p := start(t, "debros", "lock", "jobs", "sh", "-c", "echo begun; exec sleep 3600")
	p.says("begun")
	p.signal(syscall.SIGKILL)
	p.ends()
}

func TestALockedChildHasTheTerminalAndGivesItBack(t *testing.T) {
	newCLI(t)
	p := startOnTerminal(t, "sh", "-c", `debros lock jobs sh -c 'read x; echo "child: $x."'; read x; echo "shell: $x."`)
	p.types("one\n")
	p.says("child: one.")
	p.types("two\n")
	p.says("shell: two.")
	if status := p.ends(); status != 0 {
		t.Errorf("status %d: %s", status, p.output())
	}
}

func TestCtrlZDoesNotStopAHolder(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells of a stopped child")
	}
	newCLI(t)
	p := startOnTerminal(t, "debros", "lock", "jobs", "sh", "-c", `echo begun; read x; echo "child: $x."`)
	p.says("begun")
	p.types("\x1a")
	p.types("one\n")
	p.says("child: one.")
	if status := p.ends(); status != 0 {
		t.Errorf("status %d: %s", status, p.output())
	}
	// Ctrl-C is the child's.
	p = startOnTerminal(t, "debros", "lock", "jobs", "sh", "-c", `trap "exit 7" INT; echo begun; read x`)
	p.says("begun")
	p.types("\x03")
	if status := p.ends(); status != 7 {
		t.Errorf("status %d: %s", status, p.output())
	}
}

// A pager behind it needs the keyboard too.
func TestALockInAPipelineLeavesTheTerminalToItsNeighbours(t *testing.T) {
	newCLI(t)
	dir := t.TempDir()
	begun, over := filepath.Join(dir, "begun"), filepath.Join(dir, "over")
	child := fmt.Sprintf("touch %s; until test -e %s; do sleep 0.1; done", begun, over)
	pager := fmt.Sprintf(`until test -e %s; do sleep 0.1; done; read x </dev/tty; echo "pager: $x."; touch %s`, begun, over)
	p := startOnTerminal(t, "sh", "-c", fmt.Sprintf("debros lock jobs sh -c '%s' | sh -c '%s'", child, pager))
	p.types("one\n")
	p.says("pager: one.")
	if status := p.ends(); status != 0 {
		t.Errorf("status %d: %s", status, p.output())
	}
}
