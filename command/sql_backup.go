package command

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/debros/debros/internal/atomicfile"
)

func sqlBackupCommand() *cmd {
	var database string
	type saved struct {
		File      string
		Index     uint64
		SizeBytes int64
	}
	return &cmd{
		name: "sql backup", args: "FILE", synopsis: "Save a database as a SQLite file", min: 1, max: 1,
		help: `The file is the database of one moment, though writes go on, and any SQLite opens it: sqlite3 FILE. It appears
under its name only when all of it has come. - writes to standard output.

For all databases and everything else of the cluster: debros snapshot save.`,
		flags: func(fs *flag.FlagSet) { databaseFlag(fs, &database) },
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			db, meta, err := c.database(client, database).Backup(ctx, c.query())
			if err != nil {
				return err
			}
			defer db.Close()
			if c.args[0] == "-" {
				_, err := io.Copy(c.Stdout, db)
				return err
			}
			s := saved{File: c.args[0], Index: meta.Index}
			err = atomicfile.WriteFunc(s.File, 0o600, func(w io.Writer) (err error) {
				if s.SizeBytes, err = io.Copy(w, db); err != nil {
					return fmt.Errorf("read the database: %w", err)
				}
				return nil
			})
			if err != nil {
				return err
			}
			return c.done(s, "Saved: %s, %s, index %d", printable(s.File, false), sizeText(s.SizeBytes), s.Index)
		},
	}
}
