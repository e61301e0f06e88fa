package command

import (
	"context"
	"encoding/json"
	"flag"

	"github.com/debros/debros/api"
)

func eventFireCommand() *cmd {
	var e api.UserEvent
	return &cmd{
		name: "event fire", args: "NAME [PAYLOAD | @FILE | -]", synopsis: "Tell every agent of an event", min: 1, max: 2,
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(&e.NodeFilter, "node", "", "a `pattern` (regular expression): agents of other names do not note it")
		},
		run: func(ctx context.Context, c *call) error {
			e.Name = c.args[0]
			var err error
			if len(c.args) == 2 {
				if e.Payload, err = c.value(c.args[1]); err != nil {
					return err
				}
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			fired, _, err := client.UserEvents().Fire(ctx, e, nil)
			if err != nil {
				return err
			}
			return c.done(fired, "Event ID: %s", fired.ID)
		},
	}
}

func eventListCommand() *cmd {
	var name string
	var follow bool
	return &cmd{
		name: "event list", synopsis: "List the events that the agent remembers",
		help: `Agents remember the last 256 events, the oldest first. Who must miss none uses a stream.`,
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(&name, "name", "", "only events of this `name`")
			fs.BoolVar(&follow, "follow", false, "print those that come, an object a line, until Ctrl-C")
		},
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			list, meta, err := client.UserEvents().List(ctx, name, nil)
			if err != nil {
				return err
			}
			if follow {
				return followEvents(ctx, c, client, name, list, meta.Index)
			}
			return c.print(list, func() error {
				rows := [][]string{}
				for _, e := range list {
					rows = append(rows, []string{e.Name, e.ID, dash(e.NodeFilter), printable(string(e.Payload), false)})
				}
				return c.table([]string{"Name", "ID", "Node filter", "Payload"}, rows)
			})
		},
	}
}

// followEvents prints each event once.
func followEvents(ctx context.Context, c *call, client *api.Client, name string, list []*api.UserEvent, index uint64) error {
	seen := map[string]bool{}
	for _, e := range list {
		seen[e.ID] = true
	}
	for {
		now, meta, err := client.UserEvents().List(ctx, name, &api.QueryOptions{Index: index})
		switch {
		case ctx.Err() != nil:
			return nil // Ctrl-C is how this ends
		case err != nil:
			return err
		}
		index = meta.Index
		still := map[string]bool{}
		for _, e := range now {
			still[e.ID] = true
			if seen[e.ID] {
				continue
			}
			line, err := json.Marshal(e)
			if err == nil {
				_, err = c.Stdout.Write(append(line, '\n'))
			}
			if err != nil {
				return err
			}
		}
		seen = still
	}
}
