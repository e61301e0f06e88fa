package command

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"time"

	"github.com/debros/debros/api"
)

// streamFlags are the limits of a stream.
func streamFlags(fs *flag.FlagSet, s *api.StreamSettings) {
	fs.Int64Var(&s.MessagesMax, "messages", 0, "keep at most this `number` of messages; 0 = 100,000")
	fs.Var(sizeFlag{to: &s.BytesMax}, "bytes", "keep at most this `size` of messages, such as 512MiB; 0 = 64MiB")
	fs.DurationVar((*time.Duration)(&s.AgeMax), "age", 0, "keep messages for this `duration`; 0 = for ever")
	fs.DurationVar((*time.Duration)(&s.Dedupe), "dedupe", 0, "remember the ids of messages for this `duration`; 0 = 2m")
}

func streamCreateCommand() *cmd {
	var settings api.StreamSettings
	return &cmd{
		name: "pubsub stream create", args: "TOPIC", synopsis: "Make a topic durable", min: 1, max: 1,
		help: `What is published to the topic, and to the topics below it, goes through Raft and is kept, numbered from 1, until there is too
much of it: then the oldest goes. All of it is in the memory of every server.

  debros pubsub stream create -age=24h orders       keeps orders, orders.eu, orders.eu.paid, ...`,
		flags: func(fs *flag.FlagSet) { streamFlags(fs, &settings) },
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			s, _, err := client.Streams().Create(ctx, c.args[0], settings, nil)
			if err != nil {
				return err
			}
			return showStream(c, s)
		},
	}
}

func streamUpdateCommand() *cmd {
	var settings api.StreamSettings
	return &cmd{
		name: "pubsub stream update", args: "STREAM", synopsis: "Change what a stream keeps", min: 1, max: 1,
		help:  `What is not given gets its default. Messages that are too many then go at once.`,
		flags: func(fs *flag.FlagSet) { streamFlags(fs, &settings) },
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			s, _, err := client.Streams().Update(ctx, c.args[0], settings, nil)
			if err != nil {
				return err
			}
			return showStream(c, s)
		},
	}
}

func streamListCommand() *cmd {
	return &cmd{
		name: "pubsub stream list", synopsis: "List the streams",
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			list, _, err := client.Streams().List(ctx, c.query())
			if err != nil {
				return err
			}
			return c.print(list, func() error {
				rows := [][]string{}
				for _, s := range list {
					rows = append(rows, []string{s.Name, fmt.Sprint(s.Messages), sizeText(s.Bytes), fmt.Sprint(s.LastSeq), timeText(s.LastTime)})
				}
				return c.table([]string{"Stream", "Messages", "Size", "LastSeq", "LastTime"}, rows)
			})
		},
	}
}

func streamInfoCommand() *cmd {
	return &cmd{
		name: "pubsub stream info", args: "STREAM", synopsis: "Show a stream and its consumers", min: 1, max: 1,
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			s, _, err := client.Streams().Get(ctx, c.args[0], c.query())
			if err != nil {
				return err
			}
			if s == nil {
				return withHint(fmt.Errorf("no stream %q", c.args[0]), "debros pubsub stream list shows those of the namespace")
			}
			return showStream(c, s)
		},
	}
}

func showStream(c *call, s *api.Stream) error {
	return c.print(s, func() error {
		age := "for ever"
		if s.AgeMax > 0 {
			age = s.AgeMax.String()
		}
		err := c.fields([][2]string{
			{"Stream", s.Name}, {"Messages", fmt.Sprintf("%d of at most %d", s.Messages, s.MessagesMax)},
			{"Size", sizeText(s.Bytes) + " of at most " + sizeText(s.BytesMax)}, {"Kept", age}, {"Ids remembered", s.Dedupe.String()},
			{"FirstSeq", fmt.Sprint(s.FirstSeq)}, {"LastSeq", fmt.Sprint(s.LastSeq)}, {"LastTime", timeText(s.LastTime)},
		})
		if err != nil || len(s.Consumers) == 0 {
			return err
		}
		rows := [][]string{}
		for _, x := range s.Consumers {
			rows = append(rows, []string{x.Name, x.Filter, fmt.Sprint(x.Acked), fmt.Sprint(x.Pending)})
		}
		if err := c.line(""); err != nil {
			return err
		}
		return c.table([]string{"Consumer", "Filter", "Acked", "Pending"}, rows)
	})
}

