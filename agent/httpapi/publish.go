package httpapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"mime"

	"github.com/debros/debros/structs"
)

func publishRoutes() []route {
	const p = "/v1/pubsub/publish"
	const where = "`durable` insists on a stream that keeps the topic (404 without one); `durable=false` publishes to subscribers alone"
	return []route{
		{
			method: "POST", pattern: p + "/{topic}", handle: publishOne, plain: true,
			doc: "Publish a message. Where a stream keeps the topic it goes through Raft and is acknowledged when a majority of the servers has it; one with an `id` may be repeated. " +
				"Otherwise it goes to the topic's subscribers, and is acknowledged when this agent has numbered it.",
			params: "`id=` of the message, for a stream; `retain` makes it the topic's last value and `reply=` is the topic for answers, without a stream; " + where,
			body:   "the message's data as it is, or, with Content-Type application/json, `{\"data\" (base64), \"headers\": {name: text}, \"id\", \"reply\", \"retain\"}`",
			reply:  "`{\"topic\", \"seq\"}`, and `\"stream\", \"duplicate\"` of a stream",
		},
		{
			method: "POST", pattern: p, handle: publishBatch, plain: true,
			doc:    "Publish up to 1,000 messages of 1 MiB in all, all or none, in order. Those that streams keep, and those that none does, need requests of their own.",
			params: where,
			body:   "NDJSON lines `{\"topic\", \"data\" (base64), \"headers\", \"id\", \"reply\", \"retain\"}`",
			reply:  "`{\"published\", \"messages\": [{\"topic\", \"seq\", \"stream\", \"duplicate\"}], \"index\"}`",
		},
	}
}

// publishBodyMax is PublishBytesMax as base64 in JSON, and some more for names and headers.
const publishBodyMax = 2 * structs.PublishBytesMax

func publishOne(c *call) error {
	m, err := c.messageIn()
	if err != nil {
		return err
	}
	rep, err := c.publish([]structs.MessageBody{m})
	if err != nil {
		return err
	}
	return c.ok(rep.Messages[0])
}

// messageIn is the message in a request for one topic.
func (c *call) messageIn() (m structs.MessageBody, err error) {
	data, err := c.body(publishBodyMax, "")
	if err != nil {
		return m, err
	}
	m.Data = data
	if kind, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type")); kind == "application/json" {
		m = structs.MessageBody{}
		if err := json.Unmarshal(data, &m); err != nil {
			return m, invalid("the request body is not the JSON expected here: %v", err).
				WithHint("{\"data\": base64}; or send another Content-Type than application/json, and the body is the data")
		}
		if m.Topic != "" && m.Topic != c.param {
			return m, invalid("the body's topic %q is not the path's", shorten(m.Topic))
		}
	}
	m.ID = cmp.Or(c.params.Get("id"), m.ID)
	m.Reply = cmp.Or(c.params.Get("reply"), m.Reply)
	m.Retain = m.Retain || c.flag("retain")
	m.Topic = c.param
	return m, nil
}

func publishBatch(c *call) error {
	body, err := c.body(publishBodyMax, "")
	if err != nil {
		return err
	}
	var list []structs.MessageBody
	n := 0
	for line := range bytes.Lines(body) {
		n++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(list) == structs.PublishMessagesMax {
			return structs.Errorf(structs.KindTooLarge, "more than %d messages in one request", structs.PublishMessagesMax)
		}
		var m structs.MessageBody
		if err := json.Unmarshal(line, &m); err != nil {
			return invalid("line %d is no message: %v", n, err)
		}
		list = append(list, m)
	}
	rep, err := c.publish(list)
	if err != nil {
		return err
	}
	return c.ok(rep)
}

// publish gives messages to their streams, or to subscribers.
func (c *call) publish(list []structs.MessageBody) (*structs.PublishedListBody, error) {
	if len(list) == 0 {
		return nil, invalid("there is no message to publish")
	}
	kept, err := c.kept(list)
	if err != nil {
		return nil, err
	}
	if kept {
		return c.publishDurable(list)
	}
	return c.publishLive(list)
}

// kept decides whether the messages of a request go to streams.
func (c *call) kept(list []structs.MessageBody) (bool, error) {
	if c.params.Has("durable") {
		return c.flag("durable"), nil
	}
	by := Caller{c.token, c.ns}
	stream := ""
	for i, m := range list {
		if i > 0 && m.Topic == list[i-1].Topic {
			continue
		}
		s, err := c.h.b.StreamOf(c.r.Context(), by, m.Topic)
		if err != nil {
			return false, err
		}
		if i > 0 && (s == "") != (stream == "") {
			return false, invalid("a stream keeps some of the topics and none keeps others").WithHint("publish them in requests of their own")
		}
		stream = s
	}
	return stream != "", nil
}

func (c *call) publishLive(list []structs.MessageBody) (*structs.PublishedListBody, error) {
	by, err := c.caller()
	if err != nil {
		return nil, err
	}
	msgs := make([]*structs.Message, len(list))
	for i, m := range list {
		if m.ID != "" {
			return nil, invalid("an id is for messages that a stream keeps, and none keeps %s", shorten(m.Topic)).
				WithHint("POST /v1/pubsub/streams creates one")
		}
		msgs[i] = &structs.Message{Topic: m.Topic, Headers: m.Headers, Data: m.Data, Reply: m.Reply, Retain: m.Retain}
	}
	if err := c.h.b.PublishMessages(c.r.Context(), by, msgs); err != nil {
		return nil, err
	}
	out := &structs.PublishedListBody{Published: len(msgs), Messages: make([]structs.PublishedBody, len(msgs))}
	for i, m := range msgs {
		out.Messages[i] = structs.PublishedBody{Topic: m.Topic, Seq: m.Seq}
	}
	return out, nil
}

func (c *call) publishDurable(list []structs.MessageBody) (*structs.PublishedListBody, error) {
	req := &structs.StreamPublishRequest{WriteOptions: c.write(), Messages: make([]structs.StreamMessage, len(list))}
	for i, m := range list {
		if m.Retain || m.Reply != "" {
			return nil, invalid("retain and reply are for messages that no stream keeps").
				WithHint("a stream has its last message; a consumer of it acknowledges instead of replying")
		}
		req.Messages[i] = structs.StreamMessage{Topic: m.Topic, ID: m.ID, Headers: m.Headers, Data: m.Data}
	}
	var rep structs.StreamPublishReply
	if err := c.rpc("Stream.Publish", req, &rep); err != nil {
		return nil, err
	}
	c.index(rep.Index)
	out := &structs.PublishedListBody{Index: rep.Index, Messages: make([]structs.PublishedBody, len(rep.Published))}
	for i, p := range rep.Published {
		out.Messages[i] = structs.PublishedBody{Topic: list[i].Topic, Stream: p.Stream, Seq: p.Seq, Duplicate: p.Duplicate}
		if !p.Duplicate {
			out.Published++
		}
	}
	return out, nil
}
