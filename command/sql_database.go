package command

import (
	"context"
	"flag"
	"fmt"

	"github.com/debros/debros/api"
)

func sqlDatabaseCreateCommand() *cmd {
	var d api.SQLDatabase
	return &cmd{
		name: "sql database create", args: "NAME", synopsis: "Make a database", min: 1, max: 1,
		help: `A name is 1 to 63 of a-z, 0-9, '_' and '-', beginning with a letter or a digit. The database "default" is there
without being made.`,
		flags: func(fs *flag.FlagSet) {
			fs.IntVar(&d.PageBytes, "page-bytes", 0, "`size` of a page: a power of two from 512 to 65536, 0 = 4096; small ones suit thousands of small databases")
			fs.BoolVar(&d.DoubleQuotedStrings, "double-quoted-strings", false, `take "text" for a string where no column has that name, as old programs expect`)
			fs.Var(sizeFlag{to: &d.ChangesBytes}, "changes", "how much of its changes is kept for debros sql changes, a `size` such as 64MiB; 0 = none")
		},
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			d.Name = c.args[0]
			out, _, err := client.SQL().CreateDatabase(ctx, &d, nil)
			if err != nil {
				return err
			}
			return showDatabase(c, out)
		},
	}
}

func showDatabase(c *call, d *api.SQLDatabase) error {
	return c.print(d, func() error {
		return c.fields([][2]string{
			{"Name", d.Name}, {"Namespace", d.Namespace}, {"Size", sizeText(d.SizeBytes)}, {"PageBytes", fmt.Sprint(d.PageBytes)},
			{"DoubleQuotedStrings", fmt.Sprint(d.DoubleQuotedStrings)}, {"Changes", changesText(d.ChangesBytes)}, {"SchemaVersion", fmt.Sprint(d.SchemaVersion)},
			{"AppliedIndex", fmt.Sprint(d.AppliedIndex)}, {"CreateIndex", fmt.Sprint(d.CreateIndex)}, {"ModifyIndex", fmt.Sprint(d.ModifyIndex)},
		})
	})
}

func changesText(bytes int64) string {
	if bytes == 0 {
		return "not kept"
	}
	return sizeText(bytes) + " kept"
}

func sqlDatabaseUpdateCommand() *cmd {
	var bytes int64
	var given bool
	return &cmd{
		name: "sql database update", args: "NAME", synopsis: "Change the options of a database", min: 1, max: 1,
		help: `-changes has the database keep its newest changes for debros sql changes, up to that size. It makes writes slower, and
one request may not change more than is kept. With -changes=0 no more are kept, and those that were are gone.

  debros sql database update -changes=64MiB default`,
		flags: func(fs *flag.FlagSet) {
			fs.Var(sizeFlag{&bytes, &given}, "changes", "how much of its changes is kept, a `size` from 1MiB to 64GiB; 0 = none")
		},
		run: func(ctx context.Context, c *call) error {
			if !given {
				return usagef("sql database update: give -changes=SIZE")
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			out, _, err := client.SQL().SetChanges(ctx, c.args[0], bytes, nil)
			if err != nil {
				return err
			}
			return showDatabase(c, out)
		},
	}
}

func sqlDatabaseListCommand() *cmd {
	return &cmd{
		name: "sql database list", synopsis: "List the databases of a namespace",
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			list, _, err := client.SQL().Databases(ctx, c.query())
			if err != nil {
				return err
			}
			if list == nil {
				list = []*api.SQLDatabase{}
			}
			return c.print(list, func() error {
				rows := [][]string{}
				for _, d := range list {
					rows = append(rows, []string{d.Name, sizeText(d.SizeBytes), fmt.Sprint(d.AppliedIndex)})
				}
				return c.table([]string{"Name", "Size", "AppliedIndex"}, rows)
			})
		},
	}
}

func sqlDatabaseReadCommand() *cmd {
	return &cmd{
		name: "sql database read", args: "NAME", synopsis: "Show a database's size and options", min: 1, max: 1,
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			d, _, err := client.SQL().ReadDatabase(ctx, c.args[0], c.query())
			if err != nil {
				return err
			}
			if d == nil {
				return withHint(fmt.Errorf("no database %q", c.args[0]), "debros sql database list shows those that exist")
			}
			return showDatabase(c, d)
		},
	}
}

func sqlDatabaseDeleteCommand() *cmd {
	var yes bool
	return &cmd{
		name: "sql database delete", args: "NAME", synopsis: "Delete a database and everything in it", min: 1, max: 1,
		help: "Asks for the name again, since nothing of it can be brought back.",
		flags: func(fs *flag.FlagSet) {
			fs.BoolVar(&yes, "yes", false, "do not ask")
		},
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			name := c.args[0]
			if !yes {
				if err := c.confirm(fmt.Sprintf("This deletes database %s with everything in it.", name), name); err != nil {
					return err
				}
			}
			if _, err := client.SQL().DeleteDatabase(ctx, name, nil); err != nil {
				return err
			}
			return c.done(map[string]string{"Deleted": name}, "Deleted: %s", printable(name, false))
		},
	}
}
