package httpapi

import (
	"bytes"
	"context"
	"time"

	"github.com/debros/debros/structs"
)

func requestOne(c *call) error {
	by, err := c.caller()
	if err != nil {
		return err
	}
	m, err := c.messageIn()
	if err != nil {
		return err
	}
	if m.ID != "" || m.Reply != "" || m.Retain {
		return invalid("a request takes neither id, reply nor retain")
	}
	wait := liveRequestDefault
	if text := c.params.Get("timeout"); text != "" {
		if wait, err = time.ParseDuration(text); err != nil || wait <= 0 || wait > liveRequestMax {
			return invalid("timeout=%q is not a duration up to %s", shorten(text), liveRequestMax)
		}
	}
	replies := 1
	if n, given, err := c.uint("replies"); err != nil {
		return err
	} else if given {
		replies = int(min(n, 1<<30))
	}
	release, err := c.h.watch(c)
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithTimeout(c.r.Context(), wait)
	defer cancel()
	list, err := c.h.b.RequestMessages(ctx, by, &structs.Message{Topic: m.Topic, Headers: m.Headers, Data: m.Data}, replies)
	if err != nil {
		return err
	}
	lines := make([][]byte, len(list))
	for i, m := range list {
		lines[i] = messageLine(m)
	}
	c.w.Header().Set("Content-Type", "application/json")
	_, _ = c.w.Write(append(append([]byte("["), bytes.Join(lines, []byte(","))...), ']')) // a client that is gone is no error of ours
	return nil
}

// topicBody is a structs.TopicInfo as HTTP shows it.
type topicBody struct {
	Topic       string     `json:"topic"`
	Subscribers int        `json:"subscribers"`
	Messages    int64      `json:"messages"`
	Rate        float64    `json:"rate"`
	Last        *time.Time `json:"last,omitempty"`
}

func topicList(c *call) error {
	by, err := c.caller()
	if err != nil {
		return err
	}
	list, err := c.h.b.Topics(c.r.Context(), by)
	if err != nil {
		return err
	}
	out := make([]topicBody, len(list))
	for i, t := range list {
		out[i] = topicBody{Topic: t.Topic, Subscribers: t.Subscribers, Messages: t.Messages, Rate: t.Rate}
		if !t.Last.IsZero() {
			at := t.Last.UTC()
			out[i].Last = &at
		}
	}
	return c.ok(out)
}

func topicPeers(c *call) error {
	by, err := c.caller()
	if err != nil {
		return err
	}
	topic := c.params.Get("topic")
	if topic != "" {
		if err := structs.CheckTopic(topic); err != nil {
			return err
		}
	}
	list, err := c.h.b.Subscribers(c.r.Context(), by, topic)
	if err != nil {
		return err
	}
	out := make([]subscriberBody, len(list))
	for i, s := range list {
		out[i] = bodyOfSubscriber(s)
	}
	return c.ok(out)
}
