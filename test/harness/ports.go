//go:build unix

package harness

import (
	"errors"
	"math/rand/v2"
	"net"
	"sync"
)

const (
	// portMin and portMax are below what Linux (32768) and macOS (49152) use for outgoing connections,
	// so nobody takes a port by accident while its node is down.
	portMin, portMax = 12000, 32000
	portTries        = 1000
)

// portTaker hands out ports that were free for TCP and UDP on loopback, none twice.
type portTaker struct {
	// mu protects the following.
	mu    sync.Mutex
	taken map[int]bool
}

func newPortTaker() *portTaker { return &portTaker{taken: map[int]bool{}} }

func (t *portTaker) take() (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for range portTries {
		p := portMin + rand.IntN(portMax-portMin)
		if !t.taken[p] && free(p) {
			t.taken[p] = true
			return p, nil
		}
	}
	return 0, errors.New("find a free port: none on loopback")
}

func free(port int) bool {
	l, err := net.Listen("tcp", loopback(port))
	if err != nil {
		return false
	}
	defer l.Close()
	u, err := net.ListenPacket("udp", loopback(port))
	if err != nil {
		return false
	}
	u.Close()
	return true
}
