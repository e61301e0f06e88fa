package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/debros/debros/internal/creds"
	"github.com/debros/debros/structs"
)

// peerConn is a connection after its handshake: it knows who is at the other end.
type peerConn struct {
	net.Conn
	identity creds.Identity
}

// accept does the accepting half of the handshake within the timeout: TLS, then the first byte.
// It does not close c on an error.
func accept(ctx context.Context, c net.Conn, cr *creds.Creds, timeout time.Duration) (*peerConn, byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return nil, 0, fmt.Errorf("handshake: %w", err)
	}
	pc := &peerConn{Conn: c}
	if cr != nil {
		t := tls.Server(c, cr.ServerTLS())
		if err := pc.secure(ctx, t, cr); err != nil {
			return nil, 0, err
		}
	}
	var first [1]byte
	if _, err := io.ReadFull(pc.Conn, first[:]); err != nil {
		return nil, 0, fmt.Errorf("handshake: first byte: %w", err)
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		return nil, 0, fmt.Errorf("handshake: %w", err)
	}
	return pc, first[0], nil
}

// dial opens a connection and does the dialing half within the timeout. The peer is a server, or this fails.
func dial(ctx context.Context, open DialFunc, addr string, cr *creds.Creds, protocol byte, timeout time.Duration) (_ *peerConn, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, err := open(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	pc := &peerConn{Conn: c}
	if cr != nil {
		t := tls.Client(c, cr.ClientTLS())
		if err := pc.secure(ctx, t, cr); err != nil {
			return nil, err
		}
	}
	if _, err := pc.Conn.Write([]byte{protocol}); err != nil {
		return nil, fmt.Errorf("handshake: first byte: %w", err)
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return pc, nil
}

func (pc *peerConn) secure(ctx context.Context, t *tls.Conn, cr *creds.Creds) error {
	if err := t.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	id, err := cr.PeerIdentity(t.ConnectionState())
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	pc.Conn, pc.identity = t, id
	return nil
}

// passThrough are gRPC credentials for connections that did their handshake already.
type passThrough struct{}

// authInfo hands a connection's identity to the methods.
type authInfo struct {
	credentials.CommonAuthInfo
	identity creds.Identity
}

func (authInfo) AuthType() string { return "debros" }

func (passThrough) ClientHandshake(_ context.Context, _ string, c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c, infoOf(c), nil
}

func (passThrough) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c, infoOf(c), nil
}

func (passThrough) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "debros"}
}

func (p passThrough) Clone() credentials.TransportCredentials { return p }

func (passThrough) OverrideServerName(string) error { return nil }

func infoOf(c net.Conn) authInfo {
	info := authInfo{CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity}}
	if pc, ok := c.(*peerConn); ok && pc.identity.Verified {
		info.identity = pc.identity
		info.SecurityLevel = credentials.PrivacyAndIntegrity
	}
	return info
}

// connSet counts and closes the connections of a server.
type connSet struct {
	max, maxPerIP int

	mu     sync.Mutex // protects the following
	closed bool
	open   map[*trackedConn]struct{}
	perIP  map[string]int
}

func newConnSet(max, maxPerIP int) *connSet {
	return &connSet{max: max, maxPerIP: maxPerIP, open: map[*trackedConn]struct{}{}, perIP: map[string]int{}}
}

// add takes c in, or says which limit forbids it; the caller then closes c.
func (s *connSet) add(c net.Conn) (_ *trackedConn, refused string) {
	ip := remoteIP(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, "closed"
	case len(s.open) >= s.max:
		return nil, "limit_total"
	case ip != "" && s.perIP[ip] >= s.maxPerIP:
		return nil, "limit_ip"
	}
	t := &trackedConn{Conn: c, set: s, ip: ip}
	s.open[t] = struct{}{}
	if ip != "" {
		s.perIP[ip]++
	}
	return t, ""
}

func (s *connSet) remove(t *trackedConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.open[t]; !ok {
		return
	}
	delete(s.open, t)
	if t.ip != "" {
		if s.perIP[t.ip]--; s.perIP[t.ip] == 0 {
			delete(s.perIP, t.ip)
		}
	}
}

// close closes every connection and refuses new ones.
func (s *connSet) close() {
	s.mu.Lock()
	s.closed = true
	all := make([]*trackedConn, 0, len(s.open))
	for t := range s.open {
		all = append(all, t)
	}
	s.mu.Unlock()
	for _, t := range all {
		t.Close()
	}
}

// len is how many connections are open.
func (s *connSet) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// trackedConn leaves its set when it is closed.
type trackedConn struct {
	net.Conn
	set *connSet
	ip  string
}

func (t *trackedConn) Close() error {
	t.set.remove(t)
	return t.Conn.Close()
}

// remoteIP is the peer's IP address, "" where it has none.
func remoteIP(c net.Conn) string {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.IP.String()
	}
	return ""
}

// mayRaft reports whether a peer may speak Raft to this node.
func mayRaft(cr *creds.Creds, peer creds.Identity) bool {
	if cr == nil {
		return true
	}
	own := cr.Identity()
	return own.Role == structs.RoleServer && peer.Role == structs.RoleServer && peer.Datacenter == own.Datacenter
}
