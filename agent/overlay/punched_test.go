package overlay

import (
	"testing"

	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
)

func TestAPunchedConnectionIsToldFromADirectOneUntilItEnds(t *testing.T) {
	a := start(t)
	b := start(t, knows(a))
	eventually(t, "a to be connected", func() bool { return a.members.has(b.ID()) })
	is := func() (punched bool) {
		for _, c := range a.peer(b.ID()).Conns {
			punched = punched || c.Punched
		}
		return punched
	}
	a.punched.Trace(&holepunch.Event{Remote: b.ID(), Evt: &holepunch.EndHolePunchEvt{}})
	if is() {
		t.Error("a punch that failed counts")
	}
	a.punched.Trace(&holepunch.Event{Remote: b.ID(), Evt: &holepunch.EndHolePunchEvt{Success: true}})
	if !is() {
		t.Fatal("a punch that succeeded does not show")
	}
	_ = a.host.Network().ClosePeer(b.ID())
	eventually(t, "the punch to be forgotten", func() bool { return !a.punched.has(b.ID()) })
}
