package pubsub

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

func TestOneOfAGroupGetsEachMessage(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 3)
	// Two members at one agent, one at another; and a group of another name, and somebody alone.
	members := []*Subscription{
		nodes[1].sub(t, structs.SubscribeOptions{Patterns: []string{"jobs.*"}, Group: "workers"}),
		nodes[1].sub(t, structs.SubscribeOptions{Patterns: []string{"jobs.*"}, Group: "workers"}),
		nodes[2].sub(t, structs.SubscribeOptions{Patterns: []string{"jobs.*"}, Group: "workers"}),
	}
	other := nodes[2].sub(t, structs.SubscribeOptions{Patterns: []string{"jobs.*"}, Group: "audit"})
	alone := nodes[2].to(t, "jobs.*")
	const n = 300
	for i := range n {
		nodes[i%3].pub(t, "jobs.a", fmt.Sprint(i))
	}
	take(t, other, n)
	take(t, alone, n)
	// Each publisher has them take turns; where it begins is its own.
	seen := map[string]int{}
	for i, m := range members {
		got := texts(take(t, m, n/3-3))
		rest, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		for items, err := m.Next(rest); err == nil; items, err = m.Next(rest) {
			got = append(got, texts(items)...)
		}
		cancel()
		if len(got) > n/3+3 {
			t.Errorf("member %d got %d", i, len(got))
		}
		for _, text := range got {
			seen[text]++
		}
	}
	for text, times := range seen {
		if times > 1 {
			t.Errorf("message %s came %d times", text, times)
		}
	}
	if len(seen) != n {
		t.Errorf("%d of %d messages came", len(seen), n)
	}
}

func TestAGroupGoesOnWithoutAMemberWhoseAgentIsGone(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 3)
	m := nodes[1].sub(t, structs.SubscribeOptions{Patterns: []string{"jobs"}, Group: "w"})
	nodes[2].sub(t, structs.SubscribeOptions{Patterns: []string{"jobs"}, Group: "w"})
	nodes[0].pub(t, "jobs", "1", "2")
	if got := take(t, m, 1); len(got) != 1 {
		t.Errorf("%v", texts(got))
	}
	nodes[2].Bus.cancel() // as if killed
	nodes[2].host.Close()
	p := nodes[0].spaces["default"].presence
	eventually(t, "its agent is known to be gone", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.routes) == 1 && len(p.routes[0].agents) == 1
	})
	nodes[0].pub(t, "jobs", "3", "4", "5")
	if got := texts(take(t, m, 3)); !slices.Equal(got, []string{"3", "4", "5"}) {
		t.Errorf("%v", got)
	}
}

// Its members are gone, and its programs may subscribe at another agent now: nothing must be chosen for those of its last run.
func TestAGroupGoesOnWithoutTheMembersOfAnAgentThatRestarted(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 3)
	m := nodes[1].sub(t, structs.SubscribeOptions{Patterns: []string{"jobs"}, Group: "w"})
	nodes[2].sub(t, structs.SubscribeOptions{Patterns: []string{"jobs"}, Group: "w"})
	nodes[0].pub(t, "jobs", "1", "2")
	take(t, m, 1)
	nodes[2].Bus.cancel() // as if killed
	nodes[2].host.Close()
	members := func(n *node) int {
		list, err := n.Subscribers(t.Context(), "default", "jobs")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	eventually(t, "its agent is known to be gone", func() bool { return members(nodes[0]) == 1 && members(nodes[1]) == 1 })
	again := startNode(t, nodes[2].key, 2)
	connect(t, again, nodes[0])
	connect(t, again, nodes[1])
	late := startNode(t, newKey(t), 1) // which hears of the members from others
	for _, n := range []*node{nodes[0], nodes[1], again} {
		connect(t, late, n)
	}
	eventually(t, "its members are known to be gone", func() bool {
		return members(nodes[0]) == 1 && members(nodes[1]) == 1 && members(again) == 1 && members(late) == 1
	})
	for i, n := range []*node{nodes[0], again, late} {
		n.pub(t, "jobs", "3", "4", "5")
		if got := texts(take(t, m, 3)); !slices.Equal(got, []string{"3", "4", "5"}) {
			t.Errorf("of publisher %d came %v", i, got)
		}
	}
}

func TestARequestIsReplied(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 3)
	for i, n := range nodes[:2] {
		s := n.to(t, "time.*")
		go func() {
			for {
				items, err := s.Next(t.Context())
				if err != nil {
					return
				}
				for _, it := range items {
					_ = n.Publish(t.Context(), "default", []*structs.Message{{Topic: it.Message.Reply, Data: fmt.Appendf(nil, "%d %s", i, it.Message.Data)}})
				}
			}
		}()
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got, err := nodes[2].Request(ctx, "default", &structs.Message{Topic: "time.utc", Data: []byte("now")}, 2)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, func(a, b *structs.Message) int { return slices.Compare(a.Data, b.Data) })
	if len(got) != 2 || string(got[0].Data) != "0 now" || string(got[1].Data) != "1 now" {
		t.Errorf("%d replies", len(got))
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = nodes[2].Request(short, "default", &structs.Message{Topic: "nobody"}, 1)
	if e := structs.AsError(err); e == nil || e.Kind != structs.KindCanceled || e.Message != "no reply to nobody: nobody subscribes to it" {
		t.Errorf("a request that nobody gets: %v", err)
	}
}

