package compat

import (
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// TestUserEventsFireAndList: Consul's own client fires an event and is woken by it.
func TestUserEventsFireAndList(t *testing.T) {
	client, _ := sharedClient(t)
	before, meta, err := client.Event().List("deploy", nil)
	must(t, err)
	if len(before) != 0 || meta.LastIndex == 0 {
		t.Fatalf("%v, index %d", before, meta.LastIndex)
	}
	type answer struct {
		list []*api.UserEvent
		err  error
	}
	woken := make(chan answer, 1)
	go func() {
		list, _, err := client.Event().List("deploy", &api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: time.Minute})
		woken <- answer{list, err}
	}()
	id, _, err := client.Event().Fire(&api.UserEvent{Name: "deploy", Payload: []byte("v2"), NodeFilter: ".*"}, nil)
	must(t, err)
	got := <-woken
	must(t, got.err)
	if len(got.list) != 1 || got.list[0].ID != id || string(got.list[0].Payload) != "v2" || got.list[0].Version != 1 || got.list[0].LTime == 0 {
		t.Errorf("%+v", got.list)
	}
	if list, _, err := client.Event().List("", nil); err != nil || len(list) != 1 || client.Event().IDToIndex(id) == 0 {
		t.Errorf("%v, %v", list, err)
	}
	_, now, err := client.Event().List("", nil)
	must(t, err)
	if want := client.Event().IDToIndex(id); now.LastIndex != want {
		t.Errorf("index %d, and Consul's client makes %d of the id", now.LastIndex, want)
	}
}
