package overlay

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
)

// punched remembers to which connected peers a hole was punched. A connection does not tell: punched through two NATs it
// looks like one that was dialled.
type punched struct {
	mu    sync.Mutex // protects the following
	peers map[peer.ID]bool
}

var _ holepunch.EventTracer = (*punched)(nil)

func newPunched() *punched { return &punched{peers: map[peer.ID]bool{}} }

// Trace implements holepunch.EventTracer. Both ends are told how it went.
func (t *punched) Trace(e *holepunch.Event) {
	if end, ok := e.Evt.(*holepunch.EndHolePunchEvt); ok && end.Success {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.peers[e.Remote] = true
	}
}

// disconnected forgets a peer with its last direct connection: the next one may be had another way.
func (t *punched) disconnected(n network.Network, c network.Conn) {
	p := c.RemotePeer()
	for _, other := range n.ConnsToPeer(p) {
		if !relayed(other.RemoteMultiaddr()) {
			return
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.peers, p)
}

func (t *punched) has(p peer.ID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.peers[p]
}
