// Package logging makes the agent's one logger: records of our code, raft, serf and memberlist go as
// text or JSON to standard error and to a rotated file, and the last of them stay in memory, where
// `debros monitor` reads them.
//
// Contract: logging never fails and never blocks on a reader. A line that cannot be written (full
// disk) is counted, see Lost; a slow subscriber loses lines and is told how many.
package logging

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
)

// LevelTrace lies below slog's levels; raft and serf have it.
const LevelTrace = slog.Level(-8)

// ComponentKey is the attribute that says which part of the agent a record comes from.
const ComponentKey = "component"

// Options configure Open. The zero value logs INFO as text to nowhere but the ring.
type Options struct {
	Level       string    // "trace" … "error", "" = info
	JSON        bool      // one JSON object a line instead of key=value text
	Writer      io.Writer // usually os.Stderr; nil = none
	File        FileOptions
	RingRecords int // records kept for Subscribe; 0 = 512
}

const (
	ringRecordsDefault = 512     // about a minute of a busy agent at DEBUG
	ringBytesMax       = 1 << 20 // whatever the number of records
)

// Logs owns the outputs of a logger.
type Logs struct {
	logger  *slog.Logger
	formats formats
	own     format        // of the outputs
	level   slog.LevelVar // of the outputs
	floor   atomic.Int64  // lowest level anybody wants: an output or a subscriber
	lost    atomic.Uint64

	mu     sync.Mutex // protects the following
	writer io.Writer
	file   *rotatedFile
	ring   ring
	subs   map[*subscriber]struct{}
	closed bool
}

// Open makes the logger and opens its file, if one is configured.
func Open(o Options) (*Logs, error) {
	level, err := ParseLevel(o.Level)
	if err != nil {
		return nil, err
	}
	if o.RingRecords <= 0 {
		o.RingRecords = ringRecordsDefault
	}
	l := &Logs{writer: o.Writer, subs: map[*subscriber]struct{}{}}
	l.ring = ring{recordsMax: o.RingRecords, bytesMax: ringBytesMax}
	l.level.Set(level)
	l.floor.Store(int64(level))
	if o.File.Path != "" {
		if l.file, err = openRotated(o.File); err != nil {
			return nil, err
		}
	}
	ho := &slog.HandlerOptions{Level: LevelTrace, ReplaceAttr: nameLevel}
	l.formats = formats{
		formatText: func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, ho) },
		formatJSON: func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, ho) },
	}
	if o.JSON {
		l.own = formatJSON
	}
	l.logger = slog.New(newHandler(l, l.formats))
	return l, nil
}

// Logger is the logger; every part of the agent gets it or a With of it.
func (l *Logs) Logger() *slog.Logger { return l.logger }

// Level is the level of the outputs.
func (l *Logs) Level() slog.Level { return l.level.Level() }

// SetLevel changes the level of the outputs at once; an unknown name changes nothing.
func (l *Logs) SetLevel(name string) error {
	level, err := ParseLevel(name)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.level.Set(level)
	l.setFloorLocked()
	return nil
}

// Lost is the number of lines that an output refused.
func (l *Logs) Lost() uint64 { return l.lost.Load() }

// Close ends every subscription and closes the file. The logger stays usable: what is logged later
// still goes to Writer.
func (l *Logs) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	for s := range l.subs {
		l.dropLocked(s)
	}
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// emit hands a record's lines to everybody who wants its level.
func (l *Logs) emit(level slog.Level, ls lines) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if level >= l.level.Level() {
		if l.writer != nil {
			l.write(l.writer, ls[l.own])
		}
		if l.file != nil {
			l.write(l.file, ls[l.own])
		}
	}
	l.ring.add(level, ls)
	for s := range l.subs {
		if level >= s.level {
			s.send(l, ls)
		}
	}
}

func (l *Logs) write(w io.Writer, line []byte) {
	if _, err := w.Write(line); err != nil {
		l.lost.Add(1) // there is nowhere to say so
	}
}

func (l *Logs) setFloorLocked() {
	floor := l.level.Level()
	for s := range l.subs {
		floor = min(floor, s.level)
	}
	l.floor.Store(int64(floor))
}

// ParseLevel reads a level's name in any case: trace, debug, info, warn (warning), error (err); "" is info.
func ParseLevel(name string) (slog.Level, error) {
	switch strings.ToLower(name) {
	case "trace":
		return LevelTrace, nil
	case "debug":
		return slog.LevelDebug, nil
	case "info", "":
		return slog.LevelInfo, nil
	case "warn", "warning":
		return slog.LevelWarn, nil
	case "error", "err":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("unknown log level %q: one of trace, debug, info, warn, error", name)
}

// nameLevel writes LevelTrace as TRACE, which slog would call DEBUG-4.
func nameLevel(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.LevelKey {
		if v, ok := a.Value.Any().(slog.Level); ok && v < slog.LevelDebug {
			a.Value = slog.StringValue("TRACE")
		}
	}
	return a
}
