package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/debros/debros/internal/atomicfile"
	"github.com/debros/debros/state/archive"
	"github.com/debros/debros/state/fsm"
	"github.com/debros/debros/structs"
)

// extracted is a database that came out of a saved state.
type extracted struct {
	Namespace, Database, File string
	SizeBytes                 int64
}

func snapshotExtractCommand() *cmd {
	return &cmd{
		name: "snapshot extract", args: "FILE DIR", synopsis: "Take the databases out of a saved state", local: true, min: 2, max: 2,
		help: `Each database becomes DIR/NAMESPACE.DATABASE.sqlite, which any SQLite opens and 'debros sql restore' takes. DIR is made; a file
that is there already ends the command. Needs no agent, and verifies all of FILE.`,
		run: func(_ context.Context, c *call) error {
			f, _, err := c.open(c.args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			if err := os.MkdirAll(c.args[1], 0o700); err != nil {
				return err
			}
			list, err := extract(f, c.args[1])
			if err != nil {
				return fmt.Errorf("%s: %w", c.args[0], err)
			}
			return c.print(list, func() error {
				rows := [][]string{}
				for _, e := range list {
					rows = append(rows, []string{e.Namespace, e.Database, sizeText(e.SizeBytes), e.File})
				}
				return c.table([]string{"Namespace", "Database", "Size", "File"}, rows)
			})
		},
	}
}

func extract(r io.Reader, dir string) ([]extracted, error) {
	pr, pw := io.Pipe()
	list := []extracted{}
	done := make(chan error, 1)
	go func() {
		_, err := fsm.Databases(pr, func(d *structs.SQLDatabase, file io.Reader) error {
			e := extracted{Namespace: string(d.Namespace), Database: d.Name, File: filepath.Join(dir, fmt.Sprintf("%s.%s.sqlite", d.Namespace, d.Name))}
			if _, err := os.Lstat(e.File); !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("%s is there already", e.File)
			}
			err := atomicfile.WriteFunc(e.File, 0o600, func(w io.Writer) (err error) {
				e.SizeBytes, err = io.Copy(w, file)
				return err
			})
			list = append(list, e)
			return err
		})
		pr.CloseWithError(err) // nil: whatever follows is an error of the writer
		done <- err
	}()
	_, err := archive.Read(r, pw)
	pw.CloseWithError(err)
	if ferr := <-done; ferr != nil && (err == nil || errors.Is(err, ferr)) {
		err = ferr // what the state says is closer to the cause
	}
	return list, err
}
