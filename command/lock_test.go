package command

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLockRunsTheChildWithATokenAndEndsAsItDoes(t *testing.T) {
	c := newCLI(t)
	out := c.ok("lock", "jobs", "sh", "-c", `echo "$DEBROS_LOCK_FENCING_TOKEN"`)
	first := strings.TrimSpace(out)
	second := strings.TrimSpace(c.ok("lock", "-shell", "jobs", `echo "$DEBROS_LOCK_FENCING_TOKEN"`))
	if first == "" || len(second) < len(first) || len(second) == len(first) && second <= first {
		t.Errorf("fencing tokens %q and then %q", first, second)
	}
	c.fails(7, "lock", "jobs", "sh", "-c", "exit 7")
	c.fails(128+9, "lock", "jobs", "sh", "-c", "kill -9 $$")
	c.contains(c.fails(1, "lock", "jobs", "/nonexistent"), "debros: run /nonexistent")
	if left := c.ok("session", "list", "-format=json"); left != "[]\n" {
		t.Errorf("sessions are left: %s", left)
	}
	c.ok("lock", "-n=2", "places", "true")
}

func TestLockKillsTheChildWhenTheLockIsLost(t *testing.T) {
	c := newCLI(t)
	pid := filepath.Join(t.TempDir(), "pid")
	done := make(chan result, 1)
	go func() {
		// A child that ignores SIGTERM, with a child of its own.
		done <- c.run("lock", "-kill-after=100ms", "jobs", "sh", "-c", `trap "" TERM; echo $$ > `+pid+`.tmp; mv `+pid+`.tmp `+pid+`; sleep 60 & wait; sleep 60`)
	}()
	waitFor(t, func() bool { _, err := os.Stat(pid); return err == nil })
	c.endSessions()
	select {
	case r := <-done:
		if r.status != 1 || !strings.Contains(r.stderr, "the lock was lost") {
			t.Errorf("got %+v", r)
		}
	case <-time.After(patience):
		t.Fatal("the child lives on")
	}
}

func TestLockThatIsTaken(t *testing.T) {
	c := newCLI(t)
	id := strings.TrimSpace(c.ok("session", "create"))
	c.ok("kv", "put", "-acquire="+id, "-flags=3304740253564472344", "jobs/.lock")
	c.contains(c.fails(1, "lock", "-try", "jobs", "true"), "the lock is taken")
	c.contains(c.fails(1, "lock", "-timeout=50ms", "jobs", "true"), "not free within 50ms")
}

func TestWatchReportsChangesAndRunsHandlers(t *testing.T) {
	c := newCLI(t)
	if got := c.ok("watch", "-once", "-key=k"); got != "null\n" {
		t.Errorf("missing key: %q", got)
	}
	c.ok("kv", "put", "k", "v")
	c.contains(c.ok("watch", "-once", "-prefix=", "-key=k"), `"Key": "k"`)
	if got := c.ok("watch", "-once", "-key=k", "sh", "-c", "wc -l"); strings.TrimSpace(got) != "1" {
		t.Errorf("handler: %q", got)
	}
	if got := c.ok("watch", "-once", "-shell", "-prefix=k", "wc -l"); strings.TrimSpace(got) != "1" {
		t.Errorf("shell: %q", got)
	}
	r := c.run("watch", "-once", "-key=k", "sh", "-c", "exit 7")
	if r.status != 7 || !strings.Contains(r.stderr, "the handler ended with exit status 7") {
		t.Errorf("failing handler: %+v", r)
	}
	c.front.Fail(403, 403)
	c.fails(1, "watch", "-key=k")
}

func TestWatchNeedsAnAgentToBeginWith(t *testing.T) {
	c := newCLI(t)
	for _, once := range []string{"-once=false", "-once"} {
		stderr := c.fails(1, "watch", once, "-http-addr=127.0.0.1:1", "-key=k")
		c.contains(stderr, "debros: no answer from the agent", "hint: is an agent running there?")
	}
	c.front.Fail(slices.Repeat([]int{503}, 8)...)
	if stderr := c.fails(1, "watch", "-once", "-key=k"); strings.Contains(stderr, "trying again") {
		t.Errorf("-once tried again: %s", stderr)
	}
}

func waitFor(t *testing.T, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}
