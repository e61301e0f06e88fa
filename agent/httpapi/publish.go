package httpapi

import (
	"bytes"
	"encoding/json"
	"mime"

	"github.com/debros/debros/structs"
)

func publishRoutes() []route {
	const p = "/v1/pubsub/publish"
	return []route{
		{
			method: "POST", pattern: p + "/{topic}", handle: publishOne, plain: true,
			doc:    "Publish a message to a topic that a stream keeps. It is acknowledged when a majority of the servers has it; one with an `id` may be repeated.",
			params: "`id=` of the message",
			body:   "the message's data as it is, or, with Content-Type application/json, `{\"data\" (base64), \"headers\": {name: text}, \"id\"}`",
			reply:  "`{\"topic\", \"stream\", \"seq\", \"duplicate\"}`",
		},
		{
			method: "POST", pattern: p, handle: publishBatch, plain: true,
			doc:   "Publish up to 1,000 messages of 1 MiB in all, all or none, in order.",
			body:  "NDJSON lines `{\"topic\", \"data\" (base64), \"headers\", \"id\"}`",
			reply: "`{\"published\", \"messages\": [{\"topic\", \"stream\", \"seq\", \"duplicate\"}], \"index\"}`",
		},
	}
}

// publishBodyMax is PublishBytesMax as base64 in JSON, and some more for names and headers.
const publishBodyMax = 2 * structs.PublishBytesMax

func publishOne(c *call) error {
	data, err := c.body(publishBodyMax, "")
	if err != nil {
		return err
	}
	m := structs.MessageBody{Data: data}
	if kind, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type")); kind == "application/json" {
		m = structs.MessageBody{}
		if err := json.Unmarshal(data, &m); err != nil {
			return invalid("the request body is not the JSON expected here: %v", err).
				WithHint("{\"data\": base64}; or send another Content-Type than application/json, and the body is the data")
		}
		if m.Topic != "" && m.Topic != c.param {
			return invalid("the body's topic %q is not the path's", shorten(m.Topic))
		}
	}
	if id := c.params.Get("id"); id != "" {
		m.ID = id
	}
	m.Topic = c.param
	rep, err := c.publish([]structs.MessageBody{m})
	if err != nil {
		return err
	}
	return c.ok(rep.Messages[0])
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

// publish gives messages to their streams.
func (c *call) publish(list []structs.MessageBody) (*structs.PublishedListBody, error) {
	req := &structs.StreamPublishRequest{WriteOptions: c.write(), Messages: make([]structs.StreamMessage, len(list))}
	for i, m := range list {
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
