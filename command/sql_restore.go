package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/debros/debros/api"
	"github.com/debros/debros/command/sqlrun"
)

func sqlRestoreCommand() *cmd {
	var o restoreOptions
	return &cmd{
		name: "sql restore", args: "FILE", synopsis: "Put a SQLite file in the place of a database", min: 1, max: 1,
		help: `FILE is any SQLite file, such as 'debros sql backup' writes. The leader checks all of it first: structure, encoding
(UTF-8), that its schema is one which could be made here. Then the database becomes what is in the file, on every
server in one step; a file that is refused changes nothing. A database that does not exist is made.

What the database held before is lost, so you are asked when there is something. To add to what is there: debros sql import.

  debros sql restore -db=shop shop.sqlite`,
		flags: func(fs *flag.FlagSet) {
			databaseFlag(fs, &o.database)
			fs.BoolVar(&o.quoted, "double-quoted-strings", false, `of a new database: "text" may be a string`)
			fs.BoolVar(&o.yes, "yes", false, "do not ask")
			fs.StringVar(&o.progress, "progress", "auto", "progress bar on standard error: auto (on a terminal), always or never")
		},
		run: func(ctx context.Context, c *call) error { return restoreDatabase(ctx, c, o) },
	}
}

type restoreOptions struct {
	database, progress string
	quoted, yes        bool
}

func restoreDatabase(ctx context.Context, c *call, o restoreOptions) error {
	file, size, err := openSQLite(c.args[0])
	if err != nil {
		return err
	}
	defer file.Close()
	client, err := c.client()
	if err != nil {
		return err
	}
	name := c.databaseName(o.database)
	db := client.SQL().Database(name)
	if !o.yes {
		empty, err := sqlrun.Empty(ctx, db)
		if err != nil {
			return err
		}
		if !empty {
			if err := c.confirm(fmt.Sprintf("This replaces everything in database %s.", name), name); err != nil {
				return err
			}
		}
	}
	d, err := c.sendDatabase(ctx, db, file, size, o)
	if err != nil {
		return err
	}
	return c.done(d, "Restored: database %s from %s, %s, index %d", d.Name, printable(c.args[0], false), sizeText(size), d.ModifyIndex)
}

func openSQLite(path string) (io.ReadCloser, int64, error) {
	f, size, err := sqlrun.OpenSQLite(path)
	if errors.Is(err, sqlrun.ErrNoSQLite) {
		return nil, 0, withHint(err, "for SQL text or CSV: debros sql import")
	}
	return f, size, err
}

// sendDatabase restores with a bar for what was sent; after that the servers work.
func (c *call) sendDatabase(ctx context.Context, db *api.SQL, file io.Reader, size int64, o restoreOptions) (*api.SQLDatabase, error) {
	bar, err := c.progress(o.progress, size)
	if err != nil {
		return nil, err
	}
	d, _, err := db.Restore(ctx, io.TeeReader(file, bar), &api.SQLDatabase{DoubleQuotedStrings: o.quoted}, nil)
	bar.end(err == nil)
	if err != nil && ctx.Err() != nil {
		return nil, withHint(errors.New("interrupted"), "if all of the file had been sent, it may still be restored: look at the data")
	}
	return d, err
}
