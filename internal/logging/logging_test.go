package logging

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

func open(t *testing.T, o Options) *Logs {
	t.Helper()
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestLevelChangesWhileRunning(t *testing.T) {
	var out bytes.Buffer
	l := open(t, Options{Writer: &out, Level: "warn"})
	child := l.Logger().With("component", "x")
	child.Info("first")
	if err := l.SetLevel("TRACE"); err != nil {
		t.Fatal(err)
	}
	child.Log(context.Background(), LevelTrace, "second")
	if err := l.SetLevel("loud"); err == nil || l.Level() != LevelTrace {
		t.Errorf("unknown level: err %v, level %v", err, l.Level())
	}
	got := out.String()
	if strings.Contains(got, "first") || !strings.Contains(got, "level=TRACE msg=second component=x") {
		t.Errorf("got %q", got)
	}
}

func TestJSONLinesCarryAttributesAndGroups(t *testing.T) {
	var out bytes.Buffer
	l := open(t, Options{Writer: &out, JSON: true})
	l.Logger().With("a", 1).WithGroup("g").With("b", 2).Info("hello\nworld", "c", 3)
	var got struct {
		Level, Msg string
		A          int
		G          struct{ B, C int }
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if got.Level != "INFO" || got.Msg != "hello\nworld" || got.A != 1 || got.G.B != 2 || got.G.C != 3 {
		t.Errorf("got %+v", got)
	}
}

type noisy struct{ l *slog.Logger }

func (n noisy) LogValue() slog.Value {
	n.l.Info("inner")
	return slog.StringValue("v")
}

func TestValueThatLogsDoesNotDeadlock(t *testing.T) {
	var out bytes.Buffer
	l := open(t, Options{Writer: &out})
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Logger().Info("outer", "n", noisy{l.Logger()})
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("deadlock")
	}
	if got := out.String(); !strings.Contains(got, "inner") || !strings.Contains(got, "outer n=v") {
		t.Errorf("got %q", got)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestFailedOutputIsCountedAndHarmless(t *testing.T) {
	l := open(t, Options{Writer: failing{}})
	l.Logger().Info("x")
	if l.Lost() != 1 {
		t.Errorf("lost %d, want 1", l.Lost())
	}
}

func TestFileRotatesBySizeAgeAndKeepsCount(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub", "debros.log")
	l := open(t, Options{File: FileOptions{Path: path, RotateBytes: 300, RotateInterval: time.Hour, MaxFiles: 2}})
	// lumberjack removes files in the background and by the millisecond in their names: wait for each step.
	files := func() []string {
		m, _ := filepath.Glob(filepath.Join(dir, "sub", "*"))
		return m
	}
	for i := range 40 {
		l.Logger().Info("a line", "i", i)
		if i%10 == 9 {
			time.Sleep(2 * time.Millisecond)
		}
	}
	deadline := time.Now().Add(time.Minute)
	for len(files()) != 3 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	if got := files(); len(got) != 3 {
		t.Fatalf("files %v, want the current one and 2 others", got)
	}
	for _, f := range files() {
		fi, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if fi.Size() > 300 || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %d bytes, mode %v", f, fi.Size(), fi.Mode())
		}
	}
	l.file.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	l.Logger().Info("after two hours")
	b, err := os.ReadFile(path)
	if err != nil || bytes.Count(b, []byte("\n")) != 1 {
		t.Errorf("current file %q, %v; want the last line alone", b, err)
	}
}

func TestUnwritableFileFailsOpen(t *testing.T) {
	if _, err := Open(Options{File: FileOptions{Path: t.TempDir()}}); err == nil {
		t.Error("a directory as log file: no error")
	}
}

func TestSubscribeReplaysThenStreams(t *testing.T) {
	var out bytes.Buffer
	l := open(t, Options{Writer: &out, RingRecords: 3})
	for i := range 5 {
		l.Logger().Info("old", "i", i)
	}
	l.Logger().Debug("nobody wants this")
	ctx, cancel := context.WithCancel(t.Context())
	ch := l.Subscribe(ctx, slog.LevelDebug)
	l.Logger().Debug("new")
	cancel()
	var got []string
	for line := range ch { // ends: ctx is done
		got = append(got, string(line))
	}
	want := []string{"msg=old i=2", "msg=old i=3", "msg=old i=4", "level=DEBUG msg=new"}
	if len(got) != len(want) {
		t.Fatalf("got %q", got)
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("line %d = %q, want %q", i, got[i], want[i])
		}
	}
	if strings.Contains(out.String(), "DEBUG") {
		t.Error("a subscriber's level reached the outputs")
	}
	if l.Logger().Enabled(t.Context(), slog.LevelDebug) {
		t.Error("debug still enabled after the subscriber left")
	}
}

func TestSubscriberChoosesFormat(t *testing.T) {
	var out bytes.Buffer
	l := open(t, Options{Writer: &out})
	l.Logger().With("a", 1).WithGroup("g").Info("x", "b", 2)
	js, text := l.SubscribeFormat(t.Context(), slog.LevelInfo, true), l.SubscribeFormat(t.Context(), slog.LevelInfo, false)
	var got map[string]any
	if err := json.Unmarshal(<-js, &got); err != nil || got["msg"] != "x" || got["a"] != 1.0 || fmt.Sprint(got["g"]) != "map[b:2]" {
		t.Errorf("JSON: %v, %v", got, err)
	}
	if line := string(<-text); line != out.String() || !strings.Contains(line, "msg=x a=1 g.b=2") {
		t.Errorf("text: %q", line)
	}
}

func TestSlowSubscriberLosesLinesWithCount(t *testing.T) {
	l := open(t, Options{})
	ch := l.Subscribe(t.Context(), slog.LevelInfo)
	const extra = 7
	for i := range subscriberLines + extra {
		l.Logger().Info("line", "i", i)
	}
	for range subscriberLines {
		<-ch
	}
	l.Logger().Info("afterwards")
	if got := string(<-ch); !strings.Contains(got, "lost=7") {
		t.Errorf("got %q, want the number of lost lines", got)
	}
	if got := string(<-ch); !strings.Contains(got, "afterwards") {
		t.Errorf("got %q", got)
	}
}

func TestRingIsBoundedByBytes(t *testing.T) {
	r := ring{recordsMax: 100, bytesMax: 1000}
	for range 50 {
		r.add(slog.LevelInfo, lines{make([]byte, 100), make([]byte, 200)})
	}
	if len(r.records) != 3 || r.bytes != 900 {
		t.Errorf("%d records, %d bytes", len(r.records), r.bytes)
	}
	r.add(slog.LevelInfo, lines{make([]byte, 5000)})
	if len(r.records) != 1 {
		t.Errorf("%d records after a huge one", len(r.records))
	}
}

func TestCloseEndsSubscriptionsAndIsIdempotent(t *testing.T) {
	l := open(t, Options{File: FileOptions{Path: filepath.Join(t.TempDir(), "x.log")}})
	ch := l.Subscribe(context.Background(), LevelTrace)
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := <-ch; ok {
		t.Error("channel open after Close")
	}
	l.Logger().Info("still harmless")
}

func TestConcurrentUse(t *testing.T) {
	var out bytes.Buffer
	l := open(t, Options{Writer: &out})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			lg := l.Logger().With("g", g)
			for i := range 200 {
				lg.Info("x", "i", i)
			}
		})
		wg.Go(func() {
			ctx, cancel := context.WithCancel(context.Background())
			ch := l.Subscribe(ctx, LevelTrace)
			cancel()
			for range ch {
			}
		})
	}
	wg.Wait()
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 800 {
		t.Errorf("%d lines, want 800 whole ones", len(lines))
	}
}

