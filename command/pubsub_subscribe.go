package command

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"time"

	"github.com/debros/debros/api"
)

// subscribeDefault is how long a subscription listens when nothing is said, as in the original system (N80).
const subscribeDefault = 30 * time.Second

func subscribeCommand() *cmd {
	var o api.SubscribeOptions
	var limit int
	var follow bool
	return &cmd{
		name: "pubsub subscribe", args: "TOPIC... [DURATION]", synopsis: "Print messages as they are published", min: 1, max: 64,
		help: `TOPIC is a topic or a pattern: * is one token, > at the end one or more. Prints topic and data of each message for DURATION, 30s
if not given, or with -follow until Ctrl-C.

  debros pubsub subscribe orders.eu
  debros pubsub subscribe "orders.*.paid" "alerts.>" 5m
  debros pubsub subscribe -follow -format=json ">" | jq -r .data
  debros pubsub subscribe -follow -group=billing orders.eu      one of the group gets each message

A last value that was published with -retain comes first. What was lost is said on standard error, and on standard output with -format=json,
which writes one object a line, data in base64. Messages that a stream keeps are not among them: see debros pubsub stream replay -follow.`,
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(&o.Group, "group", "", "share the messages with the others of this `group`")
			fs.BoolVar(&o.Presence, "presence", false, "also say who subscribes to these topics")
			fs.IntVar(&o.QueueMessages, "queue", 0, "so many messages may wait at the agent; 0 = 16384")
			fs.IntVar(&limit, "limit", 0, "end after this `number` of messages")
			fs.BoolVar(&follow, "follow", false, "listen until Ctrl-C")
		},
		run: func(ctx context.Context, c *call) error {
			topics, wait := c.args, subscribeDefault
			if last := len(topics) - 1; last > 0 {
				if d, err := time.ParseDuration(topics[last]); err == nil {
					topics, wait = topics[:last], d
				}
			}
			if wait <= 0 {
				return usagef("pubsub subscribe: the duration %s is not positive", wait)
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			if !follow {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, wait)
				defer cancel()
			}
			o.Query = c.query()
			sub, err := client.PubSub().Subscribe(ctx, o, topics...)
			if err != nil {
				return err
			}
			defer sub.Close()
			for _, s := range sub.Kept() {
				fmt.Fprintf(c.Stderr, "debros: messages of %s are kept by a stream and do not come here: debros pubsub stream replay -follow %s\n", s, s)
			}
			if isTerminal(c.Stdout) && !follow {
				fmt.Fprintf(c.Stderr, "debros: listening for %s; -follow listens until Ctrl-C\n", wait)
			}
			l := listener{c: c, limit: limit}
			return l.run(ctx, sub)
		},
	}
}

// listener prints what a subscription gets.
type listener struct {
	c       *call
	limit   int
	printed int
}

func (l *listener) run(ctx context.Context, sub *api.Subscription) error {
	var last error
	for e, err := range sub.All() {
		if last = err; err != nil {
			if passing(err) {
				fmt.Fprintf(l.c.Stderr, "debros: %s; trying again\n", printable(err.Error(), false))
			}
			continue
		}
		if err := l.print(e); err != nil {
			return err
		}
		if e.Message != nil {
			if l.printed++; l.printed == l.limit {
				return nil
			}
		}
	}
	if ctx.Err() != nil {
		return nil // the time is over, or Ctrl-C: this is how it ends
	}
	return last
}

func (l *listener) print(e *api.Event) error {
	if l.c.format == "json" {
		return l.printJSON(e)
	}
	switch {
	case e.Message != nil:
		_, err := fmt.Fprintf(l.c.Stdout, "%s\t%s\n", e.Message.Topic, printable(string(e.Message.Data), false))
		return err
	case e.Presence != nil:
		s := e.Presence.Subscriber
		what := "no more subscribers of"
		if e.Presence.Joined {
			what = "a subscriber of"
		}
		if s.Group != "" {
			s.Topic += " in group " + s.Group
		}
		_, err := fmt.Fprintf(l.c.Stdout, "# %s %s at %s\n", what, s.Topic, s.Agent)
		return err
	case e.Overflow > 0:
		_, err := fmt.Fprintf(l.c.Stderr, "debros: %d messages were dropped: they were not taken in time\n", e.Overflow)
		return err
	case e.Gap.Publisher == "":
		_, err := fmt.Fprintln(l.c.Stderr, "debros: what was published while the agent was away is lost")
		return err
	case e.Gap.To == 0:
		_, err := fmt.Fprintf(l.c.Stderr, "debros: messages of %s may be lost, from before it was heard\n", e.Gap.Publisher)
		return err
	}
	_, err := fmt.Fprintf(l.c.Stderr, "debros: up to %d messages of %s are lost\n", e.Gap.To-e.Gap.From+1, e.Gap.Publisher)
	return err
}

// printJSON writes a line as the HTTP API does.
func (l *listener) printJSON(e *api.Event) error {
	var v any = e.Message
	switch {
	case e.Gap != nil:
		v = struct {
			Control   string `json:"control"`
			Publisher string `json:"publisher,omitempty"`
			Epoch     uint64 `json:"epoch,omitempty"`
			From      uint64 `json:"from,omitempty"`
			To        uint64 `json:"to,omitempty"`
		}{"gap", e.Gap.Publisher, e.Gap.Epoch, e.Gap.From, e.Gap.To}
	case e.Overflow > 0:
		v = struct {
			Control string `json:"control"`
			Dropped int    `json:"dropped"`
		}{"overflow", e.Overflow}
	case e.Presence != nil:
		event := "leave"
		if e.Presence.Joined {
			event = "join"
		}
		v = struct {
			Control    string         `json:"control"`
			Event      string         `json:"event"`
			Subscriber api.Subscriber `json:"subscriber"`
		}{"presence", event, e.Presence.Subscriber}
	}
	enc := json.NewEncoder(l.c.Stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
