package overlay

import (
	"strconv"
	"sync"

	metrics "github.com/hashicorp/go-metrics"
	ma "github.com/multiformats/go-multiaddr"
)

// eventQueue carries what happens inside libp2p's callbacks, which must not wait, to a goroutine of ours.
// There are as many events as connections came, went or failed since it last looked, and the
// resource manager bounds those.
type eventQueue struct {
	ready chan struct{} // capacity 1

	mu     sync.Mutex // protects the following
	events []memberEvent
}

func newEventQueue() *eventQueue { return &eventQueue{ready: make(chan struct{}, 1)} }

func (q *eventQueue) put(e memberEvent) {
	q.mu.Lock()
	q.events = append(q.events, e)
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

func (q *eventQueue) take() []memberEvent {
	q.mu.Lock()
	defer q.mu.Unlock()
	events := q.events
	q.events = nil
	return events
}

func countPeers(members, all int) {
	metrics.SetGauge([]string{"overlay", "members"}, float32(members))
	metrics.SetGauge([]string{"overlay", "strangers"}, float32(max(0, all-members)))
}

// PortOf is the TCP or UDP port of an address; 0 without one.
func PortOf(a ma.Multiaddr) int { return portOf([]ma.Multiaddr{a}) }

// portOf is the first TCP or UDP port among addresses.
func portOf(addrs []ma.Multiaddr) int {
	for _, a := range addrs {
		for _, code := range []int{ma.P_TCP, ma.P_UDP} {
			if s, err := a.ValueForProtocol(code); err == nil {
				if n, err := strconv.Atoi(s); err == nil {
					return n
				}
			}
		}
	}
	return 0
}