func TestHCLogBridge(t *testing.T) {
	var out bytes.Buffer
	l := open(t, Options{Writer: &out, Level: "debug"})
	raft := HCLog(l.Logger(), "raft")
	raft.Named("wal").With("id", "n1").Warn("slow", "took", hclog.Fmt("%dms", 5), "lone")
	raft.Trace("hidden")
	raft.ResetNamed("autopilot").Log(hclog.NoLevel, "always")
	raft.StandardLogger(nil).Print("[ERR] raft: bad")
	want := []string{
		"level=WARN msg=slow component=raft.wal id=n1 took=5ms EXTRA_VALUE_AT_END=lone",
		"level=INFO msg=always component=autopilot",
		"level=ERROR msg=bad component=raft",
	}
	got := out.String()
	for _, w := range want {
		if !strings.Contains(got, w+"\n") {
			t.Errorf("no %q in:\n%s", w, got)
		}
	}
	if strings.Contains(got, "hidden") || raft.IsTrace() || !raft.IsDebug() || raft.GetLevel() != hclog.Debug {
		t.Errorf("levels are not those of the logger: %s", got)
	}
}

func TestStdLogUnderstandsSerfsPrefixes(t *testing.T) {
	var out bytes.Buffer
	l := open(t, Options{Writer: &out, Level: "debug"})
	std := StdLog(l.Logger(), "gossip", slog.LevelWarn)
	for _, tc := range []struct{ in, want string }{
		{"[DEBUG] memberlist: Stream connection from=1.2.3.4:5", `level=DEBUG msg="Stream connection from=1.2.3.4:5" component=memberlist`},
		{"[INFO] serf: EventMemberJoin: a 1.2.3.4", `level=INFO msg="EventMemberJoin: a 1.2.3.4" component=serf`},
		{"[WARN]  serf: x", `level=WARN msg=x component=serf`},
		{"[ERR] memberlist: y\n", `level=ERROR msg=y component=memberlist`},
		{"[ERR] Failed to do z: broken", `level=ERROR msg="Failed to do z: broken" component=gossip`},
		{"[::1]:80: refused", `level=WARN msg="[::1]:80: refused" component=gossip`},
		{"plain", `level=WARN msg=plain component=gossip`},
		{"[] empty", `level=WARN msg="[] empty" component=gossip`},
		{"", `level=WARN msg="" component=gossip`},
	} {
		out.Reset()
		std.Print(tc.in)
		if got := out.String(); !strings.HasSuffix(got, tc.want+"\n") {
			t.Errorf("%q: got %q, want %q", tc.in, got, tc.want)
		}
	}
	out.Reset()
	std.Print("[TRACE] serf: hidden")
	if out.Len() > 0 {
		t.Errorf("trace line shown: %s", out.String())
	}
}

func TestParseLevelNamesAllLevels(t *testing.T) {
	for name, want := range map[string]slog.Level{"": 0, "Trace": -8, "DEBUG": -4, "info": 0, "warning": 4, "err": 8, "error": 8} {
		if got, err := ParseLevel(name); err != nil || got != want {
			t.Errorf("%q: %v, %v", name, got, err)
		}
	}
	if _, err := ParseLevel("fatal"); err == nil || !strings.Contains(fmt.Sprint(err), "trace, debug") {
		t.Errorf("fatal: %v", err)
	}
}
