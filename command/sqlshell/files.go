package sqlshell

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/debros/debros/command/sqlrun"
)

func (s *Shell) backup(ctx context.Context, args []string) error {
	db, _, err := s.db.Backup(ctx, s.Read)
	if err != nil {
		return err
	}
	defer db.Close()
	f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err // an existing file, too: a typing error must not cost it
	}
	n, err := io.Copy(f, db)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(args[0]))
	}
	_, err = fmt.Fprintf(s.Out, "wrote %d bytes to %s\n", n, sqlrun.Printable(args[0]))
	return err
}

// restore replaces what the database holds only when that word is said.
func (s *Shell) restore(ctx context.Context, args []string) error {
	replace := len(args) == 2 && args[1] == "replace"
	if len(args) == 2 && !replace {
		return errors.New("usage: .restore FILE [replace]")
	}
	f, _, err := sqlrun.OpenSQLite(args[0])
	if errors.Is(err, sqlrun.ErrNoSQLite) {
		return fmt.Errorf("%w; .import reads SQL text and CSV", err)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if !replace {
		switch empty, err := sqlrun.Empty(ctx, s.db); {
		case err != nil:
			return err
		case !empty:
			return fmt.Errorf("database %s holds something, which would be lost: .restore FILE replace", cmp.Or(s.Database, "default"))
		}
	}
	defer func() { s.names = nil }()
	d, _, err := s.db.Restore(ctx, f, nil, nil)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "restored at index %d\n", d.ModifyIndex)
	return err
}
