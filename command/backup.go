package command

import (
	"context"
	"flag"

	"github.com/debros/debros/command/sqlrun"
)

func backupCommand() *cmd {
	var database, progress string
	return &cmd{
		name: "backup", args: "FILE", synopsis: "Save the whole cluster, or one database, to a file", min: 1, max: 1,
		help: `FILE holds everything of one moment, though writes go on: keys, sessions, settings and all databases of all namespaces.
It appears under its name only after all of it was read back and verified. It is what 'debros snapshot save' writes.

With -db, FILE is that one database as a SQLite file, which any SQLite opens.

  debros backup cluster.snap
  debros backup -ns=team -db=shop shop.sqlite
  debros snapshot extract cluster.snap DIR     every database of it as a SQLite file

'debros restore FILE' brings either back.`,
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(&database, "db", "", "only the database of this `name`")
			fs.StringVar(&progress, "progress", "auto", "progress bar on standard error: auto (on a terminal), always or never")
		},
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			if database != "" {
				return c.saveDatabase(ctx, client.SQL().Database(database), c.args[0], progress)
			}
			return saveSnapshot(ctx, c, progress)
		},
	}
}

func restoreCommand() *cmd {
	var o restoreOptions
	return &cmd{
		name: "restore", args: "FILE", synopsis: "Bring back a backup of the cluster, or of one database", min: 1, max: 1,
		help: `A SQLite file takes the place of the database of -db, as with 'debros sql restore'. Any other FILE replaces the state of the whole
cluster, as with 'debros snapshot restore'. Both are checked as a whole before anything changes, and you are asked before something is lost.

  debros restore cluster.snap
  debros restore -ns=team -db=shop shop.sqlite`,
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(&o.database, "db", "", "`name` of the database that a SQLite file becomes")
			fs.BoolVar(&o.yes, "yes", false, "do not ask")
			fs.StringVar(&o.progress, "progress", "auto", "progress bar on standard error: auto (on a terminal), always or never")
		},
		run: func(ctx context.Context, c *call) error {
			switch sqlite := sqlrun.LooksLikeSQLite(c.args[0]); {
			case sqlite && o.database == "":
				return usagef("%s is a SQLite file: -db=NAME says which database it becomes", c.args[0])
			case sqlite:
				return restoreDatabase(ctx, c, o)
			case o.database != "":
				return withHint(sqlrun.ErrNoSQLite, "a backup of the whole cluster is restored without -db")
			}
			return restoreSnapshot(ctx, c, o.yes)
		},
	}
}
