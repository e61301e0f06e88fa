package pubsub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

// twoCarriers are topics of different carriers.
func twoCarriers(s *space) (a, b string) {
	for i := 0; ; i++ {
		if b = fmt.Sprint("t", i); s.carrierOf(b) != s.carrierOf("a") {
			return "a", b
		}
	}
}

// Its publisher waits for room in the second carrier, and no longer wants to, when the first has the message already.
func TestMessagesOfSeveralCarriersArePublishedAllOrNone(t *testing.T) {
	t.Parallel()
	n := startNode(t, newKey(t), 1)
	s := n.to(t, ">")
	sp := n.spaces["default"]
	first, second := twoCarriers(sp)
	full := func(bytes int) {
		o := sp.carrierOf(second).outbox
		o.mu.Lock()
		defer o.mu.Unlock()
		o.bytes += bytes
		close(o.room)
		o.room = make(chan struct{})
	}
	full(waitingBytesMax)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		result <- n.Publish(ctx, "default", []*structs.Message{{Topic: first, Data: []byte("1")}, {Topic: second, Data: []byte("2")}})
	}()
	if got := texts(take(t, s, 1)); !slices.Equal(got, []string{"1"}) {
		t.Fatalf("%v", got)
	}
	cancel()
	select {
	case err := <-result:
		t.Fatalf("the first message was published, then: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	full(-waitingBytesMax)
	if err := <-result; err != nil {
		t.Errorf("both messages are published, and the publisher is told: %v", err)
	}
	if got := texts(take(t, s, 1)); !slices.Equal(got, []string{"2"}) {
		t.Errorf("%v", got)
	}
	// One that has not begun yet may give up.
	full(waitingBytesMax)
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := n.Publish(ctx, "default", []*structs.Message{{Topic: second, Data: []byte("3")}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a publisher that waits longer than it wants to: %v", err)
	}
	full(-waitingBytesMax)
	nothing(t, s)
}

// The publisher's agent writes into a message which agent's member of each group gets it.
func TestAMessageForSoManyGroupsThatNobodyCouldTakeItIsRefused(t *testing.T) {
	t.Parallel()
	nodes := cluster(t, 2)
	s := nodes[1].to(t, "a.*")
	nodes[0].pub(t, "a.b", "1")
	take(t, s, 1)
	p := nodes[0].spaces["default"].presence
	p.mu.Lock()
	for i := range 3000 {
		p.local[subKey{"a.>", fmt.Sprint("group", i)}]++
	}
	p.route()
	p.mu.Unlock()
	large := []*structs.Message{{Topic: "a.b", Data: []byte("small")}, {Topic: "a.b", Data: make([]byte, 1<<20-10)}}
	err := nodes[0].Publish(t.Context(), "default", large)
	if e := structs.AsError(err); e == nil || e.Kind != structs.KindTooLarge || !strings.Contains(e.Message, "3000 groups") {
		t.Errorf("1 MiB for 3,000 groups: %v", err)
	}
	// Groups alone do not make a message too large: this one has more for them than a frame of many messages has.
	nodes[0].pub(t, "a.b", "2")
	if got := texts(take(t, s, 1)); !slices.Equal(got, []string{"2"}) {
		t.Errorf("%v", got)
	}
}
