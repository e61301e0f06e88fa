package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"

	"github.com/debros/debros/internal/creds"
)

// Server accepts connections, checks them, and hands them to Raft or to the RPC methods.
type Server struct {
	cfg   Config
	count counters
	lis   net.Listener // nil: connections come by ServeConn only
	conns *connSet
	grpc  *grpc.Server
	rpc   *handoff
	raft  atomic.Pointer[raftLayer]

	ctx    context.Context // ends when the server closes
	cancel context.CancelFunc

	startOnce sync.Once // gRPC

	mu      sync.Mutex // protects the following
	closing bool
	wg      sync.WaitGroup // every goroutine of ours; Add only under mu while not closing
}

// keepalive of RPC connections. The client's ping finds a dead server that sent no FIN within
// pingEvery + pingTimeout; the server's finds dead clients, whose blocked queries hold memory.
const (
	pingEvery      = 10 * time.Second // the least that gRPC lets a client choose
	pingTimeout    = 5 * time.Second
	serverPing     = 30 * time.Second
	pingEveryMin   = 5 * time.Second // a client that pings more often is cut off
	acceptDelayMax = time.Second     // pause after a failed accept (out of descriptors)
)

// Listen makes a server for l (nil: only ServeConn) that answers the given methods. It takes l over but accepts nothing
// before Serve.
func Listen(l net.Listener, cfg Config, methods []Method, streams []StreamMethod) (*Server, error) {
	if err := checkMethods(methods, streams); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Server{
		cfg:   cfg,
		count: counters{cfg.Metrics},
		lis:   l,
		conns: newConnSet(cfg.Limits.ConnsMax, cfg.Limits.ConnsPerIPMax),
	}
	var addr net.Addr = &net.UnixAddr{Name: "debros", Net: "memory"}
	if l != nil {
		addr = l.Addr()
	}
	s.rpc = newHandoff(addr)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.grpc = grpc.NewServer(
		grpc.Creds(passThrough{}),
		grpc.ForceServerCodecV2(codec{}),
		grpc.MaxRecvMsgSize(cfg.Limits.MessageBytesMax),
		grpc.MaxSendMsgSize(cfg.Limits.MessageBytesMax),
		grpc.MaxConcurrentStreams(uint32(cfg.Limits.StreamsPerConnMax)),
		grpc.MaxHeaderListSize(headerBytesMax),
		grpc.ConnectionTimeout(cfg.Limits.HandshakeTimeout),
		grpc.WaitForHandlers(true),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: serverPing, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingEveryMin, PermitWithoutStream: true}),
	)
	s.register(methods, streams)
	return s, nil
}

// Addr is the listener's address, nil without one.
func (s *Server) Addr() net.Addr {
	if s.lis == nil {
		return nil
	}
	return s.lis.Addr()
}

// Conns is how many connections are open.
func (s *Server) Conns() int { return s.conns.len() }

// Serve accepts connections until the server closes, and then returns nil. Any other end is an error.
func (s *Server) Serve() error {
	if s.lis == nil {
		return errors.New("rpc server without a listener")
	}
	if !s.begin() {
		return nil
	}
	defer s.wg.Done()
	s.startGRPC()
	delay := time.Duration(0)
	for {
		c, err := s.lis.Accept()
		if err == nil {
			delay = 0
			s.ServeConn(c)
			continue
		}
		if s.isClosing() {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accept: %w", err)
		}
		delay = min(max(2*delay, 5*time.Millisecond), acceptDelayMax)
		s.cfg.Logger.Error("cannot accept connections", "error", err, "retry_in", delay)
		select {
		case <-time.After(delay):
		case <-s.ctx.Done():
			return nil
		}
	}
}

// ServeConn serves one connection that came by other means than the listener. It takes c over and returns at once.
func (s *Server) ServeConn(c net.Conn) {
	t, refused := s.conns.add(c)
	if t == nil {
		s.refuse(c, refused, nil)
		return
	}
	if !s.begin() {
		s.refuse(t, "closed", nil)
		return
	}
	s.startGRPC()
	go func() {
		defer s.wg.Done()
		s.handshake(t)
	}()
}

