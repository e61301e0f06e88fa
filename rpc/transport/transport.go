// Package transport carries Raft and RPC between nodes on one port, over any net.Conn.
//
// Contract: a connection is TLS 1.3 with certificates on both sides (plain without creds, for
// loopback and insecure clusters); then the dialer sends one byte, 'R' for Raft or 'G' for gRPC, and
// speaks that protocol for the rest of the connection. Raft is for servers of this datacenter only.
// RPC messages are plain structs in msgpack (structs.Encode); the package knows no method names, it
// is handed lists of them. Errors cross as *structs.Error and as nothing else.
//
// Everything read from a peer has a size and a deadline: see Limits and DESIGN.md.
package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/hashicorp/go-metrics"

	"github.com/debros/debros/internal/creds"
)

// The first byte of a connection, inside TLS. Append only.
const (
	protocolRaft byte = 'R'
	protocolGRPC byte = 'G'
)

// Limits bound what a peer may make this node hold. A zero field means the default.
type Limits struct {
	// MessageBytesMax is the largest RPC message, request or reply. Default 64 MiB: room for a transaction
	// of 64 values of the default largest size, 512 KiB, with as much again.
	MessageBytesMax int
	// ConnsMax is how many connections are open at once, unauthenticated ones included. Default 4096.
	ConnsMax int
	// ConnsPerIPMax is how many of them may come from one IP address. Default 256: a node needs one for RPC
	// and a handful for Raft, and many nodes may share one machine. Peers without an IP (pipes,
	// overlay streams) count only to ConnsMax.
	ConnsPerIPMax int
	// HandshakeTimeout bounds TLS, the first byte and gRPC's own greeting, and dialing. Default 5 s.
	HandshakeTimeout time.Duration
	// StreamsPerConnMax is how many calls one connection may have in progress; more wait at the caller.
	// Default 8192: blocking queries of a whole client node share one connection.
	StreamsPerConnMax int
	// RaftEntryBytesMax is the largest byte string in a Raft message. Default MessageBytesMax and 1 MiB: a
	// log entry holds at least one command as it came by RPC.
	RaftEntryBytesMax int64
	// RaftFrameBytesMax is the largest Raft message (a batch of entries; snapshots stream and do not count).
	// Default 1 GiB: raft packs up to MaxAppendEntries (512) entries of about 1 MiB each.
	RaftFrameBytesMax int64
	// IdleTimeout is how long a pooled connection lives without a call. Default 2 min.
	IdleTimeout time.Duration
}

func (l Limits) withDefaults() Limits {
	l.MessageBytesMax = orDefault(l.MessageBytesMax, 64<<20)
	l.ConnsMax = orDefault(l.ConnsMax, 4096)
	l.ConnsPerIPMax = orDefault(l.ConnsPerIPMax, 256)
	l.HandshakeTimeout = orDefault(l.HandshakeTimeout, 5*time.Second)
	l.StreamsPerConnMax = orDefault(l.StreamsPerConnMax, 8192)
	l.RaftEntryBytesMax = orDefault(l.RaftEntryBytesMax, int64(l.MessageBytesMax)+1<<20)
	l.RaftFrameBytesMax = orDefault(l.RaftFrameBytesMax, 1<<30)
	l.IdleTimeout = orDefault(l.IdleTimeout, 2*time.Minute)
	return l
}

func orDefault[T int | int64 | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// Config is what servers and pools have in common.
type Config struct {
	Creds   *creds.Creds // nil: plain connections, for loopback and insecure clusters
	Logger  *slog.Logger // nil: slog.Default
	Limits  Limits
	Metrics *metrics.Metrics // nil: the global one of go-metrics
}

func (c Config) withDefaults() Config {
	c.Limits = c.Limits.withDefaults()
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// DialFunc opens a connection to an address; TLS and the first byte are added by the caller.
type DialFunc func(ctx context.Context, addr string) (net.Conn, error)

func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

// Method answers one request with one reply.
type Method struct {
	Name        string     // "KV.Apply"
	ServersOnly bool       // only a peer whose certificate says server of this datacenter may call it; without TLS everyone may
	New         func() any // a new request to decode into
	Handle      func(ctx context.Context, req any) (any, error)
}

// Unary makes a Method of a typed function. ctx carries the caller's deadline and PeerIdentity.
func Unary[Req, Rep any](name string, f func(ctx context.Context, req *Req, rep *Rep) error) Method {
	return Method{
		Name: name,
		New:  func() any { return new(Req) },
		Handle: func(ctx context.Context, req any) (any, error) {
			rep := new(Rep)
			if err := f(ctx, req.(*Req), rep); err != nil {
				return nil, err
			}
			return rep, nil
		},
	}
}

// StreamMethod answers one request with bytes both ways. in ends with io.EOF only where the caller's reader did; a
// caller that broke off gives another error. A write to out blocks while the caller does not read. in and out may be used
// until Handle returns, each by one goroutine at a time.
type StreamMethod struct {
	Name        string
	ServersOnly bool
	New         func() any
	Handle      func(ctx context.Context, req any, in io.Reader, out io.Writer) error
}

func checkMethods(methods []Method, streams []StreamMethod) error {
	seen := map[string]bool{}
	check := func(name string, complete bool) error {
		switch {
		case name == "":
			return errors.New("rpc method without a name")
		case !complete:
			return fmt.Errorf("rpc method %s lacks New or Handle", name)
		case seen[name]:
			return fmt.Errorf("rpc method %s is listed twice", name)
		}
		seen[name] = true
		return nil
	}
	for _, m := range methods {
		if err := check(m.Name, m.New != nil && m.Handle != nil); err != nil {
			return err
		}
	}
	for _, m := range streams {
		if err := check(m.Name, m.New != nil && m.Handle != nil); err != nil {
			return err
		}
	}
	return nil
}
