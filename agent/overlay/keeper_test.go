package overlay

import (
	"testing"
	"time"
)

// A site that starts at once would else make all its connections at once.
func TestMembersBeyondAFewAreDialledOneAtATime(t *testing.T) {
	k := newKeeper(&Overlay{cfg: Config{PeersTarget: 16, DiscoveryInterval: 10 * time.Second}})
	now := time.Now()
	for have := range peersFew {
		if !k.wants(have, now) {
			t.Errorf("with %d members another is not wanted", have)
		}
	}
	if !k.wants(peersFew, now) || k.wants(peersFew+1, now) {
		t.Error("beyond a few, one more was wanted at once and then no other: not so")
	}
	if k.wants(peersFew+1, now.Add(4*time.Second)) {
		t.Error("another is wanted before half of the discovery interval")
	}
	if !k.wants(peersFew+1, now.Add(10*time.Second)) {
		t.Error("another is not wanted after the discovery interval")
	}
	if k.wants(16, now.Add(time.Hour)) {
		t.Error("more members than the target are wanted")
	}
}
