package command

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// silence is a standard input that nobody writes to. It says when somebody reads.
type silence struct {
	once    sync.Once
	reading chan struct{}
	over    <-chan struct{}
}

func (s *silence) Read([]byte) (int, error) {
	s.once.Do(func() { close(s.reading) })
	<-s.over
	return 0, io.EOF
}

// interrupted runs a command line that reads standard input and sends this process SIGINT, once, when it does.
func (c *harness) interrupted(in io.Reader, reading <-chan struct{}, args ...string) result {
	c.t.Helper()
	var out, errs bytes.Buffer
	ended := make(chan int, 1)
	go func() { ended <- Run(args, IO{Stdin: in, Stdout: &out, Stderr: &errs}) }()
	select {
	case <-reading: // so the command's handler is there
	case status := <-ended:
		c.t.Fatalf("debros %s: status %d before it read: %s", strings.Join(args, " "), status, &errs)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		c.t.Fatal(err)
	}
	select {
	case status := <-ended:
		return result{status, out.String(), errs.String()}
	case <-time.After(patience):
		c.t.Fatalf("debros %s does not heed a signal", strings.Join(args, " "))
	}
	panic("not reached")
}

func TestOneSignalEndsEveryReadOfStandardInput(t *testing.T) {
	c := newCLI(t)
	for _, args := range [][]string{
		{"kv", "put", "k", "-"}, {"txn", "-"}, {"kv", "import", "-"}, {"kv", "delete", "-recurse", ""},
		{"namespace", "delete", shared.Namespace()}, {"snapshot", "inspect", "-"},
	} {
		in := &silence{reading: make(chan struct{}), over: t.Context().Done()}
		r := c.interrupted(in, in.reading, args...)
		if r.status != exitFailed || !strings.Contains(r.stderr, "debros: interrupted") {
			t.Errorf("debros %s: %+v", strings.Join(args, " "), r)
		}
	}
}

func TestABrokenConnectionIsToldAndAClosedOutputIsNot(t *testing.T) {
	c := newCLI(t)
	// An agent that stops reading in the middle of a request: more than a socket's buffer holds, so
	// that the client still writes then.
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			conn.(*net.UnixConn).CloseRead()
			_, _ = io.Copy(io.Discard, conn) // what is there: a writer that waits for room goes on, and fails
		}
	}()
	stderr := c.fails(exitFailed, "kv", "put", "-http-addr=unix://"+path, "k", strings.Repeat("x", 4<<20))
	c.contains(stderr, "debros: no answer from the agent", "broken pipe")

	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	var errs bytes.Buffer
	if status := Run([]string{"members"}, IO{Stdin: strings.NewReader(""), Stdout: w, Stderr: &errs}); status != exitFailed || errs.Len() > 0 {
		t.Errorf("closed output: status %d, %q", status, &errs)
	}
}
