package command

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/debros/debros/command/sqlrun"
)

func sqlMigrateCommand() *cmd {
	var database string
	var dry bool
	var patience time.Duration
	return &cmd{
		name: "sql migrate", args: "DIR", synopsis: "Bring a database's schema up to date", min: 1, max: 1,
		help: `DIR holds files of SQL such as 0001_users.sql. Those that were not done are, in the order of their names, each
as one transaction. The table schema_migrations remembers them, with their checksums: a file that was done
must stay as it is, and a new one comes last. Any number of these may run at the same time.`,
		flags: func(fs *flag.FlagSet) {
			databaseFlag(fs, &database)
			fs.BoolVar(&dry, "dry-run", false, "only show what would be done")
			fs.DurationVar(&patience, "retry-for", time.Minute, "how long to try a migration again")
		},
		run: func(ctx context.Context, c *call) error {
			all, err := sqlrun.ReadMigrations(os.DirFS(c.args[0]))
			if err != nil {
				return fmt.Errorf("%s: %w", c.args[0], err)
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			now := map[string]bool{}
			merr := sqlrun.Migrate(ctx, c.database(client, database), all, dry, patience, func(m *sqlrun.Migration) { now[m.Name] = true })
			type state struct{ Name, SHA256, State string }
			list, rows := []state{}, [][]string{}
			for _, m := range all {
				s := "to do"
				if now[m.Name] {
					s = "done now"
				} else if m.Done {
					s = "done before"
				}
				list, rows = append(list, state{m.Name, m.SHA256, s}), append(rows, []string{m.Name, s})
			}
			if err := c.print(list, func() error { return c.table([]string{"Name", "State"}, rows) }); err != nil {
				return err
			}
			return merr
		},
	}
}
