package overlay

import (
	"net"
	"sync/atomic"
	"time"
)

// pacedBytes is how much of one write has to be taken within the time: the least pace is that over it.
const pacedBytes = 64 << 10

// pacedConn bounds how long a peer that does not read holds up whoever writes to it. TCP has the
// kernel's timeouts and few sockets; a stranger has a thousand streams for nothing.
type pacedConn struct {
	net.Conn
	within time.Duration
	// deadline that the user set for writes, in nanoseconds of Unix time; 0 = none.
	deadline atomic.Int64
}

// CloseWrite lets servers end an answer before they close.
func (c *pacedConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// Write implements net.Conn.
func (c *pacedConn) Write(p []byte) (n int, err error) {
	for {
		part := p[n:min(len(p), n+pacedBytes)]
		if err := c.Conn.SetWriteDeadline(c.until(time.Now())); err != nil {
			return n, err
		}
		k, err := c.Conn.Write(part)
		if n += k; err != nil || n == len(p) {
			return n, err
		}
	}
}

// until is when the next part has to be taken.
func (c *pacedConn) until(now time.Time) time.Time {
	t := now.Add(c.within)
	if d := c.deadline.Load(); d != 0 && d < t.UnixNano() {
		return time.Unix(0, d)
	}
	return t
}

// SetWriteDeadline implements net.Conn.
func (c *pacedConn) SetWriteDeadline(t time.Time) error {
	c.note(t)
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *pacedConn) SetDeadline(t time.Time) error {
	c.note(t)
	return c.Conn.SetDeadline(t)
}

func (c *pacedConn) note(t time.Time) {
	if t.IsZero() {
		c.deadline.Store(0)
		return
	}
	c.deadline.Store(t.UnixNano())
}
