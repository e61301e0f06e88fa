package command

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/debros/debros/api"
)

func publishCommand() *cmd {
	var m api.Message
	count, rate, durable := 1, 0.0, false
	return &cmd{
		name: "pubsub publish", args: "TOPIC [MESSAGE | @FILE | -]", synopsis: "Publish a message", min: 1, max: 2,
		help: `MESSAGE beginning with @ names a file to read it from, - is standard input. Where a stream keeps the topic the message is
acknowledged when a majority of the servers has it. Otherwise it goes to who subscribes at this moment.

  debros pubsub publish orders.eu '{"id": 7}'
  debros pubsub publish -id=order-7 orders.eu @order.json      for a stream: may be repeated, it is kept once
  debros pubsub publish -retain door.state open                the last value, with which later subscribers begin
  debros pubsub publish -count=1000 -rate=100 load.test x`,
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(&m.ID, "id", "", "the message's `id`, for a stream: one of an id that it remembers is not kept again")
			headerFlag(fs, &m)
			fs.StringVar(&m.Reply, "reply", "", "the `topic` at which an answer is expected")
			fs.BoolVar(&m.Retain, "retain", false, "make it the topic's last value; without a message, take that away")
			fs.BoolVar(&durable, "durable", false, "fail unless a stream keeps the topic")
			fs.IntVar(&count, "count", 1, "publish it this `number` of times")
			fs.Float64Var(&rate, "rate", 0, "at most this `number` a second; 0 = as fast as it goes")
		},
		run: func(ctx context.Context, c *call) error {
			switch {
			case count < 1:
				return usagef("pubsub publish: -count is at least 1")
			case rate < 0:
				return usagef("pubsub publish: -rate is not negative")
			case count > 1 && m.ID != "":
				return usagef("pubsub publish: messages of one -id are kept once, -count makes no sense")
			}
			client, err := c.clientFor(&m)
			if err != nil {
				return err
			}
			publish := client.PubSub().Publish
			if durable || m.ID != "" {
				publish = client.Streams().Publish
			}
			last, n, err := publishTimes(ctx, publish, m, count, rate)
			if err != nil {
				if n > 0 {
					return fmt.Errorf("after %d messages: %w", n, err)
				}
				return err
			}
			where := last.Stream
			if where == "" {
				where = last.Topic
			}
			if count == 1 {
				what := "published"
				if last.Duplicate {
					what = "already there:"
				}
				return c.done(last, "%s %s %d", what, where, last.Seq)
			}
			return c.done(map[string]any{"published": n, "last": last}, "published %d messages, the last is %s %d", n, where, last.Seq)
		},
	}
}

// clientFor reads TOPIC [MESSAGE] into m.
func (c *call) clientFor(m *api.Message) (*api.Client, error) {
	m.Topic = c.args[0]
	if len(c.args) == 2 {
		var err error
		if m.Data, err = c.value(c.args[1]); err != nil {
			return nil, err
		}
	}
	return c.client()
}

// headerFlag is for the headers of a message.
func headerFlag(fs *flag.FlagSet, m *api.Message) {
	fs.Func("header", "a header `NAME=TEXT`; may be given again", func(s string) error {
		name, text, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return fmt.Errorf("%q is not NAME=TEXT", s)
		}
		if m.Headers == nil {
			m.Headers = map[string]string{}
		}
		m.Headers[name] = text
		return nil
	})
}

// publisher is how messages are published, to streams or to subscribers.
type publisher func(context.Context, *api.WriteOptions, ...api.Message) ([]api.Published, *api.WriteMeta, error)

// publishTimes publishes a message again and again, many in one request where no pace is set.
func publishTimes(ctx context.Context, publish publisher, m api.Message, count int, rate float64) (last api.Published, n int, err error) {
	const batch = 100
	start := time.Now()
	for n < count {
		list := []api.Message{m}
		if rate == 0 {
			for len(list) < min(batch, count-n) {
				list = append(list, m)
			}
		} else if err := pause(ctx, time.Until(start.Add(time.Duration(float64(n)/rate*float64(time.Second))))); err != nil {
			return last, n, err
		}
		got, _, err := publish(ctx, nil, list...)
		if err != nil {
			return last, n, err
		}
		last = got[len(got)-1]
		n += len(got)
	}
	return last, n, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
