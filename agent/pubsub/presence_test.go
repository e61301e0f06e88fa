package pubsub

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/debros/debros/structs"
)

// So many patterns do not go into one frame: what fits is told, groups first.
func TestWhatOthersCannotAllBeToldIsCutAndAGroupRefused(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 2)
	nodes[0].to(t, "first")
	long := strings.Repeat("x", 240)
	subscribe := func(from int, group string) error {
		patterns := make([]string, patternsMax)
		for i := range patterns {
			patterns[i] = fmt.Sprintf("a.%s%07d", long, from*patternsMax+i)
		}
		s, err := nodes[1].Subscribe(t.Context(), "default", structs.SubscribeOptions{Patterns: patterns, Group: group})
		if err == nil {
			t.Cleanup(s.Close)
		}
		return err
	}
	for i := range 24 { // 6,144 patterns
		if err := subscribe(i, ""); err != nil {
			t.Fatal(err)
		}
	}
	heard := func(pattern, group string) bool {
		list, err := nodes[0].Subscribers(t.Context(), "default", pattern)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(list, func(s structs.Subscriber) bool { return s.Agent == nodes[1].node && s.Group == group })
	}
	nodes[1].to(t, "a.a")
	eventually(t, "some of it is heard", func() bool { return heard("a.a", "") })
	nodes[1].sub(t, structs.SubscribeOptions{Patterns: []string{"z"}, Group: "g"})
	if !heard("z", "g") {
		t.Error("a group is not heard of when its subscription has begun")
	}
	var err error
	for i := 0; err == nil && i < 24; i++ {
		err = subscribe(i, "g")
	}
	if e := structs.AsError(err); e == nil || e.Kind != structs.KindTooLarge {
		t.Errorf("groups of which nobody can be told: %v", err)
	}
	nodes[0].pub(t, "z", "1")
}
