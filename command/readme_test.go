package command

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/test/pace"
)

// readmePorts are the ports of README's walk-through.
var readmePorts = []int{25001, 25002, 25003, 25004, 27001, 27002, 27003, 27941, 27942, 27943, 27944}

// TestReadmeWorksWordForWord types README's sh blocks into one shell, as a new user would, and
// compares what they print with the text block after each, where there is one ("…" is anything). A
// block with an expected output is tried again until it is there: agents need a moment. Four things
// differ from what a user does: make only checks that its targets exist (this test runs under one of
// them), debros is this test binary, with patient elections if it is a slow one, and ports that are
// taken here are replaced by others.
func TestReadmeWorksWordForWord(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := readmeBlocks(replaceTakenPorts(t, string(text)))
	if len(blocks) < 10 {
		t.Fatalf("README has %d blocks to run", len(blocks))
	}
	shell := newReadmeShell(t)
	for _, b := range blocks {
		deadline := time.Now().Add(patience)
		for {
			out, status := shell.run(b.commands)
			problem := ""
			if status != "0" {
				problem = "exit status " + status
			} else if !matchLines(b.want, out) {
				problem = "want:\n" + b.want
			}
			if problem == "" {
				break
			}
			if b.want == "" || time.Now().After(deadline) {
				t.Fatalf("README:\n%s\nprinted:\n%s\n%s\n%s", b.commands, out, problem, shell.logs())
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// readmeBlock is an sh block and the text block that follows it, if one does.
type readmeBlock struct{ commands, want string }

func readmeBlocks(text string) []readmeBlock {
	var blocks []readmeBlock
	fence := regexp.MustCompile("(?ms)^```(sh|text)\n(.*?)^```$")
	for _, m := range fence.FindAllStringSubmatch(text, -1) {
		if m[1] == "sh" {
			blocks = append(blocks, readmeBlock{commands: m[2]})
		} else if len(blocks) > 0 {
			blocks[len(blocks)-1].want = m[2]
		}
	}
	return blocks
}

// replaceTakenPorts gives the walk-through other ports where one of its own is taken on this machine.
func replaceTakenPorts(t *testing.T, text string) string {
	t.Helper()
	var taken []int
	for _, p := range readmePorts {
		if !strings.Contains(text, fmt.Sprint(p)) {
			t.Fatalf("README does not use port %d", p)
		}
		if !portFree(p) {
			taken = append(taken, p)
		}
	}
	for i, p := range freePorts(t, len(taken)) {
		text = strings.ReplaceAll(text, fmt.Sprint(taken[i]), fmt.Sprint(p))
	}
	return text
}

// matchLines reports whether the lines of out are those of want, where "…" stands for any text and
// columns may be wider.
func matchLines(want, out string) bool {
	if want == "" {
		return true
	}
	pattern := regexp.QuoteMeta(strings.TrimSpace(want))
	pattern = regexp.MustCompile(` {2,}`).ReplaceAllString(pattern, ` +`)
	pattern = regexp.MustCompile(`(?m)^…$`).ReplaceAllString(pattern, `(?s:.*)`)
	pattern = strings.ReplaceAll(pattern, `…`, `.*`)
	return regexp.MustCompile(`^` + pattern + `\s*$`).MatchString(strings.TrimSpace(out))
}

// readmeShell is one bash that lives through all blocks.
type readmeShell struct {
	t   *testing.T
	dir string
	in  io.Writer
	out *bufio.Reader
	n   int
}

func newReadmeShell(t *testing.T) *readmeShell {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("SKIPPED: no bash on this machine")
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	self, err := exec.LookPath("debros") // this test binary, put there by TestMain
	root, rootErr := filepath.Abs("..")
	if err != nil || rootErr != nil {
		t.Fatal(err, rootErr)
	}
	shim := "#!/bin/sh\nexec " + realMake(t) + " -n -C '" + root + "' \"$@\" >/dev/null\n"
	for _, err := range []error{
		os.Mkdir(bin, 0o755), os.Symlink(self, filepath.Join(bin, "debros")),
		os.Mkdir(filepath.Join(dir, "shim"), 0o755), os.WriteFile(filepath.Join(dir, "shim", "make"), []byte(shim), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command(bash, "--noprofile", "--norc")
	c.Dir = dir
	c.Env = []string{"PATH=" + filepath.Join(dir, "shim") + ":/usr/local/bin:/usr/bin:/bin", "HOME=" + dir, "TMPDIR=" + dir,
		"DEBROS_PERFORMANCE_RAFT_MULTIPLIER=" + fmt.Sprint(pace.Factor)}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout, c.Stderr = w, w
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		fmt.Fprintln(in, "kill -9 $(jobs -p) 2>/dev/null; exit 0") // what a failure left behind
		in.Close()
		_ = c.Wait()
		r.Close()
	})
	return &readmeShell{t: t, dir: dir, in: in, out: bufio.NewReader(r)}
}

func realMake(t *testing.T) string {
	path, err := exec.LookPath("make")
	if err != nil {
		t.Skip("SKIPPED: no make on this machine")
	}
	return path
}

// killedJob is what a shell says about a job that was killed, in its own words at its own time.
var killedJob = regexp.MustCompile(`^(bash: line \d+: +\d+ Killed|\[\d+\][+-]? )`)

// run types commands and returns what they printed and the exit status of the first that failed.
func (s *readmeShell) run(commands string) (out, status string) {
	s.n++
	mark := fmt.Sprintf("--- end of block %d: ", s.n)
	// A failing command ends the block, not the shell.
	if _, err := fmt.Fprintf(s.in, "failed=0; trap 'failed=$?' ERR\n%s\ntrap - ERR; echo; echo \"%s$failed\"\n", commands, mark); err != nil {
		s.t.Fatal(err)
	}
	var b bytes.Buffer
	for {
		line, err := s.out.ReadString('\n')
		if rest, ok := strings.CutPrefix(line, mark); ok {
			return b.String(), strings.TrimSpace(rest)
		}
		if !killedJob.MatchString(line) {
			b.WriteString(line)
		}
		if err != nil {
			s.t.Fatalf("the shell ended: %v\n%s", err, &b)
		}
	}
}

// logs are the last lines of each agent's log, for a failure.
func (s *readmeShell) logs() string {
	var b strings.Builder
	files, _ := filepath.Glob(filepath.Join(s.dir, "tmp.*", "*.log")) // a bad pattern is the only error
	for _, f := range files {
		text, _ := os.ReadFile(f)
		lines := strings.Split(string(text), "\n")
		fmt.Fprintf(&b, "== %s\n%s\n", filepath.Base(f), strings.Join(lines[max(0, len(lines)-15):], "\n"))
	}
	return b.String()
}
