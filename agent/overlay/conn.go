package overlay

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// Who may open streams of a protocol.
type Who bool

// Who.
const (
	MembersOnly Who = false
	Anyone      Who = true
)

const (
	// streamTimeout bounds opening a stream for a caller without a deadline.
	streamTimeout = 10 * time.Second
	// acceptQueue is how many streams wait for Accept; more are reset.
	acceptQueue = 64
)

// Addr is a peer as a net.Addr.
type Addr struct{ ID peer.ID }

// Network implements net.Addr.
func (Addr) Network() string { return "libp2p" }

// String implements net.Addr.
func (a Addr) String() string { return a.ID.String() }

// streamConn is a stream as a net.Conn.
type streamConn struct{ network.Stream }

// LocalAddr implements net.Conn.
func (c streamConn) LocalAddr() net.Addr { return Addr{c.Conn().LocalPeer()} }

// RemoteAddr implements net.Conn.
func (c streamConn) RemoteAddr() net.Addr { return Addr{c.Conn().RemotePeer()} }

// Dial opens a stream to a member, which need not be connected yet. Relayed connections will do.
func (o *Overlay) Dial(ctx context.Context, p peer.ID, pid protocol.ID) (net.Conn, error) {
	ctx, cancel := shortly(ctx, streamTimeout)
	defer cancel()
	s, err := o.gate.NewStream(network.WithAllowLimitedConn(ctx, string(pid)), p, pid)
	if err != nil {
		return nil, err
	}
	return streamConn{s}, nil
}

// Listen accepts streams of a protocol. Closing the listener leaves accepted connections alone. A stranger
// that does not read is cut off after Config.WriteTimeout.
func (o *Overlay) Listen(pid protocol.ID, who Who) (net.Listener, error) {
	l := &listener{o: o, pid: pid, who: who, ch: make(chan network.Stream, acceptQueue), done: make(chan struct{})}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ctx.Err() != nil {
		return nil, net.ErrClosed
	}
	if o.listeners[pid] != nil {
		return nil, errors.New("overlay: " + string(pid) + " is listened on already")
	}
	o.listeners[pid] = l
	if who == Anyone {
		o.host.SetStreamHandler(pid, l.handle)
	} else {
		o.gate.SetStreamHandler(pid, l.handle)
	}
	return l, nil
}

type listener struct {
	o    *Overlay
	pid  protocol.ID
	who  Who
	ch   chan network.Stream
	once sync.Once
	done chan struct{}
}

func (l *listener) handle(s network.Stream) {
	select {
	case <-l.done:
		_ = s.Reset()
		return
	default:
	}
	select {
	case l.ch <- s:
	default:
		_ = s.ResetWithError(network.StreamResourceLimitExceeded)
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case s := <-l.ch:
		if l.who == Anyone {
			return &pacedConn{Conn: streamConn{s}, within: l.o.cfg.WriteTimeout}, nil
		}
		return streamConn{s}, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.once.Do(func() {
		l.o.host.RemoveStreamHandler(l.pid)
		l.o.mu.Lock()
		delete(l.o.listeners, l.pid)
		l.o.mu.Unlock()
		close(l.done)
		for {
			select {
			case s := <-l.ch:
				_ = s.Reset()
				continue
			default:
			}
			return
		}
	})
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return Addr{l.o.host.ID()} }
