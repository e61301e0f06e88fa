package command

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/debros/debros/internal/version"
)

func reloadCommand() *cmd {
	return &cmd{
		name: "reload", synopsis: "Make the agent read its configuration again",
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			r, err := client.Agent().Reload(ctx)
			if err != nil {
				return err
			}
			r.Changed, r.NeedsRestart = append([]string{}, r.Changed...), append([]string{}, r.NeedsRestart...) // never null
			return c.print(r, func() error {
				if len(r.Changed)+len(r.NeedsRestart) == 0 {
					return c.line("Reloaded: no setting has changed")
				}
				if len(r.Changed) > 0 {
					if err := c.line("Changed: %s", printable(strings.Join(r.Changed, ", "), false)); err != nil {
						return err
					}
				}
				if len(r.NeedsRestart) > 0 {
					if err := c.line("Needs a restart: %s", printable(strings.Join(r.NeedsRestart, ", "), false)); err != nil {
						return err
					}
				}
				return c.line("Reloaded")
			})
		},
	}
}

func monitorCommand() *cmd {
	var level string
	var logJSON bool
	return &cmd{
		name: "monitor", synopsis: "Follow the agent's log",
		help: "Ends with Ctrl-C.",
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(&level, "log-level", "info", "from this `level` on: debug, info, warn or error")
			fs.BoolVar(&logJSON, "log-json", false, "one JSON object per line, as -format=json")
		},
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			log, err := client.Agent().Monitor(ctx, level, logJSON || c.format == "json")
			if err != nil {
				return err
			}
			defer log.Close()
			_, err = io.Copy(c.Stdout, log)
			if ctx.Err() != nil {
				return nil // Ctrl-C is how this ends
			}
			if err == nil {
				err = fmt.Errorf("the agent ended the stream")
			}
			return err
		},
	}
}

func infoCommand() *cmd {
	return &cmd{
		name: "info", synopsis: "Show the agent's own figures",
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			self, err := client.Agent().Self(ctx)
			if err != nil {
				return err
			}
			stats := self["Stats"]
			return c.print(stats, func() error {
				for _, group := range sortedKeys(stats) {
					if err := c.line("%s:", printable(group, false)); err != nil {
						return err
					}
					values, _ := stats[group].(map[string]any)
					for _, k := range sortedKeys(values) {
						if err := c.line("\t%s = %s", printable(k, false), printable(fmt.Sprint(values[k]), false)); err != nil {
							return err
						}
					}
				}
				return nil
			})
		},
	}
}

func versionCommand() *cmd {
	return &cmd{
		name: "version", synopsis: "Print the version", local: true,
		run: func(_ context.Context, c *call) error {
			v := map[string]string{"Version": version.Version(), "Commit": version.Commit()}
			return c.print(v, func() error { return c.line("%s", version.String()) })
		},
	}
}
