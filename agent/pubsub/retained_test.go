package pubsub

import (
	"context"
	"testing"

	"github.com/debros/debros/structs"
)

// What is replaced makes room.
func TestALastValueIsReplacedThoughThereIsRoomForNoOther(t *testing.T) {
	t.Parallel()
	n := startNode(t, newKey(t), 1)
	for i, topic := range []string{"t.0", "t.1", "t.2", "t.3", "t.4", "t.5", "t.6", "t.6", "t.0"} {
		m := &structs.Message{Topic: topic, Data: make([]byte, 1<<20-100), Retain: true}
		if err := n.Publish(t.Context(), "default", []*structs.Message{m}); err != nil {
			t.Fatalf("value %d, of %s: %v", i, topic, err)
		}
		o := n.spaces["default"].carrierOf("t").outbox
		eventually(t, "sent", func() bool { return o.sent() == uint64(i+1) })
		eventually(t, "kept", func() bool {
			list := n.spaces["default"].carrierOf("t").retained.match([]string{topic})
			return len(list) == 1 && list[0].Seq == uint64(i+1)
		})
	}
	m := &structs.Message{Topic: "t.7", Data: make([]byte, 1<<20-100), Retain: true}
	if err := n.Publish(t.Context(), "default", []*structs.Message{m, {Topic: "t.8", Data: make([]byte, 1<<20-100), Retain: true}}); err == nil {
		t.Error("there is room for nine values")
	}
}

// A carrier is left while its publisher hands it a last value: that must not be lost with the inbox.
func TestALastValueIsKeptThoughItsCarrierIsLeftMeanwhile(t *testing.T) {
	t.Parallel()
	n := startNode(t, newKey(t), 1)
	n.to(t, "a")
	c := n.spaces["default"].carrierOf("a")
	in := c.inbox()
	busy, begun := make(chan struct{}), make(chan struct{})
	go in.do(func() { close(begun); <-busy })
	<-begun
	for range inboxBuffer {
		in.take(&frame{carrier: c.wire, publisher: "x", epoch: 1, first: 1})
	}
	if err := n.Publish(t.Context(), "default", []*structs.Message{{Topic: "a", Data: []byte("1"), Retain: true}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is being sent", func() bool { return c.outbox.sent() == 1 })
	c.leave()                                                 // as Close does, which has to wait for the goroutine
	t.Cleanup(func() { _, _ = c.join(context.Background()) }) // Close leaves it once more
	close(busy)
	eventually(t, "it is kept", func() bool { return c.retained.some() })
}
