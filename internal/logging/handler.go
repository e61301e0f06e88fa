package logging

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"slices"
	"sync"
)

// handler formats each record into a buffer of its own before it takes the lock of Logs, so that a
// value whose String or LogValue method logs cannot deadlock.
type handler struct {
	logs  *Logs
	build func(io.Writer) slog.Handler // the formatter with this handler's attributes and groups
	pool  *sync.Pool                   // of *formatter
}

type formatter struct {
	buf bytes.Buffer
	h   slog.Handler // writes to buf
}

// formatterBytesMax is the largest buffer worth keeping for the next record.
const formatterBytesMax = 16 << 10

func newHandler(l *Logs, build func(io.Writer) slog.Handler) *handler {
	return &handler{logs: l, build: build, pool: &sync.Pool{New: func() any {
		f := &formatter{}
		f.h = build(&f.buf)
		return f
	}}}
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return int64(level) >= h.logs.floor.Load()
}

// Handle implements slog.Handler; it never fails.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	f := h.pool.Get().(*formatter)
	f.buf.Reset()
	if err := f.h.Handle(ctx, r); err == nil {
		h.logs.emit(r.Level, f.buf.Bytes())
	}
	if f.buf.Cap() <= formatterBytesMax {
		h.pool.Put(f)
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	attrs = slices.Clone(attrs)
	return newHandler(h.logs, func(w io.Writer) slog.Handler { return h.build(w).WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	return newHandler(h.logs, func(w io.Writer) slog.Handler { return h.build(w).WithGroup(name) })
}
