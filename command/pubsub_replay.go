package command

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"time"

	"github.com/debros/debros/api"
)

func streamReplayCommand() *cmd {
	var o api.MessageFeedOptions
	var since string
	var ack bool
	var limit int
	return &cmd{
		name: "pubsub stream replay", args: "STREAM", synopsis: "Print the messages of a stream, or follow it", min: 1, max: 1,
		help: `Prints number, topic and data of each message, in order, from the oldest that is kept.

  debros pubsub stream replay -since=1h orders
  debros pubsub stream replay -follow -filter="orders.*.paid" -format=json orders | jq -r .data
  debros pubsub stream replay -follow -consumer=billing -ack orders

-ack acknowledges what has been printed for the consumer, so that the next run goes on behind it. While it follows it
finds another server by itself when one goes away. -format=json writes one object a line, data in base64.`,
		flags: func(fs *flag.FlagSet) {
			fs.Uint64Var(&o.From, "from", 0, "begin with the message of this `number`")
			fs.StringVar(&since, "since", "", "begin at this `time` (RFC 3339), or so long ago (a duration)")
			fs.StringVar(&o.Consumer, "consumer", "", "begin behind what this `consumer` has acknowledged")
			fs.BoolVar(&ack, "ack", false, "acknowledge for the consumer what was printed")
			fs.StringVar(&o.Filter, "filter", "", "only topics of this `pattern`: * is one token, > at the end one or more")
			fs.IntVar(&limit, "limit", 0, "end after this `number` of messages")
			fs.BoolVar(&o.Follow, "follow", false, "wait for more until Ctrl-C")
		},
		run: func(ctx context.Context, c *call) error {
			if ack && o.Consumer == "" {
				return usagef("pubsub stream replay: -ack needs -consumer")
			}
			var err error
			if o.Since, err = moment(since); err != nil {
				return err
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			if err := answers(ctx, client); err != nil {
				return err
			}
			o.Query = c.query()
			r := replay{c: c, client: client, o: o, limit: limit}
			feed := client.Streams().Messages(c.args[0], o)
			err = r.run(ctx, feed)
			if lost := feed.Lost(); lost > 0 {
				fmt.Fprintf(c.Stderr, "debros: %d messages were no longer kept\n", lost)
			}
			if ack && r.last > 0 {
				// Also after Ctrl-C: what was printed is done.
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
				defer cancel()
				if _, _, ackErr := client.Streams().Ack(ctx, c.args[0], o.Consumer, r.last, nil); ackErr != nil && err == nil {
					err = fmt.Errorf("acknowledge message %d: %w", r.last, ackErr)
				}
			}
			return err
		},
	}
}

// moment reads a time, or how long ago it was; "" is the zero time.
func moment(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return time.Now().Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, usagef("-since=%s is neither a time such as %s nor a duration such as 1h", text, time.RFC3339)
	}
	return t, nil
}

// replay prints a feed of messages.
type replay struct {
	c      *call
	client *api.Client
	o      api.MessageFeedOptions
	limit  int
	last   uint64 // printed
}

func (r *replay) run(ctx context.Context, feed *api.MessageFeed) error {
	var last error
	printed := 0
	for m, err := range feed.All(ctx) {
		if err != nil {
			if last = err; !r.o.Follow {
				return err
			}
			if passing(err) {
				fmt.Fprintf(r.c.Stderr, "debros: %s; trying again\n", printable(err.Error(), false))
			}
			continue
		}
		last = nil
		if err := r.print(m); err != nil {
			return err
		}
		r.last = m.Seq
		if printed++; printed == r.limit {
			return nil
		}
	}
	if ctx.Err() != nil {
		return nil // Ctrl-C is how this ends
	}
	return last
}

func (r *replay) print(m *api.Message) error {
	if r.c.format == "json" {
		line, err := json.Marshal(m)
		if err == nil {
			_, err = r.c.Stdout.Write(append(line, '\n'))
		}
		return err
	}
	_, err := fmt.Fprintf(r.c.Stdout, "%d\t%s\t%s\n", m.Seq, m.Topic, printable(string(m.Data), false))
	return err
}