// begin takes part in the wait group, unless the server is closing.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.wg.Add(1)
	return true
}

func (s *Server) stopAccepting() {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	if s.lis != nil {
		s.lis.Close()
	}
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

func (s *Server) refuse(c net.Conn, reason string, err error) {
	s.count.inc("conn_refused", label("reason", reason))
	level := slog.LevelWarn
	if reason == "handshake" || reason == "closed" {
		level = slog.LevelDebug // port scans and health checks; the counter tells of them
	}
	s.cfg.Logger.Log(context.Background(), level, "connection refused", "peer", addrOf(c), "reason", reason, "error", err)
	c.Close()
}

func addrOf(c net.Conn) string {
	if a := c.RemoteAddr(); a != nil {
		return a.String()
	}
	return "?"
}

// handshake checks a connection and hands it to its protocol.
func (s *Server) handshake(c net.Conn) {
	timeout := s.cfg.Limits.HandshakeTimeout
	pc, first, err := accept(s.ctx, c, s.cfg.Creds, timeout)
	if err != nil {
		s.refuse(c, "handshake", err)
		return
	}
	switch first {
	case protocolGRPC:
		s.count.inc("conn_accepted", label("protocol", "grpc"))
		if !s.rpc.give(pc, timeout) {
			s.refuse(pc, "closed", nil)
		}
	case protocolRaft:
		l := s.raft.Load()
		switch {
		case !mayRaft(s.cfg.Creds, pc.identity):
			s.refuse(pc, "raft_role", fmt.Errorf("a %s of datacenter %s (%s) tried to speak raft",
				pc.identity.Role, pc.identity.Datacenter, pc.identity.ID))
		case l == nil || !l.give(s.guarded(pc, false), timeout):
			s.refuse(pc, "raft_unready", nil)
		default:
			s.count.inc("conn_accepted", label("protocol", "raft"))
		}
	case 0x16: // a TLS ClientHello
		s.refuse(pc, "first_byte", errors.New("the peer speaks TLS, this node does not: only one of them has a cluster key or certificates"))
	default:
		s.refuse(pc, "first_byte", fmt.Errorf("unknown protocol 0x%02x", first))
	}
}

// startGRPC runs gRPC's accept loop once.
func (s *Server) startGRPC() {
	s.startOnce.Do(func() {
		s.wg.Add(1) // the caller is in the wait group, so it cannot be at zero
		go func() {
			defer s.wg.Done()
			if err := s.grpc.Serve(s.rpc); err != nil && s.ctx.Err() == nil && !errors.Is(err, grpc.ErrServerStopped) {
				s.cfg.Logger.Error("rpc server ended", "error", err)
			}
		}()
	})
}

// Shutdown stops accepting, tells RPC callers to go elsewhere, waits for the calls in progress until ctx ends, and
// then closes. Blocking queries are calls in progress: ctx should be short.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopAccepting()
	drained := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(drained)
	}()
	select {
	case <-drained:
	case <-ctx.Done():
	}
	err := s.Close()
	<-drained // Close ends the calls that it waited for
	return err
}

// Close ends everything: the listener, the Raft layer, every connection, and with them the context of every call.
// It waits for the methods to return. Callers with a call in progress get KindUnknownResult.
func (s *Server) Close() error {
	s.stopAccepting()
	s.cancel()
	if l := s.raft.Load(); l != nil {
		l.Close()
	}
	s.rpc.Close()
	s.conns.close()
	s.grpc.Stop()
	s.wg.Wait()
	return nil
}

// PeerIdentity is who called the method that ctx came to; the zero Identity when it did not come by this
// transport, or came without TLS.
func PeerIdentity(ctx context.Context) creds.Identity {
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(authInfo); ok {
			return info.identity
		}
	}
	return creds.Identity{}
}
