package command

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"

	"github.com/debros/debros/api"
	"github.com/debros/debros/command/sqlrun"
)

func sqlChangesCommand() *cmd {
	var database string
	var o api.SQLFeedOptions
	return &cmd{
		name: "sql changes", synopsis: "Print the changes of a database, or follow them",
		help: `Every change of a row and of the schema, in the order in which they were made, the same from every agent. The
database must be one of which changes are kept:

  debros sql database update -changes=64MiB default
  debros sql changes
  debros sql changes -follow -from=now -table=users -format=json | jq .new.name

A change has a position, INDEX.SEQUENCE, which -from takes to go on behind it; -from=INDEX goes on behind
what a backup of that index has in it. Ctrl-C and an error tell the position to go on from. While it
follows, it finds another server by itself when one goes away.

-format=json writes one object a line, as GET /v1/sql/changes does.`,
		flags: func(fs *flag.FlagSet) {
			databaseFlag(fs, &database)
			fs.StringVar(&o.From, "from", "", "the `position` behind which to begin, or now; else everything that is kept")
			fs.Func("table", "only changes of this `table`; may be given again", func(name string) error {
				o.Tables = append(o.Tables, name)
				return nil
			})
			fs.BoolVar(&o.Follow, "follow", false, "wait for more until Ctrl-C")
		},
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			if err := answers(ctx, client); err != nil {
				return err
			}
			o.Query = c.query()
			feed := c.database(client, database).Changes(o)
			err = c.changes(ctx, feed, o.Follow)
			if at := feed.Position(); at != "" && at != "now" && (err == nil || at != o.From) {
				fmt.Fprintf(c.Stderr, "debros: to go on from here: -from=%s\n", at)
			}
			return err
		},
	}
}

func (c *call) changes(ctx context.Context, feed *api.SQLFeed, follow bool) error {
	var last error
	var line []byte
	for change, err := range feed.All(ctx) {
		if err != nil {
			if last = err; !follow {
				return err
			}
			if passing(err) {
				fmt.Fprintf(c.Stderr, "debros: %s; trying again\n", printable(err.Error(), false))
			}
			continue
		}
		last = nil
		if c.format == "json" {
			line = sqlrun.AppendChangeJSON(line[:0], change)
		} else {
			line = append(line[:0], sqlrun.ChangeText(change)...)
		}
		if _, err := c.Stdout.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil // Ctrl-C is how this ends
	}
	return last
}

// sizeFlag is a number of bytes: 4096, 64KiB, 64MiB or 2GiB.
type sizeFlag struct {
	to  *int64
	set *bool // nil, or whether it was given
}

func (f sizeFlag) String() string { return "" }

func (f sizeFlag) Set(text string) error {
	number, unit := text, int64(1)
	for i, suffix := range []string{"KiB", "MiB", "GiB"} {
		if n, ok := strings.CutSuffix(text, suffix); ok {
			number, unit = n, int64(1)<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return fmt.Errorf("want a size such as 64MiB, in bytes, KiB, MiB or GiB")
	}
	*f.to = n * unit
	if f.set != nil {
		*f.set = true
	}
	return nil
}
