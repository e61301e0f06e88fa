package command

import (
	"slices"
	"strings"
	"testing"
)

func TestOldNamesMeanTheCommandsOfToday(t *testing.T) {
	for old, now := range map[string]string{
		"status":                                  "network status",
		"query --format json select":              "sql --format json select",
		"storage get a --bootstrap /ip4/x":        "kv get a -via /ip4/x",
		"storage put a b --bootstrap=/ip4/x":      "kv put a b -via=/ip4/x",
		"storage list a":                          "kv list a",
		"storage frob a":                          "storage frob a",
		"peers -bootstrap /ip4/x --timeout 30s":   "peers -via /ip4/x --timeout 30s",
		"kv put -- --bootstrap x":                 "kv put -- --bootstrap x",
		"kv put bootstrap x":                      "kv put bootstrap x",
		"agent -bootstrap-expect=3 --bootstrap=x": "agent -bootstrap-expect=3 --bootstrap=x",
		"lock k prog --bootstrap x":               "lock k prog --bootstrap x",
	} {
		if got := fromOldNames(strings.Fields(old)); !slices.Equal(got, strings.Fields(now)) {
			t.Errorf("%s: %s, want %s", old, got, now)
		}
	}
}
