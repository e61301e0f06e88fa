package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/debros/debros/state/sqldb"
	"github.com/debros/debros/structs"
)

// Staged is a database's file on this server's disk alone, checked and made ready to be uploaded. Close removes it.
type Staged struct {
	*os.File
	sqldb.Prepared
	dir string
}

// StageDatabase reads a SQLite file that a user brought, for a database of d's switches. What is wrong with the file is a
// *structs.Error; the reader's error comes back as it is.
func (s *Store) StageDatabase(ctx context.Context, d *structs.SQLDatabase, r io.Reader) (_ *Staged, err error) {
	if s.dbs.engine == nil {
		return nil, errNoSQL
	}
	// The next start removes what a crash leaves of it.
	dir, err := os.MkdirTemp(s.dbs.path, "stage-")
	if err != nil {
		return nil, fmt.Errorf("make room for a database: %w", err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	brought, made := filepath.Join(dir, "brought.db"), filepath.Join(dir, "made.db")
	f, err := os.OpenFile(brought, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make room for a database: %w", err)
	}
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("receive a database: %w", err)
	}
	p, err := sqldb.Prepare(ctx, brought, made, optionsOf(d))
	if err != nil {
		return nil, err
	}
	if err := os.Remove(brought); err != nil {
		return nil, fmt.Errorf("make room for a database: %w", err)
	}
	if f, err = os.Open(made); err != nil {
		return nil, fmt.Errorf("stage a database: %w", err)
	}
	return &Staged{File: f, Prepared: *p, dir: dir}, nil
}

// Close removes the file.
func (s *Staged) Close() error { return errors.Join(s.File.Close(), os.RemoveAll(s.dir)) }
