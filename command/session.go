package command

import (
	"context"
	"flag"
	"fmt"
	"time"

	"github.com/debros/debros/api"
)

func sessionCreateCommand() *cmd {
	var e api.SessionEntry
	var ttl, delay time.Duration
	return &cmd{
		name: "session create", synopsis: "Make a session that locks can hang on",
		help: "Prints the id. The session ends when it is destroyed, its TTL passes without renewal, or its node fails.",
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(&e.Name, "name", "", "`name` for people")
			fs.StringVar(&e.Node, "node", "", "`node` whose failure ends the session; default the agent's own")
			fs.DurationVar(&ttl, "ttl", 0, "`duration` from 10s to 24h after which it ends unless renewed; 0 = none")
			fs.DurationVar(&delay, "lock-delay", 15*time.Second, "`duration` for which its keys stay locked after it was invalidated")
			fs.StringVar(&e.Behavior, "behavior", api.SessionRelease, "what happens to its keys then: release or delete")
		},
		run: func(ctx context.Context, c *call) error {
			if ttl > 0 {
				e.TTL = ttl.String()
			}
			if e.LockDelay = delay; delay == 0 {
				e.LockDelay = api.NoLockDelay
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			id, _, err := client.Session().Create(ctx, &e, nil)
			if err != nil {
				return err
			}
			return c.done(map[string]string{"ID": id}, "%s", id)
		},
	}
}

func sessionListCommand() *cmd {
	var node string
	return &cmd{
		name: "session list", synopsis: "List sessions",
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(&node, "node", "", "only those of a `node`")
		},
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			var list []*api.SessionEntry
			if node != "" {
				list, _, err = client.Session().Node(ctx, node, c.query())
			} else {
				list, _, err = client.Session().List(ctx, c.query())
			}
			if err != nil {
				return err
			}
			if list == nil {
				list = []*api.SessionEntry{}
			}
			return c.print(list, func() error {
				rows := [][]string{}
				for _, s := range list {
					rows = append(rows, []string{s.ID, s.Name, s.Node, s.TTL, s.Behavior, s.LockDelay.String()})
				}
				return c.table([]string{"ID", "Name", "Node", "TTL", "Behavior", "LockDelay"}, rows)
			})
		},
	}
}

func sessionInfoCommand() *cmd {
	return &cmd{
		name: "session info", args: "ID", synopsis: "Show a session", min: 1, max: 1,
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			s, _, err := client.Session().Info(ctx, c.args[0], c.query())
			if err != nil {
				return err
			}
			return showSession(c, s)
		},
	}
}

func showSession(c *call, s *api.SessionEntry) error {
	if s == nil {
		return withHint(fmt.Errorf("no session %q", c.args[0]), "it has ended, or is in another namespace")
	}
	return c.print(s, func() error {
		return c.fields([][2]string{
			{"ID", s.ID}, {"Name", s.Name}, {"Node", s.Node}, {"TTL", s.TTL}, {"Behavior", s.Behavior},
			{"LockDelay", s.LockDelay.String()}, {"CreateIndex", fmt.Sprint(s.CreateIndex)}, {"ModifyIndex", fmt.Sprint(s.ModifyIndex)},
		})
	})
}

func sessionRenewCommand() *cmd {
	return &cmd{
		name: "session renew", args: "ID", synopsis: "Restart a session's TTL", min: 1, max: 1,
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			s, _, err := client.Session().Renew(ctx, c.args[0], nil)
			if err != nil {
				return err
			}
			return showSession(c, s)
		},
	}
}

func sessionDestroyCommand() *cmd {
	return &cmd{
		name: "session destroy", args: "ID", synopsis: "End a session", min: 1, max: 1,
		help: "That it does not exist is no error.",
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			if _, err := client.Session().Destroy(ctx, c.args[0], nil); err != nil {
				return err
			}
			return c.done(map[string]string{"Destroyed": c.args[0]}, "Destroyed: %s", printable(c.args[0], false))
		},
	}
}
