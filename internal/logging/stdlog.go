package logging

import (
	"context"
	"log"
	"log/slog"
	"strings"
)

// StdLog makes a standard logger that writes to l, which must not carry a ComponentKey of its own.
// Lines as serf and memberlist write them ("[DEBUG] memberlist: text") get that level and component;
// any other line gets component and fallback.
func StdLog(l *slog.Logger, component string, fallback slog.Level) *log.Logger {
	return log.New(&stdBridge{l: l, component: component, fallback: fallback}, "", 0)
}

type stdBridge struct {
	l         *slog.Logger
	component string
	fallback  slog.Level
}

// Write implements io.Writer for log.Logger, which calls it once a line.
func (b *stdBridge) Write(p []byte) (int, error) {
	level, component, msg := b.parse(strings.TrimRight(string(p), "\r\n"))
	ctx := context.Background()
	if b.l.Enabled(ctx, level) {
		b.l.Log(ctx, level, msg, ComponentKey, component)
	}
	return len(p), nil
}

func (b *stdBridge) parse(line string) (level slog.Level, component, msg string) {
	level, component, msg = b.fallback, b.component, line
	name, rest, ok := strings.Cut(strings.TrimPrefix(line, "["), "]")
	if !ok || !strings.HasPrefix(line, "[") || name == "" {
		return level, component, msg
	}
	l, err := ParseLevel(name)
	if err != nil {
		return level, component, msg
	}
	level, msg = l, strings.TrimLeft(rest, " ")
	if who, text, ok := strings.Cut(msg, ": "); ok && isComponent(who) {
		component, msg = who, text
	}
	return level, component, msg
}

// isComponent tells "memberlist: …" from the beginning of a sentence that has a colon.
func isComponent(s string) bool {
	if s == "" || len(s) > 32 {
		return false
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return true
}
