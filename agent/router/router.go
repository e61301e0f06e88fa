// Package router is how a client agent reaches the servers: it chooses one, stays with it, goes to
// another when that one fails, and repeats what may be repeated.
//
// Contract: RPC and Stream return *structs.Error (or a context error). A request is sent again only
// when it surely changed nothing: the answer was KindNoLeader or KindUnavailable, or it was a read. A
// write whose result is unknown (KindUnknownResult) is never sent again. Repeating ends when the
// hold time has passed, in which a server's own wait for a leader counts; after that, one server more
// is tried if it knows a leader. A server over the overlay that falls silent is not waited for where the
// request may be made twice (hedge.go). The router holds no connection, the pool does, and no goroutine
// of its own outlives a call.
package router

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/debros/debros/structs"
)

const (
	// HoldTimeoutDefault outlives an election with room to spare.
	HoldTimeoutDefault = 7 * time.Second

	// retryPauseMin and retryPauseMax bound the pause before a repetition: it doubles from one to
	// the other, and half of it is jitter.
	retryPauseMin = 20 * time.Millisecond
	retryPauseMax = 640 * time.Millisecond

	// askTimeout bounds the question whether a server knows a leader, which none has to think about.
	askTimeout = time.Second
)

// Server is one server as membership knows it.
type Server struct {
	ID         structs.NodeID
	Addr       string // "host:port" of the server port
	Datacenter string
	Far        bool // nobody but its silence tells that it died: it is reached over the overlay
}

// Pool sends requests; *transport.Pool is one.
type Pool interface {
	Call(ctx context.Context, addr, method string, req, reply any) error
	Stream(ctx context.Context, addr, method string, req any, in io.Reader, out io.Writer) error
}

// Config is what a Router needs.
type Config struct {
	// Servers lists the living servers now, in any order. It is asked at every request and must be cheap.
	Servers func() []Server
	// Datacenter is this node's own: servers of others are left alone. "" = all.
	Datacenter string
	Pool       Pool
	Logger     *slog.Logger // nil = slog.Default
	// HoldTimeout is how long requests that fail are repeated; the servers wait as long for a leader
	// before they say that there is none. 0 = HoldTimeoutDefault.
	HoldTimeout time.Duration
	// Rate is how many requests a second this node may send, and Burst how many at once. 0 = no limit.
	Rate  float64
	Burst int
}

// Router passes requests to servers. Safe for concurrent use.
type Router struct {
	pool    Pool
	log     *slog.Logger
	hold    time.Duration
	choice  *choice
	limiter atomic.Pointer[rate.Limiter] // nil = no limit
}

// New checks the configuration; it contacts nobody.
func New(cfg Config) (*Router, error) {
	if cfg.Servers == nil || cfg.Pool == nil {
		return nil, errors.New("router: Servers and Pool are needed")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.HoldTimeout <= 0 {
		cfg.HoldTimeout = HoldTimeoutDefault
	}
	r := &Router{
		pool: cfg.Pool, log: cfg.Logger, hold: cfg.HoldTimeout,
		choice: &choice{servers: cfg.Servers, datacenter: cfg.Datacenter},
	}
	r.SetRateLimit(cfg.Rate, cfg.Burst)
	return r, nil
}

// SetRateLimit changes the limit in force; perSecond 0 lifts it.
func (r *Router) SetRateLimit(perSecond float64, burst int) {
	if perSecond <= 0 {
		r.limiter.Store(nil)
		return
	}
	r.limiter.Store(rate.NewLimiter(rate.Limit(perSecond), max(burst, 1)))
}

// Server is the server that the next request goes to; ok is false when none is known.
func (r *Router) Server() (s Server, ok bool) { return r.choice.pick(time.Now()) }

// RPC calls an endpoint of some server. req and reply are pointers to the types that stand beside
// the method's name in structs.
func (r *Router) RPC(ctx context.Context, method string, req, reply any) error {
	_, isRead := req.(interface{ Query() *structs.QueryOptions })
	began := time.Now()
	return r.repeat(ctx, method, isRead, blocks(req), func(s Server) error {
		restore := shortenWait(req, time.Since(began))
		defer restore()
		return r.call(ctx, s, method, req, reply)
	})
}

// Stream calls a streaming endpoint of some server. It is repeated only while no byte was taken
// from in and none given to out: neither can be had back.
func (r *Router) Stream(ctx context.Context, method string, req any, in io.Reader, out io.Writer) error {
	var used atomic.Bool
	if in != nil {
		in = &usedReader{in, &used}
	}
	if out != nil {
		out = &usedWriter{out, &used}
	}
	return r.repeat(ctx, method, false, true, func(s Server) error {
		err := r.pool.Stream(ctx, s.Addr, method, req, in, out)
		if err != nil && used.Load() {
			return final{err}
		}
		return err
	})
}

// final is an error after which nothing may be repeated, whatever its kind.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// repeat calls try with one server after another until it succeeds, fails for good, or the hold time
// has passed. isLong says that a try may rightly take longer than that.
func (r *Router) repeat(ctx context.Context, method string, isRead, isLong bool, try func(Server) error) error {
	if l := r.limiter.Load(); l != nil && !l.Allow() {
		return structs.Errorf(structs.KindRateLimited, "this agent sends more than %g requests a second", float64(l.Limit())).
			WithHint("try again later, or raise limits.rpc_rate")
	}
	var deadline time.Time
	askedAround := false
	pause := retryPauseMin
	for {
		began := time.Now()
		err := r.once(method, isRead, try)
		var f final
		switch {
		case err == nil:
			return nil
		case errors.As(err, &f):
			return f.error
		case ctx.Err() != nil || !repeatable(err, isRead):
			return err
		}
		if deadline.IsZero() {
			deadline = r.holdUntil(began, isLong && structs.KindOf(err) != structs.KindNoLeader)
		}
		d := pause/2 + rand.N(pause/2)
		// A server gives up a little before the hold time is over; it would wait as long again.
		held := structs.KindOf(err) == structs.KindNoLeader && time.Since(began) > r.hold/2
		if held || time.Now().Add(d).After(deadline) {
			if askedAround || !r.leaderElsewhere(ctx, err) {
				return err
			}
			askedAround = true
			continue
		}
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return err
		}
		pause = min(2*pause, retryPauseMax)
	}
}

