package server

import (
	"sync"
	"time"

	"github.com/debros/debros/structs"
)

const (
	// unseenGrace is how long a node may be missing from membership before its row goes, when nothing
	// said that it left or was forgotten: after a restart gossip needs time to find everybody, and a
	// row takes the node's sessions with it.
	unseenGrace = time.Hour
	// removedPause is how long a server that was taken out of the configuration is not added again
	// because membership still shows it. When membership saw it leave, the pause is over: if it is
	// shown again, it came back.
	removedPause = time.Minute
)

// goneBook remembers which nodes left or were removed, and since when others are missing.
type goneBook struct {
	// mu protects the following.
	mu      sync.Mutex
	left    map[structs.NodeID]bool // gossip said that it left or was forgotten
	unseen  map[structs.NodeID]time.Time
	removed map[structs.NodeID]time.Time
}

// MemberGone notes that gossip forgot a member or saw it leave: its row may go at once.
func (s *Server) MemberGone(id structs.NodeID) {
	s.gone.mu.Lock()
	defer s.gone.mu.Unlock()
	if s.gone.left == nil {
		s.gone.left = map[structs.NodeID]bool{}
	}
	s.gone.left[id] = true
	delete(s.gone.removed, id)
}

// seen notes that membership shows the node.
func (g *goneBook) seen(id structs.NodeID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.left, id)
	delete(g.unseen, id)
}

// mayDrop reports whether the row of a node that membership does not show may go now.
func (g *goneBook) mayDrop(id structs.NodeID, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.left[id] {
		return true
	}
	since, ok := g.unseen[id]
	if !ok {
		if g.unseen == nil {
			g.unseen = map[structs.NodeID]time.Time{}
		}
		g.unseen[id] = now
		return false
	}
	return now.Sub(since) >= unseenGrace
}

// forget drops what is known of a node whose row is gone.
func (g *goneBook) forget(id structs.NodeID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.left, id)
	delete(g.unseen, id)
}

// remove notes that a server was taken out of the configuration on purpose.
func (g *goneBook) remove(id structs.NodeID, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.removed == nil {
		g.removed = map[structs.NodeID]time.Time{}
	}
	g.removed[id] = now
}

// justRemoved reports whether that was less than removedPause ago.
func (g *goneBook) justRemoved(id structs.NodeID, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, ok := g.removed[id]
	if ok && now.Sub(at) >= removedPause {
		delete(g.removed, id)
		return false
	}
	return ok
}
