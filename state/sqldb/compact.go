package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/debros/debros/state/sqldb/sqlite"
)

// WriteCompact writes the database, as it is now, as one file without free pages and without our tables. It needs as much
// room below dir as the file has.
func (db *DB) WriteCompact(ctx context.Context, dir string, w io.Writer) error {
	if err := take(ctx, db.pool.guests); err != nil {
		return err
	}
	defer func() { <-db.pool.guests }()
	if err := take(ctx, db.pool.pins); err != nil {
		return err
	}
	defer func() { <-db.pool.pins }()
	tmp, err := os.MkdirTemp(dir, "stage-")
	if err != nil {
		return fmt.Errorf("make room for a database: %w", err)
	}
	defer os.RemoveAll(tmp)
	path := filepath.Join(tmp, "compact.db")
	if err := vacuumInto(ctx, db.path, path); err != nil {
		return err
	}
	if err := withoutOwn(path); err != nil {
		return fmt.Errorf("compact database: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("compact database: %w", err)
	}
	defer f.Close()
	if _, err := io.Copy(w, f); err != nil {
		return fmt.Errorf("write database: %w", err)
	}
	return nil
}

// withoutOwn takes our tables out of a file of its own.
func withoutOwn(path string) error {
	c, err := sqlite.Open(path, "", sqlite.ReadWrite)
	if err != nil {
		return err
	}
	return errors.Join(c.Exec("DROP TABLE IF EXISTS _debros_changes; DROP TABLE IF EXISTS _debros_replies; DROP TABLE IF EXISTS _debros_meta; VACUUM"), c.Close())
}
