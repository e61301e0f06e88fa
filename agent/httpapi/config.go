package httpapi

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/debros/debros/structs"
)

// Config is all that the HTTP API needs to know beside its Backend.
type Config struct {
	Logger *slog.Logger // nil = discard
	// NodeName is the local node's name: a permitted Host, and the default node of sessions.
	NodeName string
	// Hosts are further names under which browsers and programs may reach the API (without port,
	// any case). IP addresses and "localhost" always may.
	Hosts []string
	// Origins may call the API from a browser page ("https://ui.example.org"); none by default. A page
	// served by the API's own host and port always may.
	Origins []string
	Limits  Limits
}

// Limits bound what one request and one client may take. 0 = the default.
type Limits struct {
	ValueBytesMax    int64 // a value of the key-value store; default structs.ValueBytesMaxDefault
	TxnOpsMax        int   // operations in a transaction; default 128
	TxnBytesMax      int64 // keys and values of a transaction together; default 1 MiB
	SQLBytesMax      int64 // statements and arguments of an SQL request together; default 4 MiB
	SnapshotBytesMax int64 // archive to restore; default 16 GiB
	// WatchesPerClient is how many blocked queries and log streams one client address may hold; default 1024.
	WatchesPerClient int
	// ConnsPerClient is how many connections one client address may hold; default 4096.
	ConnsPerClient int
}

// Defaults of Limits, and bounds that are not configured.
const (
	txnOpsMaxDefault        = 128      // as rpc and Consul have it
	txnBytesMaxDefault      = 1 << 20  // what fits one log entry
	sqlBytesMaxDefault      = 4 << 20  // as rpc has it
	snapshotBytesMaxDefault = 16 << 30 // an archive never reaches this by accident
	watchesPerClientDefault = 1024     // a program that watches more wants a prefix watch
	connsPerClientDefault   = 4096     // half of the usual 8192 open files of a service
	smallBodyBytesMax       = 64 << 10 // JSON bodies of sessions, namespaces, operator calls
	headerBytesMax          = 64 << 10 // request line and headers: a key of 8 KiB, escaped, and room
	headerTimeout           = 10 * time.Second
	idleTimeout             = 2 * time.Minute
	streamWriteTimeout      = 30 * time.Second // a reader that takes nothing for this long is cut off
)

func (l Limits) withDefaults() Limits {
	set := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	setInt := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&l.ValueBytesMax, structs.ValueBytesMaxDefault)
	set(&l.TxnBytesMax, txnBytesMaxDefault)
	set(&l.SQLBytesMax, sqlBytesMaxDefault)
	set(&l.SnapshotBytesMax, snapshotBytesMaxDefault)
	setInt(&l.TxnOpsMax, txnOpsMaxDefault)
	setInt(&l.WatchesPerClient, watchesPerClientDefault)
	setInt(&l.ConnsPerClient, connsPerClientDefault)
	return l
}

// txnBodyBytesMax bounds the JSON of a transaction: base64 makes bytes 4/3 as long, field names and
// blanks take the rest. What is inside is measured again once it is decoded.
func (l Limits) txnBodyBytesMax() int64 { return 2*l.TxnBytesMax + 4*smallBodyBytesMax }

// Handler is the HTTP API. It is safe for concurrent use.
type Handler struct {
	b       Backend
	log     *slog.Logger
	cfg     Config
	guard   guard
	table   *table
	watches *counter
	conns   *counter
	// overConns are the open connections that conns refused: they give nothing back.
	overConns sync.Map // net.Conn to nothing
	// See the constants of the same names.
	changeHeartbeat, changeReaderTimeout time.Duration
	// bounds are the limits in force.
	bounds atomic.Pointer[Limits]
}

func (h *Handler) limits() *Limits { return h.bounds.Load() }

// SetLimits puts other limits into force for requests that begin from now on; zero means the default.
// WatchesPerClient and ConnsPerClient stay what they were.
func (h *Handler) SetLimits(l Limits) {
	l = l.withDefaults()
	h.bounds.Store(&l)
}

// New checks the configuration and builds the handler. It starts nothing.
func New(cfg Config, b Backend) (*Handler, error) {
	if b == nil {
		return nil, errors.New("new HTTP API: no backend")
	}
	l := cfg.Limits
	if l.ValueBytesMax < 0 || l.TxnOpsMax < 0 || l.TxnBytesMax < 0 || l.SQLBytesMax < 0 || l.SnapshotBytesMax < 0 ||
		l.WatchesPerClient < 0 || l.ConnsPerClient < 0 {
		return nil, errors.New("new HTTP API: a limit is negative")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	g, err := newGuard(cfg)
	if err != nil {
		return nil, err
	}
	t, err := newTable(routes())
	if err != nil {
		return nil, err
	}
	h := &Handler{b: b, log: cfg.Logger, cfg: cfg, guard: g, table: t, changeHeartbeat: changeHeartbeat, changeReaderTimeout: changeReaderTimeout}
	h.SetLimits(l)
	h.watches, h.conns = newCounter(h.limits().WatchesPerClient), newCounter(h.limits().ConnsPerClient)
	return h, nil
}

// Server wraps the handler in an http.Server with the timeouts and the connection limit it needs.
// The caller calls Serve and Shutdown. Blocked queries end when the base context does.
func (h *Handler) Server(base context.Context) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytesMax,
		ErrorLog:          slog.NewLogLogger(h.log.Handler(), slog.LevelDebug), // strangers' bad handshakes
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext:       h.connContext,
		ConnState:         h.connState,
	}
}

// newRequestID is 64 random bits: enough to find one request in a log.
func newRequestID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}
