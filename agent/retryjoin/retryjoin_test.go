package retryjoin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/debros/debros/structs"
)

// zone is a Resolver; a name's answers are used up one by one, the last one stays.
type zone map[string][][]string

func (z zone) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	answers := z[host]
	if network != "ip" || len(answers) == 0 {
		return nil, errors.New("no such host")
	}
	if len(answers) > 1 {
		z[host] = answers[1:]
	}
	var out []netip.Addr
	for _, a := range answers[0] {
		out = append(out, netip.MustParseAddr(a))
	}
	return out, nil
}

// program writes a script that prints text.
func program(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestNamesAreResolvedAtEveryAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logs bytes.Buffer
		var tried [][]string
		var at []time.Duration
		begin := time.Now()
		err := Run(t.Context(), Config{
			Addrs:       []string{"moving", "gone:1", "10.0.0.9"},
			DefaultPort: 7946, Interval: time.Second,
			Resolver: zone{"moving": {{"10.0.0.1"}, {"10.0.0.2", "fd00::2"}, {"::ffff:10.0.0.3"}}},
			Logger:   slog.New(slog.NewTextHandler(&logs, nil)),
			Join: func(_ context.Context, addrs []string) (int, error) {
				tried, at = append(tried, addrs), append(at, time.Since(begin))
				if len(tried) < 3 {
					return 0, errors.New("connection refused")
				}
				return 1, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		want := [][]string{
			{"10.0.0.1:7946", "10.0.0.9:7946"},
			{"10.0.0.2:7946", "[fd00::2]:7946", "10.0.0.9:7946"},
			{"10.0.0.3:7946", "10.0.0.9:7946"},
		}
		if !slices.EqualFunc(tried, want, slices.Equal) {
			t.Errorf("tried %v", tried)
		}
		if at[0] != 0 {
			t.Errorf("the first attempt waited %v", at[0])
		}
		for i := 1; i < len(at); i++ {
			if d := at[i] - at[i-1]; d < 750*time.Millisecond || d > 1250*time.Millisecond {
				t.Errorf("interval of %v", d)
			}
		}
		if n := strings.Count(logs.String(), "connection refused"); n != 2 {
			t.Errorf("%d failures logged:\n%s", n, &logs)
		}
		if n := strings.Count(logs.String(), "address=gone"); n != 3 {
			t.Errorf("%d unresolved names logged:\n%s", n, &logs)
		}
	})
}

func TestMaxAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		err := Run(t.Context(), Config{
			Addrs: []string{"10.0.0.1:1"}, MaxAttempts: 4, Logger: quiet(),
			Join: func(context.Context, []string) (int, error) { n++; return 0, errors.New("refused") },
		})
		if !errors.Is(err, structs.ErrUnavailable) || n != 4 || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%d attempts, %v", n, err)
		}
	})
}

func TestNoAddressIsAFailureToo(t *testing.T) {
	err := Run(t.Context(), Config{
		Addrs: []string{"nobody"}, MaxAttempts: 1, Resolver: zone{}, Logger: quiet(),
		Join: func(context.Context, []string) (int, error) { t.Error("joined nothing"); return 1, nil },
	})
	if !errors.Is(err, structs.ErrUnavailable) {
		t.Errorf("error is %v", err)
	}
}

func TestConflictEndsTheAttempts(t *testing.T) {
	n := 0
	err := Run(t.Context(), Config{
		Addrs: []string{"10.0.0.1:1"}, Logger: quiet(),
		Join: func(context.Context, []string) (int, error) {
			n++
			return 1, structs.Errorf(structs.KindConflict, "a clone")
		},
	})
	if !errors.Is(err, structs.ErrConflict) || n != 1 {
		t.Errorf("%d attempts, %v", n, err)
	}
}

func TestCancelEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := Run(ctx, Config{
			Addrs: []string{"10.0.0.1"}, Interval: time.Hour, Logger: quiet(),
			Join: func(context.Context, []string) (int, error) { return 0, nil },
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v", err)
		}
	})
}