func streamDeleteCommand() *cmd {
	var yes bool
	return &cmd{
		name: "pubsub stream delete", args: "STREAM", synopsis: "Delete a stream with its messages", min: 1, max: 1,
		flags: func(fs *flag.FlagSet) { fs.BoolVar(&yes, "yes", false, "do not ask") },
		run: func(ctx context.Context, c *call) error {
			if !yes {
				if err := c.confirm(fmt.Sprintf("Delete the stream %s with its messages and consumers?", c.args[0]), c.args[0]); err != nil {
					return err
				}
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			if _, err := client.Streams().Delete(ctx, c.args[0], nil); err != nil {
				return err
			}
			return c.done(map[string]string{"deleted": c.args[0]}, "deleted %s", c.args[0])
		},
	}
}

func streamPurgeCommand() *cmd {
	var upTo uint64
	return &cmd{
		name: "pubsub stream purge", args: "STREAM", synopsis: "Delete the messages of a stream", min: 1, max: 1,
		help:  "The numbers of messages go on, and consumers stay where they are.",
		flags: func(fs *flag.FlagSet) { fs.Uint64Var(&upTo, "up-to", 0, "only those up to this `number`") },
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			s, _, err := client.Streams().Purge(ctx, c.args[0], upTo, nil)
			if err != nil {
				return err
			}
			return showStream(c, s)
		},
	}
}

func consumerCreateCommand() *cmd {
	var consumer api.StreamConsumer
	var atEnd bool
	return &cmd{
		name: "pubsub stream consumer create", args: "STREAM NAME", synopsis: "Make a consumer, or set it anew", min: 2, max: 2,
		help: `A consumer is a place in a stream that the cluster keeps: debros pubsub stream replay -consumer=NAME begins behind what
it has acknowledged, with debros pubsub stream consumer ack or -ack.`,
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(&consumer.Filter, "filter", "", "only topics of this `pattern`: * is one token, > at the end one or more")
			fs.Uint64Var(&consumer.Acked, "acked", 0, "begin behind the message of this `number`; 0 = with the oldest")
			fs.BoolVar(&atEnd, "new", false, "begin with what is published from now on")
		},
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			consumer.Name = c.args[1]
			if atEnd {
				s, _, err := client.Streams().Get(ctx, c.args[0], c.query())
				if err != nil {
					return err
				}
				if s == nil {
					return fmt.Errorf("no stream %q", c.args[0])
				}
				consumer.Acked = s.LastSeq
			}
			out, _, err := client.Streams().SetConsumer(ctx, c.args[0], consumer, nil)
			if err != nil {
				return err
			}
			return showConsumer(c, out)
		},
	}
}

func showConsumer(c *call, x *api.StreamConsumer) error {
	return c.print(x, func() error {
		return c.fields([][2]string{{"Consumer", x.Name}, {"Filter", x.Filter}, {"Acked", fmt.Sprint(x.Acked)}, {"Pending", fmt.Sprint(x.Pending)}})
	})
}

func consumerAckCommand() *cmd {
	return &cmd{
		name: "pubsub stream consumer ack", args: "STREAM NAME SEQ", synopsis: "Say that the messages up to one are done", min: 3, max: 3,
		run: func(ctx context.Context, c *call) error {
			seq, err := strconv.ParseUint(c.args[2], 10, 64)
			if err != nil {
				return usagef("%q is no number of a message", c.args[2])
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			out, _, err := client.Streams().Ack(ctx, c.args[0], c.args[1], seq, nil)
			if err != nil {
				return err
			}
			return showConsumer(c, out)
		},
	}
}

func consumerDeleteCommand() *cmd {
	return &cmd{
		name: "pubsub stream consumer delete", args: "STREAM NAME", synopsis: "Delete a consumer", min: 2, max: 2,
		run: func(ctx context.Context, c *call) error {
			client, err := c.client()
			if err != nil {
				return err
			}
			if _, err := client.Streams().DeleteConsumer(ctx, c.args[0], c.args[1], nil); err != nil {
				return err
			}
			return c.done(map[string]string{"deleted": c.args[1]}, "deleted %s", c.args[1])
		},
	}
}
