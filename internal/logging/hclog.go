package logging

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// HCLog makes a logger for raft, raft-wal and autopilot that writes to l, which must not carry a
// ComponentKey of its own. Levels follow l; SetLevel does nothing.
func HCLog(l *slog.Logger, name string) hclog.Logger {
	return &hcBridge{base: l, name: name, out: l.With(ComponentKey, name)}
}

type hcBridge struct {
	base    *slog.Logger // without name and implied
	out     *slog.Logger // with both
	name    string
	implied []any
}

func (b *hcBridge) derive(name string, implied []any) hclog.Logger {
	return &hcBridge{
		base: b.base, name: name, implied: implied,
		out: b.base.With(ComponentKey, name).With(pairs(implied)...),
	}
}

// pairs turns hclog's arguments into slog's: a lone last value gets hclog's key for it, and hclog's
// formatting types are rendered.
func pairs(args []any) []any {
	if len(args) == 0 {
		return nil
	}
	out := make([]any, 0, len(args)+1)
	if len(args)%2 != 0 {
		args = append(args[:len(args)-1:len(args)-1], hclog.MissingKey, args[len(args)-1])
	}
	for i := 0; i < len(args); i += 2 {
		key, ok := args[i].(string)
		if !ok {
			key = fmt.Sprint(args[i])
		}
		out = append(out, key, plain(args[i+1]))
	}
	return out
}

func plain(v any) any {
	switch v := v.(type) {
	case hclog.Format:
		if len(v) == 0 {
			return ""
		}
		f, ok := v[0].(string)
		if !ok {
			return fmt.Sprint(v...)
		}
		return fmt.Sprintf(f, v[1:]...)
	case hclog.Hex:
		return fmt.Sprintf("0x%x", int(v))
	case hclog.Octal:
		return fmt.Sprintf("0%o", int(v))
	case hclog.Binary:
		return fmt.Sprintf("0b%b", int(v))
	case hclog.Quote:
		return string(v)
	}
	return v
}

func hcLevel(l hclog.Level) slog.Level {
	switch l {
	case hclog.Trace:
		return LevelTrace
	case hclog.Debug:
		return slog.LevelDebug
	case hclog.Warn:
		return slog.LevelWarn
	case hclog.Error:
		return slog.LevelError
	}
	return slog.LevelInfo // hclog.NoLevel is for messages that always matter
}

// Log implements hclog.Logger.
func (b *hcBridge) Log(level hclog.Level, msg string, args ...any) {
	if level == hclog.Off {
		return
	}
	b.log(hcLevel(level), msg, args)
}

func (b *hcBridge) log(level slog.Level, msg string, args []any) {
	ctx := context.Background()
	if !b.out.Enabled(ctx, level) {
		return
	}
	b.out.Log(ctx, level, msg, pairs(args)...)
}

func (b *hcBridge) Trace(msg string, args ...any) { b.log(LevelTrace, msg, args) }
func (b *hcBridge) Debug(msg string, args ...any) { b.log(slog.LevelDebug, msg, args) }
func (b *hcBridge) Info(msg string, args ...any)  { b.log(slog.LevelInfo, msg, args) }
func (b *hcBridge) Warn(msg string, args ...any)  { b.log(slog.LevelWarn, msg, args) }
func (b *hcBridge) Error(msg string, args ...any) { b.log(slog.LevelError, msg, args) }

func (b *hcBridge) is(l slog.Level) bool { return b.out.Enabled(context.Background(), l) }

func (b *hcBridge) IsTrace() bool { return b.is(LevelTrace) }
func (b *hcBridge) IsDebug() bool { return b.is(slog.LevelDebug) }
func (b *hcBridge) IsInfo() bool  { return b.is(slog.LevelInfo) }
func (b *hcBridge) IsWarn() bool  { return b.is(slog.LevelWarn) }
func (b *hcBridge) IsError() bool { return b.is(slog.LevelError) }

func (b *hcBridge) ImpliedArgs() []any { return b.implied }
func (b *hcBridge) Name() string       { return b.name }

func (b *hcBridge) With(args ...any) hclog.Logger {
	implied := append(b.implied[:len(b.implied):len(b.implied)], args...)
	return b.derive(b.name, implied)
}

func (b *hcBridge) Named(name string) hclog.Logger {
	if b.name != "" {
		name = b.name + "." + name
	}
	return b.derive(name, b.implied)
}

func (b *hcBridge) ResetNamed(name string) hclog.Logger { return b.derive(name, b.implied) }

// SetLevel implements hclog.Logger: the level belongs to Logs.
func (b *hcBridge) SetLevel(hclog.Level) {}

func (b *hcBridge) GetLevel() hclog.Level {
	for _, l := range []hclog.Level{hclog.Trace, hclog.Debug, hclog.Info, hclog.Warn} {
		if b.is(hcLevel(l)) {
			return l
		}
	}
	return hclog.Error
}

// StandardLogger implements hclog.Logger; levels in the text are always understood.
func (b *hcBridge) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return StdLog(b.base, b.name, slog.LevelInfo)
}

// StandardWriter implements hclog.Logger.
func (b *hcBridge) StandardWriter(*hclog.StandardLoggerOptions) io.Writer {
	return b.StandardLogger(nil).Writer()
}
