package transport

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/debros/debros/structs"
)

// handoff is a net.Listener fed with connections that passed their handshake.
type handoff struct {
	addr   net.Addr
	ch     chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// newHandoff keeps no queue: a connection waits in its own goroutine, which has a deadline.
func newHandoff(addr net.Addr) *handoff {
	return &handoff{addr: addr, ch: make(chan net.Conn), closed: make(chan struct{})}
}

// give hands c over and reports whether someone took it in time. Otherwise c is still the caller's.
func (h *handoff) give(c net.Conn, timeout time.Duration) bool {
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case h.ch <- c:
		return true
	case <-h.closed:
		return false
	case <-t.C:
		return false
	}
}

// Accept implements net.Listener.
func (h *handoff) Accept() (net.Conn, error) {
	select {
	case c := <-h.ch:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handoff) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr implements net.Listener.
func (h *handoff) Addr() net.Addr { return h.addr }

// raftLayer is the Raft half of the port.
type raftLayer struct {
	*handoff
	server *Server
	open   DialFunc
}

var _ raft.StreamLayer = (*raftLayer)(nil)

// RaftLayer gives raft.NewNetworkTransport its connections: those that peers opened with 'R', and new ones
// through open (nil = TCP). advertise is the address that other servers reach this one at. Before the first call, and
// after the layer is closed, Raft connections are refused. One layer at a time.
func (s *Server) RaftLayer(advertise net.Addr, open DialFunc) raft.StreamLayer {
	if open == nil {
		open = dialTCP
	}
	l := &raftLayer{handoff: newHandoff(advertise), server: s, open: open}
	s.raft.Store(l)
	return l
}

// RaftAddress is the address of a server for RaftLayer's Dial: it names the node that must answer there.
// Raft takes whoever answers for the server it meant, so another server at a dead one's address would
// be counted twice in a quorum.
func RaftAddress(id structs.NodeID, hostPort string) raft.ServerAddress {
	return raft.ServerAddress(string(id) + "@" + hostPort)
}

// Dial implements raft.StreamLayer. The peer must be a server, and the one that a RaftAddress names, as
// far as certificates tell; it checks the same of us, and a refusal shows at the first read.
func (l *raftLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	s := l.server
	if timeout <= 0 || timeout > s.cfg.Limits.HandshakeTimeout {
		timeout = s.cfg.Limits.HandshakeTimeout
	}
	s.count.inc("dial", label("protocol", "raft"))
	want, hostPort, named := strings.Cut(string(address), "@")
	if !named {
		want, hostPort = "", string(address)
	}
	pc, err := dial(s.ctx, l.open, hostPort, s.cfg.Creds, protocolRaft, timeout)
	if err != nil {
		s.count.inc("dial_error", label("protocol", "raft"))
		return nil, fmt.Errorf("raft connection to %s: %w", address, err)
	}
	if !mayRaft(s.cfg.Creds, pc.identity) {
		pc.Close()
		s.count.inc("dial_error", label("protocol", "raft"))
		return nil, fmt.Errorf("raft connection to %s: the peer is a %s of datacenter %s, or this node is no server",
			address, pc.identity.Role, pc.identity.Datacenter)
	}
	if got := string(pc.identity.ID); want != "" && got != "" && got != want {
		pc.Close()
		s.count.inc("dial_error", label("protocol", "raft"))
		return nil, fmt.Errorf("raft connection to %s: %s answers there", address, got)
	}
	return s.guarded(pc, true), nil
}

func (s *Server) guarded(pc *peerConn, answers bool) net.Conn {
	return newRaftGuard(pc, s.cfg.Limits, answers, func(err error) {
		s.count.inc("raft_frame_refused")
		s.cfg.Logger.Warn("closing a raft connection", "peer", pc.RemoteAddr().String(), "peer_id", pc.identity.ID, "error", err)
	})
}
