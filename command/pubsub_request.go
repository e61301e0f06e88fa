package command

import (
	"context"
	"flag"
	"time"

	"github.com/debros/debros/api"
)

func requestCommand() *cmd {
	var m api.Message
	o := api.RequestOptions{}
	return &cmd{
		name: "pubsub request", args: "TOPIC [MESSAGE | @FILE | -]", synopsis: "Publish a message and print the reply", min: 1, max: 2,
		help: `A subscriber replies by publishing to the message's reply topic. Prints the data of each reply.

  debros pubsub request time.utc
  debros pubsub request -replies=10 -wait=2s who.is.there`,
		flags: func(fs *flag.FlagSet) {
			headerFlag(fs, &m)
			fs.IntVar(&o.Replies, "replies", 1, "wait for this `number` of replies; fewer will do when the time is over")
			fs.DurationVar(&o.Timeout, "wait", 5*time.Second, "wait this `duration` for replies")
		},
		run: func(ctx context.Context, c *call) error {
			if o.Timeout <= 0 || o.Replies < 1 {
				return usagef("pubsub request: -wait and -replies are positive")
			}
			client, err := c.clientFor(&m)
			if err != nil {
				return err
			}
			list, err := client.PubSub().Request(ctx, m, o)
			if err != nil {
				return err
			}
			return c.print(list, func() error {
				for _, m := range list {
					if err := c.line("%s", printable(string(m.Data), false)); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}
