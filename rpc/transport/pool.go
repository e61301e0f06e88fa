package transport

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"

	"github.com/debros/debros/structs"
)

// Pool keeps one RPC connection per address and makes calls over it. Safe for concurrent use.
type Pool struct {
	cfg   Config
	count counters
	open  DialFunc

	calls sync.WaitGroup // calls in progress; Add only under mu while not closed

	mu        sync.Mutex // protects the following
	closed    bool
	peers     map[string]*pooled
	nextSweep time.Time
}

// pooled is the connection to one address. gRPC opens it at the first call, opens it again when it breaks,
// and lets it go when idle.
type pooled struct {
	addr    string
	cc      *grpc.ClientConn
	dialErr atomic.Pointer[error] // of the last attempt; nil when it worked

	// Under Pool.mu.
	calls int
	used  time.Time // end of the last call
}

// How fast a broken connection is tried again. A call made meanwhile fails at once (nothing was sent), and
// the caller has other servers to turn to; a server that comes back should be found within a second.
const (
	redialMin = 50 * time.Millisecond
	redialMax = time.Second
)

// NewPool makes a pool that opens connections with open (nil = TCP). Nothing is opened before a call.
func NewPool(cfg Config, open DialFunc) *Pool {
	if open == nil {
		open = dialTCP
	}
	return &Pool{cfg: cfg.withDefaults(), count: counters{cfg.Metrics}, open: open, peers: map[string]*pooled{}}
}

// Close breaks off all calls, waits for them, and closes all connections. It is idempotent.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	peers := p.peers
	p.peers = nil
	p.mu.Unlock()
	for _, e := range peers {
		e.cc.Close()
	}
	p.calls.Wait()
	return nil
}

// Conns is how many addresses the pool holds.
func (p *Pool) Conns() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.peers)
}

// acquire finds or makes the connection to addr, and closes those that nobody has used for long.
func (p *Pool) acquire(addr string) (*pooled, *structs.Error) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, structs.Errorf(structs.KindUnavailable, "this node is shutting down")
	}
	if now.After(p.nextSweep) {
		p.sweepLocked(now)
	}
	e := p.peers[addr]
	if e == nil {
		e = &pooled{addr: addr}
		cc, err := p.newClient(e)
		if err != nil {
			return nil, structs.Errorf(structs.KindUnavailable, "no connection to %s can be made: %v", addr, err)
		}
		e.cc = cc
		p.peers[addr] = e
	}
	e.calls++
	p.calls.Add(1)
	return e, nil
}

func (p *Pool) release(e *pooled) {
	p.mu.Lock()
	e.calls--
	e.used = time.Now()
	p.mu.Unlock()
	p.calls.Done()
}

// sweepLocked forgets addresses without calls. The sockets themselves gRPC closes after the same
// time, so a pool that nobody calls holds no connection either.
func (p *Pool) sweepLocked(now time.Time) {
	idle := p.cfg.Limits.IdleTimeout
	p.nextSweep = now.Add(idle)
	for addr, e := range p.peers {
		if e.calls == 0 && now.Sub(e.used) > idle {
			delete(p.peers, addr)
			e.cc.Close()
		}
	}
}

func (p *Pool) newClient(e *pooled) (*grpc.ClientConn, error) {
	lim := p.cfg.Limits
	// The target is a constant: addresses need not be valid in a URL (IPv6 zones, overlay names).
	return grpc.NewClient("passthrough:///debros",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return p.dial(ctx, e) }),
		grpc.WithTransportCredentials(passThrough{}),
		grpc.WithDefaultCallOptions(
			grpc.ForceCodecV2(codec{}),
			grpc.MaxCallRecvMsgSize(lim.MessageBytesMax),
			grpc.MaxCallSendMsgSize(lim.MessageBytesMax),
		),
		// No retry policy from anywhere. What remains is gRPC's transparent retry of a request that was never
		// sent, or that the server said it had not looked at; both are safe for writes.
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		grpc.WithNoProxy(),
		grpc.WithStatsHandler(sentTracker{}),
		grpc.WithMaxHeaderListSize(headerBytesMax),
		grpc.WithIdleTimeout(lim.IdleTimeout),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingEvery, Timeout: pingTimeout, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: redialMin, Multiplier: 2, Jitter: 0.2, MaxDelay: redialMax},
			MinConnectTimeout: lim.HandshakeTimeout,
		}),
	)
}

func (p *Pool) dial(ctx context.Context, e *pooled) (net.Conn, error) {
	p.count.inc("dial", label("protocol", "grpc"))
	pc, err := dial(ctx, p.open, e.addr, p.cfg.Creds, protocolGRPC, p.cfg.Limits.HandshakeTimeout)
	if err != nil {
		p.count.inc("dial_error", label("protocol", "grpc"))
		e.dialErr.Store(&err)
		p.cfg.Logger.Debug("rpc connection failed", "address", e.addr, "error", err)
		return nil, fmt.Errorf("connect to %s: %w", e.addr, err)
	}
	e.dialErr.Store(nil)
	return pc, nil
}

func (e *pooled) lastDialErr() error {
	if err := e.dialErr.Load(); err != nil {
		return *err
	}
	return nil
}