func TestExecProvider(t *testing.T) {
	counter := filepath.Join(t.TempDir(), "n")
	path := program(t, `echo x >> "$1"; echo 10.0.0.1; echo "  [::1]:9,name	10.0.0.$(wc -l < "$1")"; echo noise >&2`)
	var tried [][]string
	err := Run(t.Context(), Config{
		Addrs: []string{"exec=" + path + " " + counter}, DefaultPort: 7946, Interval: time.Millisecond, Logger: quiet(),
		Resolver: zone{"name": {{"10.1.1.1"}}},
		Join: func(_ context.Context, addrs []string) (int, error) {
			tried = append(tried, addrs)
			return len(tried) - 1, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		{"10.0.0.1:7946", "[::1]:9", "10.1.1.1:7946"}, // 10.0.0.1 once
		{"10.0.0.1:7946", "[::1]:9", "10.1.1.1:7946", "10.0.0.2:7946"},
	}
	if !slices.EqualFunc(tried, want, slices.Equal) {
		t.Errorf("tried %v", tried)
	}
}

func TestExecProviderThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		path string
		want string
		n    int
	}{
		"missing":    {"/nonexistent/list", "no such file", 0},
		"exit code":  {program(t, "echo 10.0.0.1; echo out of luck >&2; exit 3"), "out of luck", 0},
		"silent":     {program(t, ":"), "no address", 0},
		"too much":   {program(t, "yes 10.0.0.1 | head -c 100000"), "more than", 0},
		"half right": {program(t, "echo 10.0.0.1; echo http://x/; echo exec=/bin/true"), "cannot name another", 1},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := runExec(t.Context(), []string{c.path}, 1)
			if err == nil || !strings.Contains(err.Error(), c.want) || len(list) != c.n {
				t.Errorf("%d addresses, %v", len(list), err)
			}
		})
	}
}

func TestHangingProgramIsKilled(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := runExec(ctx, []string{program(t, "exec sleep 60")}, 1); err == nil {
		t.Error("no error")
	}
	if d := time.Since(begin); d > execTimeout {
		t.Errorf("waited %v", d)
	}
}

func TestAddressForms(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.1": "10.0.0.1 7946", "10.0.0.1:1": "10.0.0.1 1", "::1": "::1 7946", "[::1]": "::1 7946",
		"[::1]:65535": "::1 65535", "fd00:1:2::3": "fd00:1:2::3 7946", "[::ffff:10.0.0.1]:1": "10.0.0.1 1",
		"srv-1.example_zone.com": "name 7946", "srv:2": "name 2", " spaced ": "name 7946", "srv.example.com.": "name 7946",
		"": "", "[::1": "", "[10.0.0.1]": "", "[srv]:1": "name 1", "srv:": "", "srv:0": "", "srv:65536": "", "srv:-1": "", ":1": "",
		"10.0.0.256": "", "1:2:3": "", "fe80::1%eth0": "", "a/b": "", "a b": "", "[::1]x": "", "http://a": "", "ünï": "",
		"exec=": "", "exec=list": "", "exec=./list": "", "[]": "", "[]:1": "", strings.Repeat("a", 300): "",
	} {
		a, err := parse(text, 7946)
		got := ""
		if err == nil {
			got = fmt.Sprint(a.ip, " ", a.port)
			if !a.ip.IsValid() {
				got = fmt.Sprint("name ", a.port)
			}
		}
		if got != want {
			t.Errorf("%q is %q, want %q (%v)", text, got, want, err)
		}
		if cerr := Check([]string{text}); (cerr != nil) != (want == "") || cerr != nil && !errors.Is(cerr, structs.ErrInvalid) {
			t.Errorf("check of %q: %v", text, cerr)
		}
	}
}

func TestRunRefusesMalformedAddresses(t *testing.T) {
	if err := Run(t.Context(), Config{Addrs: []string{"a", "b/c"}, Logger: quiet()}); !errors.Is(err, structs.ErrInvalid) {
		t.Errorf("error is %v", err)
	}
}

func FuzzList(f *testing.F) {
	f.Add("10.0.0.1 [::1]:1,name:2\nexec=/x")
	f.Add("[[[]]]::::%")
	f.Fuzz(func(t *testing.T, text string) {
		list, _ := parseList(text, "x", 7946)
		if len(list) > addrsMax {
			t.Fatalf("%d addresses", len(list))
		}
		for _, a := range list {
			if a.port == 0 || a.exec != nil || !a.ip.IsValid() && (a.host == "" || strings.ContainsAny(a.host, "/: %[]")) {
				t.Fatalf("accepted %+v", a)
			}
		}
	})
}
