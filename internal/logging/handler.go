package logging

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"slices"
	"sync"
)

// format is how a record becomes a line.
type format int

const (
	formatText format = iota
	formatJSON
	formatCount
)

// formats make a formatter of each format that writes to w.
type formats [formatCount]func(w io.Writer) slog.Handler

// derive gives every formatter what a With or WithGroup adds.
func (fs formats) derive(add func(slog.Handler) slog.Handler) formats {
	var out formats
	for i, build := range fs {
		out[i] = func(w io.Writer) slog.Handler { return add(build(w)) }
	}
	return out
}

// lines are one record in each format: outputs need one of them, subscribers may want the other.
type lines [formatCount][]byte

func (ls lines) size() (n int) {
	for _, l := range ls {
		n += len(l)
	}
	return n
}

// handler formats each record into a buffer of its own before it takes the lock of Logs, so that a
// value whose String or LogValue method logs cannot deadlock.
type handler struct {
	logs    *Logs
	formats formats    // with this handler's attributes and groups
	pool    *sync.Pool // of *formatter
}

type formatter struct {
	buf      bytes.Buffer
	handlers [formatCount]slog.Handler // write to buf
}

// formatterBytesMax is the largest buffer worth keeping for the next record.
const formatterBytesMax = 16 << 10

func newHandler(l *Logs, fs formats) *handler {
	return &handler{logs: l, formats: fs, pool: &sync.Pool{New: func() any {
		f := &formatter{}
		for i, build := range fs {
			f.handlers[i] = build(&f.buf)
		}
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
	var ls lines
	for i, fh := range f.handlers {
		f.buf.Reset()
		if err := fh.Handle(ctx, r); err != nil {
			return nil // it cannot fail: the buffer does not
		}
		ls[i] = bytes.Clone(f.buf.Bytes()) // the ring keeps it
	}
	if f.buf.Cap() <= formatterBytesMax {
		h.pool.Put(f)
	}
	h.logs.emit(r.Level, ls)
	return nil
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	attrs = slices.Clone(attrs)
	return newHandler(h.logs, h.formats.derive(func(s slog.Handler) slog.Handler { return s.WithAttrs(attrs) }))
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	return newHandler(h.logs, h.formats.derive(func(s slog.Handler) slog.Handler { return s.WithGroup(name) }))
}
