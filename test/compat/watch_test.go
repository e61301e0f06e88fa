package compat

import (
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/consul/api/watch"
)

// The client's own watch plans, which other programs build on.
func TestWatchPlans(t *testing.T) {
	client, p := sharedClient(t)
	kv := client.KV()
	put(t, kv, p+"a", "1")
	for _, tt := range []struct {
		params  map[string]any
		changed func(v any) bool
	}{
		{map[string]any{"type": "key", "key": p + "a"}, func(v any) bool { e, ok := v.(*api.KVPair); return ok && string(e.Value) == "2" }},
		{map[string]any{"type": "keyprefix", "prefix": p}, func(v any) bool {
			es, ok := v.(api.KVPairs)
			return ok && len(es) == 1 && string(es[0].Value) == "2"
		}},
		{map[string]any{"type": "nodes"}, func(v any) bool { ns, ok := v.([]*api.Node); return ok && len(ns) == 1 }},
	} {
		kind := tt.params["type"].(string) // Parse takes it out
		t.Run(kind, func(t *testing.T) {
			put(t, kv, p+"a", "1")
			plan, err := watch.Parse(tt.params)
			must(t, err)
			seen := make(chan any, 16)
			plan.Handler = func(_ uint64, v any) { seen <- v }
			result := make(chan error, 1)
			go func() { result <- plan.RunWithClientAndHclog(client, nil) }()
			defer plan.Stop()
			var first any
			select {
			case first = <-seen:
			case <-time.After(deadline):
				t.Fatal("the plan told nothing")
			}
			if kind != "nodes" && tt.changed(first) {
				t.Fatalf("first %+v", first)
			}
			put(t, kv, p+"a", "2")
			for v := first; !tt.changed(v); {
				select {
				case v = <-seen:
				case <-time.After(deadline):
					t.Fatal("the plan was not told of the change")
				}
			}
			plan.Stop()
			select {
			case err := <-result:
				must(t, err)
			case <-time.After(deadline):
				t.Error("the plan did not stop")
			}
		})
	}
}
