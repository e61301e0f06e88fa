package logging

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"
)

// FileOptions configure the log file. It and its directory's new parents are private to the user.
type FileOptions struct {
	Path           string        // "" = no file
	RotateBytes    int64         // begin a new file before this one grows larger; 0 = no limit
	RotateInterval time.Duration // begin a new file after this time; 0 = never
	MaxFiles       int           // rotated files kept beside the current one; 0 = all
	MaxAge         time.Duration // rotated files older than this are removed, in whole days rounded up; 0 = never
}

// neverMegabytes is a size that lumberjack never rotates at: it counts in megabytes only, and
// refuses lines longer than its limit, so rotatedFile decides itself.
const neverMegabytes = 1 << 30

// rotatedFile decides when to rotate; lumberjack renames and cleans up (in one goroutine of its own
// that it never ends). Callers serialise the methods.
type rotatedFile struct {
	o     FileOptions
	lj    *lumberjack.Logger
	bytes int64
	since time.Time
	now   func() time.Time
}

func openRotated(o FileOptions) (*rotatedFile, error) {
	if err := os.MkdirAll(filepath.Dir(o.Path), 0o700); err != nil {
		return nil, fmt.Errorf("create directory of log file: %w", err)
	}
	// lumberjack opens lazily: a path that cannot be written must fail the start instead.
	f, err := os.OpenFile(o.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log file: %w", err)
	}
	fi, err := f.Stat()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("open log file: %w", err)
	}
	const day = 24 * time.Hour
	return &rotatedFile{
		o:     o,
		bytes: fi.Size(),
		since: time.Now(),
		now:   time.Now,
		lj: &lumberjack.Logger{
			Filename:   o.Path,
			MaxSize:    neverMegabytes,
			MaxBackups: o.MaxFiles,
			MaxAge:     int((o.MaxAge + day - 1) / day),
		},
	}, nil
}

// Write implements io.Writer.
func (f *rotatedFile) Write(p []byte) (int, error) {
	full := f.o.RotateBytes > 0 && f.bytes > 0 && f.bytes+int64(len(p)) > f.o.RotateBytes
	old := f.o.RotateInterval > 0 && f.now().Sub(f.since) >= f.o.RotateInterval
	if full || (old && f.bytes > 0) {
		if err := f.lj.Rotate(); err != nil {
			return 0, fmt.Errorf("rotate log file: %w", err)
		}
		f.bytes, f.since = 0, f.now()
	}
	n, err := f.lj.Write(p)
	f.bytes += int64(n)
	return n, err
}

// Close closes the current file.
func (f *rotatedFile) Close() error { return f.lj.Close() }
