package pubsub

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

// publishAll has each node publish n messages "i j" to a topic of its own below a common one.
func publishAll(t *testing.T, nodes []*node, n int) {
	var wg sync.WaitGroup
	for i, p := range nodes {
		wg.Go(func() {
			for j := range n {
				m := &structs.Message{Topic: fmt.Sprintf("news.p%d", i), Data: fmt.Appendf(nil, "%d %d", i, j)}
				if err := p.Publish(t.Context(), "default", []*structs.Message{m}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// complete checks that a subscription got n messages of each of publishers, once and in order, and nothing else.
func complete(t *testing.T, s *Subscription, publishers, n int) {
	t.Helper()
	next := make([]int, publishers)
	got := 0
	for got < publishers*n {
		for _, it := range take(t, s, 1) {
			var i, j int
			if it.Message == nil {
				t.Fatalf("%s behind %v", text(it), next)
			}
			if _, err := fmt.Sscanf(string(it.Message.Data), "%d %d", &i, &j); err != nil || j != next[i] {
				t.Fatalf("%s where %d was next", text(it), next[i])
			}
			next[i]++
			got++
		}
	}
	nothing(t, s)
}

func TestEverySubscriberGetsEveryMessageInOrderThoughFramesGetLost(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 4)
	var lost atomic.Int64
	for _, n := range nodes {
		n.lose = func(*frame) bool {
			lose := rand.IntN(5) == 0
			if lose {
				lost.Add(1)
			}
			return lose
		}
	}
	subs := []*Subscription{nodes[0].to(t, "news.>"), nodes[1].to(t, ">"), nodes[3].to(t, "news.*")}
	publishAll(t, nodes[:3], 3000)
	for _, s := range subs {
		complete(t, s, 3, 3000)
	}
	if lost.Load() == 0 {
		t.Error("nothing was lost: the test shows nothing")
	}
}

// The last frame is lost, and nothing follows that would show it.
func TestALostTailIsNoticed(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 2)
	nodes[1].lose = func(f *frame) bool { return len(f.messages) > 0 }
	s := nodes[1].to(t, "a")
	nodes[0].pub(t, "a", "1", "2")
	if got := texts(take(t, s, 2)); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("%v", got)
	}
}

func TestPatternsChooseAndAMessageComesOnce(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 2)
	s := nodes[1].to(t, "a.b", "a.*", ">")
	exact, one, other := nodes[1].to(t, "a.b"), nodes[1].to(t, "*.b"), nodes[1].to(t, "b.>")
	nodes[0].pub(t, "a.b", "1")
	nodes[0].pub(t, "a.b.c", "2")
	nodes[0].pub(t, "b", "3")
	nodes[0].pub(t, "b.b", "4")
	got := texts(take(t, s, 4))
	slices.Sort(got) // a and b have carriers of their own
	if !slices.Equal(got, []string{"1", "2", "3", "4"}) {
		t.Errorf(">: %v", got)
	}
	for _, c := range []struct {
		s    *Subscription
		want string
	}{{exact, "1"}, {one, "1 4"}, {other, "4"}} {
		got := texts(take(t, c.s, strings.Count(c.want, " ")+1))
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v: %v, want %s", c.s.opts.Patterns, got, c.want)
		}
		nothing(t, c.s)
	}
}

func TestNothingCrossesANamespace(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 2)
	other, err := nodes[1].Subscribe(t.Context(), "other", structs.SubscribeOptions{Patterns: []string{">"}})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	s := nodes[1].to(t, ">")
	nodes[0].pub(t, "a", "1")
	take(t, s, 1)
	nothing(t, other)
}

// twoOfThree publishes three messages of which node 1 loses the second, and whose publisher answers nobody.
func twoOfThree(t *testing.T, nodes []*node) *Subscription {
	nodes[1].lose = func(f *frame) bool { return len(f.messages) > 0 && string(f.messages[0].Data) == "2" }
	s := nodes[1].to(t, "a")
	nodes[0].pub(t, "a", "1") // the first one may need a repair: the mesh knows of the subscription a little later
	take(t, s, 1)
	nodes[0].host.RemoveStreamHandler(protoMessages)
	for i := range 2 {
		nodes[0].pub(t, "a", fmt.Sprint(i+2))
		o := nodes[0].spaces["default"].carrierOf("a").outbox
		eventually(t, "sent", func() bool { return o.sent() == uint64(i+2) })
	}
	return s
}

func TestWhatItsPublisherTookWithItIsNamed(t *testing.T) {
	t.Parallel()
	s := twoOfThree(t, cluster(t, 2))
	if got := texts(take(t, s, 2)); !slices.Equal(got, []string{"gap 2-2", "3"}) {
		t.Errorf("%v", got)
	}
}

func TestWhatAnotherAgentHasReceivedIsRepairedFromThere(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 3)
	nodes[2].to(t, "a")
	s := twoOfThree(t, nodes)
	if got := texts(take(t, s, 2)); !slices.Equal(got, []string{"2", "3"}) {
		t.Errorf("%v", got)
	}
}

func TestMessagesThatNobodyHasAnyMoreAreAGap(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 2)
	nodes[1].lose = func(f *frame) bool { return f.first == 2 || f.first == 4 && len(f.messages) == 0 } // nor that they were sent
	s := nodes[1].to(t, "a")
	nodes[0].pub(t, "a", "1")
	take(t, s, 1)
	nodes[0].pub(t, "a", "2", "3")
	o := nodes[0].spaces["default"].carrierOf("a").outbox
	eventually(t, "sent", func() bool { return o.sent() == 3 })
	o.expire(time.Now())
	nodes[0].pub(t, "a", "4")
	if got := texts(take(t, s, 2)); !slices.Equal(got, []string{"gap 2-3", "4"}) {
		t.Errorf("%v", got)
	}
	if n := nodes[1].Stats()[0].Gaps; n != 1 {
		t.Errorf("%d gaps counted", n)
	}
}

