package command

import (
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
