package command

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/debros/debros/api"
	"github.com/debros/debros/internal/atomicfile"
)

func sqlBackupCommand() *cmd {
	var database, progress string
	return &cmd{
		name: "sql backup", args: "FILE", synopsis: "Save a database as a SQLite file", min: 1, max: 1,
		help: `The file is the database of one moment, though writes go on, and any SQLite opens it: sqlite3 FILE. It appears
under its name only when all of it has come. - writes to standard output.

'debros sql restore' makes it a database again. For all databases and everything else of the cluster: debros backup.`,
		flags: func(fs *flag.FlagSet) {
			databaseFlag(fs, &database)
			fs.StringVar(&progress, "progress", "auto", "progress bar on standard error: auto (on a terminal), always or never")
		},
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			return c.saveDatabase(ctx, c.database(client, database), c.args[0], progress)
		},
	}
}

// saveDatabase saves a database under a name, which appears when all of it has come.
func (c *call) saveDatabase(ctx context.Context, from *api.SQL, file, progress string) error {
	db, meta, err := from.Backup(ctx, c.query())
	if err != nil {
		return err
	}
	defer db.Close()
	if file == "-" {
		_, err := io.Copy(c.Stdout, db)
		return err
	}
	bar, err := c.progress(progress, -1)
	if err != nil {
		return err
	}
	s := struct {
		File      string
		Index     uint64
		SizeBytes int64
	}{File: file, Index: meta.Index}
	err = atomicfile.WriteFunc(file, 0o600, func(w io.Writer) (err error) {
		if s.SizeBytes, err = io.Copy(w, io.TeeReader(db, bar)); err != nil {
			return fmt.Errorf("read the database: %w", err)
		}
		return nil
	})
	bar.end(err == nil)
	if err != nil {
		return err
	}
	return c.done(s, "Saved: %s, %s, index %d", printable(file, false), sizeText(s.SizeBytes), s.Index)
}
