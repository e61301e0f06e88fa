package command

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes this test binary answer as "debros" too: scripts run the real command line in a
// process of its own, against real agents.
func TestMain(m *testing.M) {
	testscript.Main(tests{m}, map[string]func(){
		"debros": func() { os.Exit(Main(os.Args[1:])) },
	})
}

// tests closes the agent that they share, since testscript.Main exits.
type tests struct{ m *testing.M }

func (t tests) Run() int {
	defer shared.Close()
	return t.m.Run()
}

// TestScripts runs testdata/script/*.txtar. Beside what testscript has, a script may say:
//
//	agent NAME [OPTION…]        start an agent, its log in NAME.log, and wait for its HTTP API
//	leader                      wait until the agent at $DEBROS_HTTP_ADDR knows a leader
//	signal NAME TERM|HUP|INT    send a signal to the agent
//	ended NAME STATUS           wait for the agent's end, which must be with this exit status
//	status STATUS PROGRAM …     run a program, which must end with this exit status
//	eventually PATTERN PROGRAM  run a program until it succeeds and its output matches
//
// $HTTP, $SERVER, $SERF and $HTTP2, $SERVER2, $SERF2 are ports that were free a moment ago.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			a := &agents{running: map[string]*running{}}
			e.Values[agentsKey{}] = a
			e.Defer(a.killAll)
			ports := freePorts(t, 6)
			for i, name := range []string{"HTTP", "SERVER", "SERF", "HTTP2", "SERVER2", "SERF2"} {
				e.Setenv(name, strconv.Itoa(ports[i]))
			}
			e.Setenv("DEBROS_HTTP_ADDR", "127.0.0.1:"+e.Getenv("HTTP"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"agent": scriptAgent, "leader": scriptLeader, "signal": scriptSignal, "ended": scriptEnded,
			"status": scriptStatus, "eventually": scriptEventually,
		},
	})
}

type agentsKey struct{}

// agents are the background agents of one script.
type agents struct{ running map[string]*running }

type running struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed after the process was waited for
	log   string
}

func (a *agents) killAll() {
	for _, r := range a.running {
		_ = r.cmd.Process.Kill() // it may have ended
		<-r.ended
	}
}

func scriptAgents(ts *testscript.TestScript) *agents { return ts.Value(agentsKey{}).(*agents) }

// patience is how long a script waits for anything, on a busy machine.
const patience = time.Minute

// until repeats try until it is nil.
func until(try func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := try()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// scriptEnv is the environment of a script's programs.
func scriptEnv(ts *testscript.TestScript) []string {
	env := []string{}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "WORK", "DEBROS_HTTP_ADDR"} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	return env
}

func scriptAgent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: agent NAME [OPTION…]")
	}
	name, options := args[0], args[1:]
	log, err := os.Create(ts.MkAbs(name + ".log"))
	ts.Check(err)
	defer log.Close()
	c := exec.Command("debros", append([]string{"agent"}, options...)...)
	c.Dir, c.Env, c.Stdout, c.Stderr = ts.MkAbs("."), scriptEnv(ts), log, log
	ts.Check(c.Start())
	r := &running{cmd: c, ended: make(chan struct{}), log: log.Name()}
	go func() { _ = c.Wait(); close(r.ended) }()
	scriptAgents(ts).running[name] = r
	listens := regexp.MustCompile(`the HTTP API listens`)
	err = until(func() error {
		text, err := os.ReadFile(r.log)
		select {
		case <-r.ended:
			ts.Fatalf("agent %s ended:\n%s", name, text)
		default:
		}
		if err == nil && !listens.Match(text) {
			err = errors.New("its HTTP API does not listen")
		}
		return err
	})
	if err != nil {
		ts.Fatalf("agent %s: %v", name, err)
	}
}

func scriptLeader(ts *testscript.TestScript, _ bool, args []string) {
	addr := ts.Getenv("DEBROS_HTTP_ADDR")
	if len(args) == 1 {
		addr = args[0]
	}
	ts.Check(until(func() error {
		reply, err := http.Get("http://" + addr + "/v1/kv/?count")
		if err != nil {
			return err
		}
		defer reply.Body.Close()
		if reply.StatusCode != http.StatusOK {
			return fmt.Errorf("agent at %s: %s", addr, reply.Status)
		}
		return nil
	}))
}

func scriptSignal(ts *testscript.TestScript, _ bool, args []string) {
	signals := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL}
	if len(args) != 2 || signals[args[1]] == 0 || scriptAgents(ts).running[args[0]] == nil {
		ts.Fatalf("usage: signal NAME TERM|HUP|INT|KILL")
	}
	ts.Check(scriptAgents(ts).running[args[0]].cmd.Process.Signal(signals[args[1]]))
}

func scriptEnded(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 || scriptAgents(ts).running[args[0]] == nil {
		ts.Fatalf("usage: ended NAME STATUS")
	}
	r := scriptAgents(ts).running[args[0]]
	select {
	case <-r.ended:
	case <-time.After(patience):
		ts.Fatalf("agent %s still runs", args[0])
	}
	if got := strconv.Itoa(r.cmd.ProcessState.ExitCode()); got != args[1] {
		ts.Fatalf("agent %s ended with status %s, want %s", args[0], got, args[1])
	}
}

func scriptStatus(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: status STATUS PROGRAM [ARGUMENT…]")
	}
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	got := 0
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit status %d, want %s\nstderr: %s", got, args[0], ts.ReadFile("stderr"))
	}
}

func scriptEventually(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: eventually PATTERN PROGRAM [ARGUMENT…]")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	ts.Check(until(func() error {
		if err := ts.Exec(args[1], args[2:]...); err != nil {
			return err
		}
		if out := ts.ReadFile("stdout"); !pattern.MatchString(out) {
			return fmt.Errorf("no %q in the output of %s:\n%s", args[0], strings.Join(args[1:], " "), out)
		}
		return nil
	}))
}

// freePorts gives ports that are free for TCP and UDP, below those that the system hands out itself.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for tries := 0; len(ports) < n; tries++ {
		if tries > 1000 {
			t.Fatal("no free ports between 20000 and 32000")
		}
		port := 20000 + rand.IntN(12000)
		if portFree(port) {
			ports = append(ports, port)
		}
	}
	return ports
}

func portFree(port int) bool {
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	l.Close()
	u, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	u.Close()
	return true
}

func TestACommandRepeatsAFailureOnce(t *testing.T) {
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls++ // one connection, one request at a time
		http.Error(w, "no cluster leader", http.StatusServiceUnavailable)
	}))
	defer server.Close()
	var errs bytes.Buffer
	status := Run([]string{"kv", "get", "-http-addr=" + server.URL, "a"}, IO{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &errs})
	if status != exitFailed || !strings.Contains(errs.String(), "no cluster leader") || calls != 2 {
		t.Errorf("status %d after %d calls: %s", status, calls, &errs)
	}
}
