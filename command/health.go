package command

import (
	"context"
	"flag"
	"fmt"
	"time"

	"github.com/debros/debros/api"
)

func healthCommand() *cmd {
	var timeout time.Duration
	return &cmd{
		name: "health", synopsis: "Use each part of the agent once and say how it went",
		help: `connection: the agent knows a leader. storage, database: a read that a majority of the servers confirms. network: members are
connected on the overlay. The exit status is 1 when the agent is unhealthy, that is when reads or writes do not work.`,
		flags: func(fs *flag.FlagSet) {
			fs.DurationVar(&timeout, "timeout", 5*time.Second, "`duration` within which every check must end")
		},
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			h, err := client.Agent().Health(ctx, timeout)
			if err != nil {
				return err
			}
			err = c.print(h, func() error {
				rows := [][]string{}
				for _, x := range h.Checks {
					state := "ok"
					if !x.OK {
						state = x.Error
					}
					rows = append(rows, []string{x.Name, fmt.Sprintf("%.1f ms", x.Millis), state})
				}
				if err := c.line("%s is %s", h.Node, h.Status); err != nil {
					return err
				}
				return c.table([]string{"Check", "Time", "Result"}, rows)
			})
			if err == nil && h.Status == api.HealthUnhealthy {
				err = &exitError{exitFailed}
			}
			return err
		},
	}
}
