package command

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

func topicsCommand() *cmd {
	return &cmd{
		name: "pubsub topics", synopsis: "List topics and patterns",
		help: `Lists the topics whose messages passed the agent in the last ten minutes, and the patterns that somebody subscribes to, in
the whole cluster. RATE is messages a second.`,
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			list, err := client.PubSub().Topics(ctx, c.query())
			if err != nil {
				return err
			}
			return c.print(list, func() error {
				rows := [][]string{}
				for _, t := range list {
					last := "-"
					if !t.Last.IsZero() {
						last = t.Last.Local().Format(time.DateTime)
					}
					rows = append(rows, []string{t.Topic, strconv.Itoa(t.Subscribers), strconv.FormatInt(t.Messages, 10), fmt.Sprintf("%.1f", t.Rate), last})
				}
				return c.table([]string{"Topic", "Subscribers", "Messages", "Rate", "Last"}, rows)
			})
		},
	}
}

func subscribersCommand() *cmd {
	return &cmd{
		name: "pubsub subscribers", args: "[TOPIC]", synopsis: "List who subscribes to what", max: 1,
		help: `Lists the subscriptions of the whole cluster; with TOPIC, those that would get a message of it.`,
		run: func(ctx context.Context, c *call) error {
			topic := ""
			if len(c.args) == 1 {
				topic = c.args[0]
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			list, err := client.PubSub().Subscribers(ctx, topic, c.query())
			if err != nil {
				return err
			}
			return c.print(list, func() error {
				rows := [][]string{}
				for _, s := range list {
					rows = append(rows, []string{s.Topic, dash(s.Group), strconv.Itoa(s.Count), s.Agent})
				}
				return c.table([]string{"Topic", "Group", "Count", "Agent"}, rows)
			})
		},
	}
}