// holdUntil is when repeating ends after a first try that began then and has failed now. The time that
// it took counts, or whoever asks would wait for the hold time twice: a server that says that there is
// no leader has waited for one. It does not count when the try slept, in a blocking query or moving
// an archive, before it failed.
func (r *Router) holdUntil(began time.Time, slept bool) time.Time {
	now := time.Now()
	if slept {
		began = now
	}
	return began.Add(r.hold)
}

// leaderElsewhere reports, after a server has waited in vain for a leader, whether the next one knows
// one: the first may be cut off from the others.
func (r *Router) leaderElsewhere(ctx context.Context, err error) bool {
	s, ok := r.choice.pick(time.Now())
	if !ok || structs.KindOf(err) != structs.KindNoLeader {
		return false
	}
	var reply structs.StatusReply
	return r.askLeader(ctx, s, &reply) == nil && reply.LeaderID != ""
}

// askLeader asks a server whether it knows a leader.
func (r *Router) askLeader(ctx context.Context, s Server, reply *structs.StatusReply) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req := &structs.QueryRequest{QueryOptions: structs.QueryOptions{Consistency: structs.Stale}}
	return r.pool.Call(ctx, s.Addr, "Status.Leader", req, reply)
}

// once tries one server and remembers how it went.
func (r *Router) once(method string, isRead bool, try func(Server) error) error {
	s, ok := r.choice.pick(time.Now())
	if !ok {
		return structs.Errorf(structs.KindNoLeader, "no known servers").
			WithHint("this client agent has not found a server yet: check retry_join and `debros members` for nodes with the role server, or overlay.bootstrap and `debros peers` for an agent without a LAN")
	}
	err := try(s)
	if err == nil {
		return nil
	}
	if unanswered(err) {
		r.log.Debug("request failed", "method", method, "server", s.ID, "addr", s.Addr, "read", isRead, "error", err)
		r.choice.failed(s, time.Now())
	}
	return err
}

// repeatable says whether a request that ended so changed nothing.
func repeatable(err error, isRead bool) bool {
	switch structs.KindOf(err) {
	case structs.KindNoLeader, structs.KindUnavailable:
		return true
	case structs.KindUnknownResult:
		return isRead // nothing to be unknown about
	}
	return false
}

// blocks reports whether a request is a blocking query, which may sleep for minutes.
func blocks(req any) bool {
	q, ok := req.(interface{ Query() *structs.QueryOptions })
	return ok && q.Query().Index > 0
}

// shortenWait takes the time that earlier tries slept from a blocking query's wait, so that the
// caller does not wait longer than asked. The returned function puts the request right again.
func shortenWait(req any, slept time.Duration) (restore func()) {
	if !blocks(req) {
		return func() {}
	}
	o := req.(interface{ Query() *structs.QueryOptions }).Query()
	wait := o.Wait
	if wait <= 0 {
		o.Wait = structs.DefaultWait
	}
	o.Wait = max(o.Wait-slept, time.Millisecond) // 0 would mean the default
	return func() { o.Wait = wait }
}

type usedReader struct {
	io.Reader
	used *atomic.Bool
}

func (r *usedReader) Read(p []byte) (int, error) {
	r.used.Store(true) // even a failed read may have taken something
	return r.Reader.Read(p)
}

type usedWriter struct {
	io.Writer
	used *atomic.Bool
}

func (w *usedWriter) Write(p []byte) (int, error) {
	w.used.Store(true)
	return w.Writer.Write(p)
}
