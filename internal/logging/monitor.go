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
	records    []ringRecord
	bytes      int
}

type ringRecord struct {
	level slog.Level
	lines lines
}

func (r *ring) add(level slog.Level, ls lines) {
	r.records = append(r.records, ringRecord{level, ls})
	r.bytes += ls.size()
	drop := 0
	for len(r.records)-drop > 1 && (len(r.records)-drop > r.recordsMax || r.bytes > r.bytesMax) {
		r.bytes -= r.records[drop].lines.size()
		r.records[drop].lines = lines{}
		drop++
	}
	r.records = r.records[drop:]
}

// subscriberLines is how far a reader may fall behind before it loses lines.
const subscriberLines = 512

type subscriber struct {
	level  slog.Level
	format format
	ch     chan []byte
	lost   int // since the last line sent
}

// send never blocks. After a loss the reader first hears of it, so that line needs room as well.
func (s *subscriber) send(l *Logs, ls lines) {
	need := 1
	if s.lost > 0 {
		need = 2
	}
	if cap(s.ch)-len(s.ch) < need {
		s.lost++
		return
	}
	if s.lost > 0 {
		s.ch <- l.lostLine(s.format, s.lost)
		s.lost = 0
	}
	s.ch <- ls[s.format]
}

// lostLine is the record that stands in for n lost ones.
func (l *Logs) lostLine(f format, n int) []byte {
	var buf bytes.Buffer
	r := slog.NewRecord(time.Now(), slog.LevelWarn, "log lines lost: the reader is too slow", 0)
	r.AddAttrs(slog.String(ComponentKey, "monitor"), slog.Int("lost", n))
	if err := l.formats[f](&buf).Handle(context.Background(), r); err != nil {
		return nil
	}
	return buf.Bytes()
}

// Subscribe is SubscribeFormat in the format of the outputs.
func (l *Logs) Subscribe(ctx context.Context, level slog.Level) <-chan []byte {
	return l.subscribe(ctx, level, l.own)
}

// SubscribeFormat returns a channel of formatted lines, newline included: first those in memory, then every
// new one, of at least level (which may be below the level of the outputs), as JSON objects or as text. It is closed when ctx
// ends or the logs are closed. A reader that falls behind loses lines and gets one that says how
// many. The lines are shared: do not write to them.
func (l *Logs) SubscribeFormat(ctx context.Context, level slog.Level, json bool) <-chan []byte {
	if json {
		return l.subscribe(ctx, level, formatJSON)
	}
	return l.subscribe(ctx, level, formatText)
}

func (l *Logs) subscribe(ctx context.Context, level slog.Level, f format) <-chan []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &subscriber{level: level, format: f, ch: make(chan []byte, len(l.ring.records)+subscriberLines)}
	for _, e := range l.ring.records {
		if e.level >= level {
			s.ch <- e.lines[f]
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
		s.ch <- l.lostLine(s.format, s.lost)
	}
	close(s.ch)
}
