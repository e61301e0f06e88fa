package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/debros/debros/internal/atomicfile"
	"github.com/debros/debros/state/archive"
	"github.com/debros/debros/state/fsm"
)

// inspected is what a snapshot file was found to hold.
type inspected struct {
	Meta  archive.Meta
	State fsm.Summary
}

// inspect reads a whole archive and decodes everything in it, keeping nothing.
func inspect(r io.Reader) (inspected, error) {
	pr, pw := io.Pipe()
	type verified struct {
		s   fsm.Summary
		err error
	}
	done := make(chan verified, 1)
	go func() {
		s, err := fsm.Verify(pr)
		pr.CloseWithError(err) // nil: whatever follows is an error of the writer
		done <- verified{s, err}
	}()
	m, err := archive.Read(r, pw)
	pw.CloseWithError(err)
	v := <-done
	if v.err != nil && (err == nil || errors.Is(err, v.err)) {
		err = v.err // what the state says is closer to the cause
	}
	return inspected{m, v.s}, err
}

func snapshotSaveCommand() *cmd {
	var progress string
	return &cmd{
		name: "snapshot save", args: "FILE", synopsis: "Save the state of the cluster to a file", min: 1, max: 1,
		help: "The file appears under its name only after all of it was read back and verified. - writes to standard output, unverified.",
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(&progress, "progress", "auto", "progress bar on standard error: auto (on a terminal), always or never")
		},
		run: func(ctx context.Context, c *call) error { return saveSnapshot(ctx, c, progress) },
	}
}

func saveSnapshot(ctx context.Context, c *call, progress string) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	archive, _, err := client.Snapshot().Save(ctx, c.query())
	if err != nil {
		return err
	}
	defer archive.Close()
	bar, err := c.progress(progress, -1)
	if err != nil {
		return err
	}
	file := c.args[0]
	if file == "-" {
		_, err := io.Copy(c.Stdout, archive)
		return err
	}
	var got inspected
	err = atomicfile.WriteFunc(file, 0o600, func(w io.Writer) error {
		// What is verified is what was written: one reading, two takers.
		tee := io.TeeReader(io.TeeReader(archive, bar), w)
		if got, err = inspect(tee); err != nil {
			return fmt.Errorf("verify what the agent sent: %w", err)
		}
		_, err = io.Copy(io.Discard, tee)
		return err
	})
	bar.end(err == nil)
	if err != nil {
		return err
	}
	return c.done(got, "Saved and verified: %s, index %d", printable(file, false), got.Meta.Index)
}

func snapshotRestoreCommand() *cmd {
	var yes bool
	return &cmd{
		name: "snapshot restore", args: "FILE", synopsis: "Replace the state of the cluster by a saved one", min: 1, max: 1,
		help: `The file is verified here first, and by the leader again before anything changes. Everything written
since it was saved is lost, on every server.`,
		flags: func(fs *flag.FlagSet) {
			fs.BoolVar(&yes, "yes", false, "do not ask, even on a terminal")
		},
		run: func(ctx context.Context, c *call) error { return restoreSnapshot(ctx, c, yes) },
	}
}

func restoreSnapshot(ctx context.Context, c *call, yes bool) error {
	f, err := os.Open(c.args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	got, err := inspect(f)
	if err != nil {
		return withHint(fmt.Errorf("%s: %w", c.args[0], err), "nothing was changed")
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	if !yes && isTerminal(c.cmd.io.Stdin) {
		question := fmt.Sprintf("This replaces the state of the cluster by that of %s (index %d).", timeText(got.Meta.CreatedAt), got.Meta.Index)
		if err := c.confirm(question, "restore"); err != nil {
			return err
		}
	}
	if _, err := client.Snapshot().Restore(ctx, f, nil); err != nil {
		return err
	}
	return c.done(got, "Restored: %s, index %d", printable(c.args[0], false), got.Meta.Index)
}

func snapshotInspectCommand() *cmd {
	return &cmd{
		name: "snapshot inspect", args: "FILE", synopsis: "Verify a saved state and show what is in it", local: true, min: 1, max: 1,
		help: "Needs no agent. Every row is decoded; the exit status is 1 if anything is wrong.",
		run: func(_ context.Context, c *call) error {
			f, _, err := c.open(c.args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			got, err := inspect(f)
			if err != nil {
				return fmt.Errorf("%s: %w", c.args[0], err)
			}
			return c.print(got, func() error {
				rows := [][2]string{
					{"ID", got.Meta.ID}, {"Index", fmt.Sprint(got.Meta.Index)}, {"Term", fmt.Sprint(got.Meta.Term)},
					{"Version", fmt.Sprint(got.Meta.Version)}, {"Created", timeText(got.Meta.CreatedAt)},
					{"Node", got.Meta.Node}, {"Build", got.Meta.Build}, {"Size", sizeText(got.Meta.SizeBytes)},
				}
				for _, table := range sortedKeys(got.State.Counts) {
					rows = append(rows, [2]string{"Rows of " + table, fmt.Sprint(got.State.Counts[table])})
				}
				return c.fields(rows)
			})
		},
	}
}
