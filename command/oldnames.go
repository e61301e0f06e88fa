package command

import (
	"slices"
	"strings"
)

// oldNames are the names that commands had in the original system, whose scripts go on working (N80). health, peers, peer-id,
// connect and pubsub publish have kept theirs.
var oldNames = []struct{ old, now string }{
	{"status", "network status"},
	{"query", "sql"},
	{"storage get", "kv get"},
	{"storage put", "kv put"},
	{"storage list", "kv list"},
	{"storage delete", "kv delete"},
}

// fromOldNames is the command line in the names of today. --bootstrap, which named the peer to talk through, is -via; only the command agent
// has something else of that name.
func fromOldNames(args []string) []string {
	for _, n := range oldNames {
		words := strings.Fields(n.old)
		if len(args) >= len(words) && slices.Equal(args[:len(words)], words) {
			args = append(strings.Fields(n.now), args[len(words):]...)
			break
		}
	}
	if len(args) == 0 || args[0] == "agent" || args[0] == "lock" || args[0] == "watch" {
		return args // the last two run commands of others
	}
	out := slices.Clone(args)
	for i, a := range out {
		if a == "--" {
			break
		}
		if name := strings.TrimLeft(a, "-"); name != a && (name == "bootstrap" || strings.HasPrefix(name, "bootstrap=")) {
			out[i] = "-via" + strings.TrimPrefix(name, "bootstrap")
		}
	}
	return out
}
