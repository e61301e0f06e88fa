package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
)

// importParallelMax bounds -parallel: more callers than this make the servers' batches no larger.
const importParallelMax = 512

func kvImportCommand() *cmd {
	o := importOptions{}
	var progress, resume string
	return &cmd{
		name: "kv import", args: "FILE | -", synopsis: "Write pairs from a file of JSON", min: 1, max: 1,
		help: `FILE holds what 'debros kv export' or 'consul kv export' wrote: an array, or one object after
another, of {"key", "flags", "value" (base64)}. It is read as a stream and may be larger than memory.

Many pairs are written at a time, in no particular order; a key that comes twice gets its last value.
A pair whose write failed for a while (the leader is gone, the connection broke) is written again: that is harmless
as long as nobody else writes the same keys meanwhile.

Pairs go into the namespace that the file names, or into the one of -ns.

With -resume, what is done is remembered in a file, and the same command goes on after it where it
stopped. The file is removed at the end.`,
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(&o.prefix, "prefix", "", "put `text` before every key")
			fs.IntVar(&o.parallel, "parallel", 64, "write so many pairs at a time")
			fs.DurationVar(&o.retryFor, "retry-for", time.Minute, "how long to try a pair again")
			fs.StringVar(&resume, "resume", "", "`file` that remembers how far the import came")
			fs.StringVar(&progress, "progress", "auto", "progress bar on standard error: auto (on a terminal), always or never")
		},
		run: func(ctx context.Context, c *call) error {
			if o.parallel < 1 || o.parallel > importParallelMax {
				return usagef("-parallel=%d: want 1 to %d", o.parallel, importParallelMax)
			}
			in, size, err := c.open(c.args[0])
			if err != nil {
				return err
			}
			defer in.Close()
			client, err := c.client()
			if err != nil {
				return err
			}
			if err := answers(ctx, client); err != nil {
				return err // no reason for -retry-for
			}
			bar, err := c.progress(progress, size)
			if err != nil {
				return err
			}
			o.here = c.common.config().Namespace != ""
			im := newImporter(client.KV(), o)
			if resume != "" {
				if im.mark, err = loadMark(resume); err != nil {
					return err
				}
				im.remember = func(m mark) error { return m.save(resume, false) }
			}
			start := time.Now()
			err = im.run(ctx, io.TeeReader(in, bar))
			bar.end(err == nil)
			if resume != "" {
				if serr := im.mark.save(resume, err == nil); serr != nil && err == nil {
					err = serr
				}
			}
			if err != nil {
				if ctx.Err() != nil {
					err = errors.New("interrupted") // and whatever failed for that
				}
				err = fmt.Errorf("%w (%d pairs were imported before)", err, im.written.Load())
				if resume != "" {
					return withHint(err, "the same command goes on where this one stopped")
				}
				return err
			}
			result := map[string]any{"Imported": im.written.Load(), "Skipped": im.skipped, "Retried": im.retried.Load(), "Seconds": time.Since(start).Seconds()}
			return c.done(result, "Imported %d pairs in %s%s", im.written.Load(), time.Since(start).Round(time.Millisecond), im.remark())
		},
	}
}

// open opens a file, or standard input for "-"; size is -1 where it is not known.
func (c *call) open(name string) (io.ReadCloser, int64, error) {
	if name == "-" {
		return io.NopCloser(c.Stdin), -1, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return f, -1, nil
	}
	return f, st.Size(), nil
}

// bar is a progress bar that counts the bytes written to it.
type bar interface {
	io.Writer
	end(complete bool)
}

type noBar struct{}

func (noBar) Write(p []byte) (int, error) { return len(p), nil }
func (noBar) end(bool)                    {}

type realBar struct{ *progressbar.ProgressBar }

// end fills the bar only if that is true.
func (b realBar) end(complete bool) {
	if complete {
		_ = b.ProgressBar.Finish()
	} else {
		_ = b.ProgressBar.Exit()
	}
}

// progress makes a bar on standard error; size -1 makes a spinner.
func (c *call) progress(mode string, size int64) (bar, error) {
	switch mode {
	case "never":
		return noBar{}, nil
	case "auto":
		if !isTerminal(c.Stderr) {
			return noBar{}, nil
		}
	case "always":
	default:
		return nil, usagef("-progress=%s: want auto, always or never", mode)
	}
	return realBar{progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(c.Stderr),
		progressbar.OptionShowBytes(true),
		progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetSpinnerChangeInterval(0), // else a goroutine draws on after Exit, over the error
		progressbar.OptionUseANSICodes(colourful(c.Stderr)),
		progressbar.OptionOnCompletion(func() { fmt.Fprintln(c.Stderr) }),
	)}, nil
}