func TestWhoSubscribesIsSeenEverywhere(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 2)
	watcher := nodes[0].sub(t, structs.SubscribeOptions{Patterns: []string{"room.*"}, Presence: true})
	take(t, watcher, 1) // itself
	s := nodes[1].to(t, "room.1")
	nodes[1].to(t, "elsewhere")
	if got := texts(take(t, watcher, 1)); !slices.Equal(got, []string{"joined room.1"}) {
		t.Errorf("%v", got)
	}
	list, err := nodes[0].Subscribers(t.Context(), "default", "room.1")
	if err != nil || len(list) != 2 || list[1].Agent != nodes[1].node || list[1].Count != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	s.Close()
	if got := texts(take(t, watcher, 1)); !slices.Equal(got, []string{"left room.1"}) {
		t.Errorf("%v", got)
	}
	// Whoever looks for the first time knows it at once.
	late := startNode(t, newKey(t), 1)
	connect(t, late, nodes[0])
	connect(t, late, nodes[1])
	topics, err := late.Topics(t.Context(), "default")
	if err != nil || len(topics) != 2 || topics[0].Topic != "elsewhere" || topics[1].Topic != "room.*" {
		t.Errorf("%+v, %v", topics, err)
	}
}

func TestALateSubscriberBeginsWithTheLastValue(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 3)
	keep := func(topic, data string) {
		t.Helper()
		if err := nodes[0].Publish(t.Context(), "default", []*structs.Message{{Topic: topic, Data: []byte(data), Retain: true}}); err != nil {
			t.Fatal(err)
		}
	}
	early := nodes[1].to(t, "temp.*")
	keep("temp.a", "1")
	keep("temp.b", "2")
	keep("temp.a", "3")
	nodes[0].pub(t, "temp.a", "4")
	if got := texts(take(t, early, 4)); !slices.Equal(got, []string{"1", "2", "3", "4"}) {
		t.Errorf("%v", got)
	}
	for name, n := range map[string]*node{"at its publisher": nodes[0], "where it was received": nodes[1], "elsewhere": nodes[2]} {
		if got := texts(take(t, n.to(t, "temp.*"), 2)); !slices.Equal(got, []string{"last 2", "last 3"}) {
			t.Errorf("%s: %v", name, got)
		}
	}
	// The publisher is gone, its last values are not.
	nodes[0].Close()
	nodes[0].host.Close()
	late := startNode(t, newKey(t), 1)
	connect(t, late, nodes[1])
	if got := texts(take(t, late.to(t, "temp.a"), 1)); !slices.Equal(got, []string{"last 3"}) {
		t.Errorf("%v", got)
	}
	if err := nodes[1].Publish(t.Context(), "default", []*structs.Message{{Topic: "temp.a", Retain: true}}); err != nil {
		t.Fatal(err)
	}
	take(t, early, 1)
	nothing(t, nodes[1].to(t, "temp.a"))
}

func TestLastValuesAreBounded(t *testing.T) {
	t.Parallel()
	n := startNode(t, newKey(t), 1)
	var err error
	for i := 0; err == nil && i <= retainedTopicsMax; i++ {
		err = n.Publish(t.Context(), "default", []*structs.Message{{Topic: fmt.Sprintf("t.%d", i), Data: []byte("x"), Retain: true}})
		if err == nil { // the room is taken when it was sent
			o := n.spaces["default"].carrierOf("t").outbox
			eventually(t, "sent", func() bool { return o.sent() == uint64(i+1) })
		}
	}
	if e := structs.AsError(err); e == nil || e.Kind != structs.KindTooLarge {
		t.Errorf("more than %d last values: %v", retainedTopicsMax, err)
	}
}

// Every agent has one, for user events: it joins the carrier of its topic, and nothing else.
func TestAQuietSubscriptionIsHeardAndNotSeen(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 2)
	quiet := nodes[1].sub(t, structs.SubscribeOptions{Patterns: []string{structs.EventTopic}, Quiet: true})
	if st := nodes[1].Stats(); len(st) != 1 || st[0].Carriers != 1 || st[0].Subscriptions != 0 {
		t.Errorf("%+v", st)
	}
	nodes[0].pub(t, structs.EventTopic, "1")
	if got := texts(take(t, quiet, 1)); !slices.Equal(got, []string{"1"}) {
		t.Errorf("%v", got)
	}
	if list, err := nodes[1].Subscribers(t.Context(), "default", ""); err != nil || len(list) != 0 { // what it would tell others
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := nodes[0].Subscribe(t.Context(), "default", structs.SubscribeOptions{Patterns: []string{"a"}, Quiet: true, Group: "g"}); err == nil {
		t.Error("a quiet member of a group, whom nobody could choose")
	}
}

func TestALastValueThatIsKnownIsNotOpenedAgain(t *testing.T) {
	t.Parallel()
	n := startNode(t, newKey(t), 1)
	if err := n.Publish(t.Context(), "default", []*structs.Message{{Topic: "a", Data: []byte("1"), Retain: true}}); err != nil {
		t.Fatal(err)
	}
	c := n.spaces["default"].carrierOf("a")
	eventually(t, "it is kept", func() bool { return len(c.retained.frames()) == 1 })
	raw := c.retained.frames()[0].raw
	other := slices.Clone(raw)
	other[len(other)-1] ^= 1
	if !c.retained.has(raw) || c.retained.has(other) || c.retained.has(nil) {
		t.Error("a frame is taken for another one")
	}
}
