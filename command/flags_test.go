package command

import (
	"flag"
	"io"
	"strings"
	"testing"

	"github.com/debros/debros/api"
)

// TestAPersonDoesNotWaitForALeaderTwice: TestACallThatFailedLateIsNotRepeated, in api, shows what the setting does.
func TestAPersonDoesNotWaitForALeaderTwice(t *testing.T) {
	const agentWaits = 7e9 // rpc_hold_timeout
	for name, f := range map[string]*commonFlags{"by default": {}, "with an address": {addr: "127.0.0.1:1"}} {
		retry := f.config().Retry
		if retry == (api.RetryPolicy{}) || retry.Max > 0 && (retry.Within <= 0 || retry.Within >= agentWaits) {
			t.Errorf("%s: %+v", name, retry)
		}
	}
}

func TestOneFlagSaysHowFreshReadsAre(t *testing.T) {
	for line, want := range map[string]api.Consistency{
		"": api.Linearizable, "-stale": api.Stale, "-leader": api.Leader, "-consistency=linearizable": api.Linearizable, "-consistency=leader": api.Leader,
		"-consistency=none": api.Stale, "-consistency weak": api.Leader, "-consistency=strong": api.Linearizable, "-consistency=auto": api.Leader,
		"-stale -consistency=none": api.Stale, "-stale=false -leader": api.Leader,
	} {
		c, err := parseCommon(line)
		if err != nil || c.query().Consistency != want {
			t.Errorf("%s: %v, %v", line, c.query().Consistency, err)
		}
	}
	for _, line := range []string{"-stale -leader", "-stale -consistency=linearizable", "-consistency=fast", "-consistency=", "-stale=maybe"} {
		if _, err := parseCommon(line); err == nil {
			t.Errorf("%s is taken", line)
		}
	}
}

func parseCommon(line string) (*call, error) {
	c := &call{}
	fs := flag.NewFlagSet("debros", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	c.common.add(fs)
	return c, fs.Parse(strings.Fields(line))
}
