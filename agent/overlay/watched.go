package overlay

import (
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// silenceMax is how long the other end of a stream may say nothing to what was sent before somebody looks whether it lives. A blocking
// query is silent rightly; it costs a ping.
const silenceMax = time.Second

// watchedConn is a stream to a member. A machine that is gone says nothing, over QUIC a killed process neither, and the regular pings take
// their time: who waits for an answer should not.
type watchedConn struct {
	streamConn
	look func()

	mu      sync.Mutex // protects the following
	timer   *time.Timer
	waiting bool // the timer runs
	closed  bool
}

func newWatchedConn(s network.Stream, look func()) *watchedConn {
	return &watchedConn{streamConn: streamConn{s}, look: look}
}

// Write implements net.Conn.
func (c *watchedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	switch {
	case c.waiting || c.closed:
	case c.timer == nil:
		c.waiting, c.timer = true, time.AfterFunc(silenceMax, c.silent)
	default:
		c.waiting = true
		c.timer.Reset(silenceMax)
	}
	c.mu.Unlock()
	return c.streamConn.Write(p)
}

// Read implements net.Conn.
func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.streamConn.Read(p)
	if n > 0 {
		c.stop(false)
	}
	return n, err
}

// Close implements net.Conn.
func (c *watchedConn) Close() error {
	c.stop(true)
	return c.streamConn.Close()
}

func (c *watchedConn) stop(closed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting {
		c.timer.Stop()
	}
	c.waiting, c.closed = false, c.closed || closed
}

func (c *watchedConn) silent() {
	c.mu.Lock()
	look := c.waiting
	c.waiting = false // the next write waits anew
	c.mu.Unlock()
	if look {
		c.look()
	}
}