func TestAPublisherThatRestartsIsHeardAgain(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 2)
	s := nodes[1].to(t, "a")
	nodes[0].pub(t, "a", "1", "2", "3")
	take(t, s, 3)
	nodes[0].Close()
	nodes[0].host.Close()
	again := startNode(t, nodes[0].key, 2)
	connect(t, again, nodes[1])
	again.pub(t, "a", "4", "5")
	if got := texts(take(t, s, 2)); !slices.Equal(got, []string{"4", "5"}) {
		t.Errorf("%v", got)
	}
}

func TestFramesThatAreSentAgainAreNotDelivered(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 2)
	s := nodes[1].to(t, "a")
	nodes[0].pub(t, "a", "1")
	take(t, s, 1)
	old := nodes[0].spaces["default"].carrierOf("a").outbox.ring.frames[0]
	in := nodes[1].spaces["default"].carrierOf("a").inbox()
	in.do(func() { in.receive(old) })
	newer := &frame{carrier: old.carrier, publisher: old.publisher, epoch: 2, first: 1, messages: []*message{{Message: structs.Message{Topic: "a", Data: []byte("2"), Seq: 1}}}}
	in.do(func() { in.receive(newer) })
	in.do(func() { in.receive(old) })
	if got := texts(take(t, s, 1)); !slices.Equal(got, []string{"2"}) {
		t.Errorf("%v", got)
	}
	nothing(t, s)
	if st := nodes[1].Stats()[0]; st.Duplicates < 1 || st.Replayed < 1 {
		t.Errorf("%d duplicates, %d replayed", st.Duplicates, st.Replayed)
	}
}

func TestASubscriberThatNeverReadsLosesItsOwnMessagesOnly(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 2)
	slow := nodes[1].sub(t, structs.SubscribeOptions{Patterns: []string{"a"}, QueueMessages: 10})
	s := nodes[1].to(t, "a")
	for i := range 100 {
		nodes[0].pub(t, "a", fmt.Sprint(i))
	}
	take(t, s, 100)
	got := texts(take(t, slow, 11))
	if got[0] != "0" || got[9] != "9" || got[10] != "overflow 90" {
		t.Errorf("%v", got)
	}
	nodes[0].pub(t, "a", "100")
	if got := texts(take(t, slow, 1)); got[0] != "100" {
		t.Errorf("%v", got)
	}
}

func TestMessagesAreHeldToTheirBounds(t *testing.T) {
	t.Parallel()
	n := startNode(t, newKey(t), 1)
	for name, m := range map[string]*structs.Message{
		"no topic":         {},
		"a pattern":        {Topic: "a.*"},
		"too many tokens":  {Topic: strings.Repeat("a.", 999) + "a"},
		"too large":        {Topic: "a", Data: make([]byte, 1<<20)},
		"an empty header":  {Topic: "a", Headers: map[string]string{"": "x"}},
		"no topic to send": {Topic: "a", Reply: "b."},
	} {
		if err := n.Publish(t.Context(), "default", []*structs.Message{{Topic: "ok"}, m}); err == nil {
			t.Errorf("%s: published", name)
		}
	}
	s := n.to(t, ">")
	nothing(t, s)
	n.pub(t, "a", strings.Repeat("x", 1<<20-1))
	if got := take(t, s, 1); len(got[0].Message.Data) != 1<<20-1 {
		t.Errorf("%d bytes", len(got[0].Message.Data))
	}
}

// Old frames still go round in the mesh when an agent joins a carrier, and its publisher may be met only later.
func TestWhatWasPublishedBeforeASubscriptionDoesNotCome(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 2)
	nodes[1].to(t, "a") // keeps what it has heard
	for i := range 3 {
		nodes[0].pub(t, "a", fmt.Sprint("old ", i))
	}
	o := nodes[0].spaces["default"].carrierOf("a").outbox
	eventually(t, "sent", func() bool { return o.sent() == 3 })
	late := startNode(t, newKey(t), 1)
	time.Sleep(20 * agoSlack) // what is older than this is told apart
	s := late.to(t, "a")
	connect(t, late, nodes[0])
	connect(t, late, nodes[1])
	in := late.spaces["default"].carrierOf("a").inbox()
	for _, f := range slices.Clone(o.ring.frames) {
		in.take(f)
	}
	nodes[0].pub(t, "a", "new")
	if got := texts(take(t, s, 1)); !slices.Equal(got, []string{"new"}) {
		t.Errorf("%v", got)
	}
	nothing(t, s)
}

// A publisher that is met only after the subscription began has sent some of it already.
func TestWhatWasPublishedSinceASubscriptionBeganComes(t *testing.T) {
	t.Parallel()
	a, b := startNode(t, newKey(t), 1), startNode(t, newKey(t), 1)
	a.pub(t, "a", "old")
	o := a.spaces["default"].carrierOf("a").outbox
	eventually(t, "sent", func() bool { return o.sent() == 1 })
	time.Sleep(20 * agoSlack) // what is older than this is told apart
	s := b.to(t, "a")
	a.pub(t, "a", "1")
	eventually(t, "sent", func() bool { return o.sent() == 2 })
	a.pub(t, "a", "2")
	connect(t, a, b)
	if got := texts(take(t, s, 2)); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("%v", got)
	}
	nothing(t, s)
}
