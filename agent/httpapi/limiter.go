package httpapi

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"github.com/debros/debros/structs"
)

// counter bounds how many of something each client holds at once.
type counter struct {
	max int

	mu   sync.Mutex // protects the following
	held map[string]int
}

func newCounter(limit int) *counter { return &counter{max: limit, held: map[string]int{}} }

// take reports whether the client got one more; each success needs one give.
func (c *counter) take(client string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[client] >= c.max {
		return false
	}
	c.held[client]++
	return true
}

func (c *counter) give(client string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[client]--; c.held[client] <= 0 {
		delete(c.held, client)
	}
}

// clientOf is who a remote address counts as: an IPv4 address, an IPv6 /64 (one household or
// machine can use all of it), or, where it is no IP address (a peer's stream), the whole text.
func clientOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() && !ip.IsLoopback() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}

// watch counts a request that will wait; the returned func ends it.
func (h *Handler) watch(c *call) (done func(), err error) {
	client := clientOf(c.r.RemoteAddr)
	if !h.watches.take(client) {
		return nil, structs.Errorf(structs.KindRateLimited,
			"this client already holds %d blocked queries and streams, the limit", h.watches.max).
			WithHint("watch a prefix instead of many keys, or raise limits.http_blocked_watches_per_client")
	}
	return func() { h.watches.give(client) }, nil
}

// connKey carries *connInfo in the context of a connection's requests.
type connKey struct{}

type connInfo struct{ over bool }

// connContext counts a new connection. One over the limit is still accepted, so that the client is
// told: its first request is answered with 429 and the connection closed.
func (h *Handler) connContext(ctx context.Context, nc net.Conn) context.Context {
	over := !h.conns.take(clientOf(nc.RemoteAddr().String()))
	if over {
		h.overConns.Store(nc, nil)
	}
	return context.WithValue(ctx, connKey{}, &connInfo{over: over})
}

func (h *Handler) connState(nc net.Conn, s http.ConnState) {
	if s != http.StateClosed && s != http.StateHijacked {
		return
	}
	if _, over := h.overConns.LoadAndDelete(nc); !over {
		h.conns.give(clientOf(nc.RemoteAddr().String()))
	}
}

func tooManyConns(r *http.Request) bool {
	info, _ := r.Context().Value(connKey{}).(*connInfo)
	return info != nil && info.over
}

// total is how many all clients hold.
func (c *counter) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, v := range c.held {
		n += v
	}
	return n
}
