package logging

import (
	"bytes"
	"context"
	"log/slog"
	"time"
)

// ring keeps the last lines, bounded by number and by bytes.
type ring struct {
	recordsMax int
	bytesMax   int
	lines      []ringLine
	bytes      int
}

type ringLine struct {
	level slog.Level
	line  []byte
}

func (r *ring) add(level slog.Level, line []byte) {
	r.lines = append(r.lines, ringLine{level, line})
	r.bytes += len(line)
	drop := 0
	for len(r.lines)-drop > 1 && (len(r.lines)-drop > r.recordsMax || r.bytes > r.bytesMax) {
		r.bytes -= len(r.lines[drop].line)
		r.lines[drop].line = nil
		drop++
	}
	r.lines = r.lines[drop:]
}

// subscriberLines is how far a reader may fall behind before it loses lines.
const subscriberLines = 512

type subscriber struct {
	level slog.Level
	ch    chan []byte
	lost  int // since the last line sent
}

// send never blocks. After a loss the reader first hears of it, so that line needs room as well.
func (s *subscriber) send(l *Logs, line []byte) {
	need := 1
	if s.lost > 0 {
		need = 2
	}
	if cap(s.ch)-len(s.ch) < need {
		s.lost++
		return
	}
	if s.lost > 0 {
		s.ch <- l.lostLine(s.lost)
		s.lost = 0
	}
	s.ch <- line
}

// lostLine is the record that stands in for n lost ones, in the format of the others.
func (l *Logs) lostLine(n int) []byte {
	var buf bytes.Buffer
	r := slog.NewRecord(time.Now(), slog.LevelWarn, "log lines lost: the reader is too slow", 0)
	r.AddAttrs(slog.String(ComponentKey, "monitor"), slog.Int("lost", n))
	if err := l.format(&buf).Handle(context.Background(), r); err != nil {
		return nil
	}
	return buf.Bytes()
}

// Subscribe returns a channel of formatted lines, newline included: first those in memory, then every
// new one, of at least level (which may be below the level of the outputs). It is closed when ctx
// ends or the logs are closed. A reader that falls behind loses lines and gets one that says how
// many. The lines are shared: do not write to them.
func (l *Logs) Subscribe(ctx context.Context, level slog.Level) <-chan []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &subscriber{level: level, ch: make(chan []byte, len(l.ring.lines)+subscriberLines)}
	for _, e := range l.ring.lines {
		if e.level >= level {
			s.ch <- e.line
		}
	}
	if l.closed || ctx.Err() != nil {
		close(s.ch)
		return s.ch
	}
	l.subs[s] = struct{}{}
	l.setFloorLocked()
	context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.dropLocked(s)
	})
	return s.ch
}

func (l *Logs) dropLocked(s *subscriber) {
	if _, ok := l.subs[s]; !ok {
		return
	}
	delete(l.subs, s)
	l.setFloorLocked()
	if s.lost > 0 && len(s.ch) < cap(s.ch) {
		s.ch <- l.lostLine(s.lost)
	}
	close(s.ch)
}
