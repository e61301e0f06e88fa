package server

import (
	"testing"
	"time"
)

func TestNothingIsProvenRightAfterTheProcessStoodStill(t *testing.T) {
	p := newPulse(350 * time.Millisecond)
	at := *p.last.Load()
	if !p.steady(at.Add(100 * time.Millisecond)) {
		t.Fatal("not steady although nothing happened")
	}
	if p.steady(at.Add(2 * time.Second)) {
		t.Fatal("steady before the first beat after a gap")
	}
	at = at.Add(2 * time.Second)
	p.beat(at)
	if p.steady(at) || p.steady(at.Add(300*time.Millisecond)) {
		t.Fatal("steady within a lease of waking up")
	}
	for range 10 {
		at = at.Add(pulseInterval)
		p.beat(at)
	}
	if !p.steady(at) {
		t.Fatal("never steady again")
	}
}
