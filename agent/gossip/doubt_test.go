package gossip

import (
	"errors"
	"io"
	"log"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/debros/debros/structs"
	"github.com/hashicorp/memberlist"
)

// lossy is a transport that loses the packets to one address while it is told to. Streams get through.
type lossy struct {
	*memberlist.NetTransport
	to   string
	lose *atomic.Bool
}

func (l *lossy) WriteTo(b []byte, addr string) (time.Time, error) {
	return l.WriteToAddress(b, memberlist.Address{Addr: addr})
}

func (l *lossy) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if a.Addr == l.to && l.lose.Load() {
		return time.Now(), nil
	}
	return l.NetTransport.WriteToAddress(b, a)
}

// startLossy starts a node whose packets to another one are lost while lose is set.
func startLossy(t *testing.T, cfg Config, to *Gossip, lose *atomic.Bool) *Gossip {
	t.Helper()
	nt, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{BindAddrs: []string{"127.0.0.1"}, Logger: log.New(io.Discard, "", 0)})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Transport = &lossy{NetTransport: nt, to: addrOf(to), lose: lose}
	return start(t, cfg)
}

// A server is removed as failed while it comes back: the others see it alive, then hear that it
// leaves. It does not hear that, and learns how late it was from the exchange in which it rejoins.
func TestANodeThatReturnsWhileItIsRemovedIsAlive(t *testing.T) {
	t.Parallel()
	var lose atomic.Bool
	back := start(t, testConfig("back"))
	leader, other := startLossy(t, testConfig("leader"), back, &lose), startLossy(t, testConfig("other"), back, &lose)
	for _, g := range []*Gossip{leader, other} {
		join(t, g, back)
	}
	for _, g := range []*Gossip{leader, other} {
		eventuallyStatus(t, g, "back", structs.MemberAlive)
		eventuallyStatus(t, g, "leader", structs.MemberAlive)
		eventuallyStatus(t, g, "other", structs.MemberAlive)
	}
	lose.Store(true)
	// As RemoveFailed does once it has looked at the status, which has changed since.
	if err := leader.serf.RemoveFailedNode("back"); err != nil {
		t.Fatal(err)
	}
	for _, g := range []*Gossip{leader, other} {
		eventuallyStatus(t, g, "back", structs.MemberLeaving)
	}
	if err := other.RemoveFailed(t.Context(), "back", true); !errors.Is(err, structs.ErrConflict) {
		t.Errorf("forgetting a node that lives: %v", err)
	}
	if n, err := back.serf.Memberlist().Join([]string{addrOf(other)}); n != 1 || err != nil { // as serf's rejoin does
		t.Fatal(n, err)
	}
	lose.Store(false)
	for _, g := range []*Gossip{leader, other, back} {
		eventuallyStatus(t, g, "back", structs.MemberAlive)
	}
}

// A removal of the same date as the announcement with which a node came back: whoever hears the
// removal first believes it, and the node takes it for old.
func TestARemovalAsOldAsTheReturnIsDenied(t *testing.T) {
	t.Parallel()
	var lose atomic.Bool
	co, cb := testConfig("other"), testConfig("back")
	co.Tuning.PushPull, cb.Tuning.PushPull = time.Hour, time.Hour // an exchange would move the clocks
	other := start(t, co)
	back := startLossy(t, cb, other, &lose)
	join(t, back, other)
	eventuallyStatus(t, other, "back", structs.MemberAlive)
	sent := func() bool { return back.Stats()["intent_queue"] == "0" && other.Stats()["intent_queue"] == "0" }
	eventually(t, "what was to be said is said", sent)

	lose.Store(true)
	clock := func(g *Gossip) int {
		n, err := strconv.Atoi(g.Stats()["member_time"])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	announce := func(g *Gossip) { join(t, g, g) } // to itself: each moves its clock by one
	for range 3 {
		announce(back)
	}
	for clock(other) < clock(back)-1 {
		announce(other)
	}
	eventually(t, "what was to be said is said", sent)
	if err := other.serf.RemoveFailedNode("back"); err != nil {
		t.Fatal(err)
	}
	eventuallyStatus(t, other, "back", structs.MemberLeaving)
	lose.Store(false)
	eventuallyStatus(t, other, "back", structs.MemberAlive)
}
