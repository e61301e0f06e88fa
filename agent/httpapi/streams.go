package httpapi

import (
	"net/http"
	"time"

	"github.com/debros/debros/structs"
)

func streamRoutes() []route {
	const p = "/v1/pubsub/"
	const settings = "`{\"name\", \"messages_max\" (100,000), \"bytes_max\" (64 MiB), \"age_max\" (duration; none), \"dedupe\" (duration for which ids of messages are remembered; 2m)}`"
	const stream = "the stream: its settings, `{\"first_seq\", \"last_seq\", \"messages\", \"bytes\", \"last_time\", \"consumers\": [{\"name\", \"filter\", \"acked\", \"pending\"}]}`"
	return []route{
		{
			method: "GET", pattern: p + "streams", handle: streamList,
			doc: "List the streams (durable topics) of the namespace.", params: "blocking, paging and consistency", reply: "a list of streams without their consumers",
		},
		{
			method: "POST", pattern: p + "streams", handle: streamCreate,
			doc:  "Create a stream: what is published to the topic of its name, and to the topics below it, goes through Raft and is kept.",
			body: settings, reply: stream,
		},
		{
			method: "GET", pattern: p + "streams/{name}", handle: streamGet,
			doc: "Read a stream and its consumers.", params: "blocking and consistency", reply: stream,
		},
		{
			method: "PATCH", pattern: p + "streams/{name}", handle: streamUpdate,
			doc: "Change what a stream keeps; what is left out gets its default. Messages that are too many then go.", body: settings, reply: stream,
		},
		{
			method: "DELETE", pattern: p + "streams/{name}", handle: streamDelete,
			doc: "Delete a stream with its messages and consumers.", reply: "`true`",
		},
		{
			method: "GET", pattern: p + "messages/{stream}", handle: messagesGet,
			doc: "Read messages of a stream, in order.",
			params: "consistency; `from=SEQ` (the oldest without it), `since=` an RFC 3339 time, `consumer=NAME` behind what it has acknowledged; `filter=` a pattern of topics; `limit=` (1,000; at most 10,000); " +
				"`index=` and `wait=` wait for messages; `follow` or `format=ndjson|sse` streams them, and with `follow` waits for more; sse heeds Last-Event-ID",
			reply: "`{\"messages\": [{\"seq\", \"time\", \"topic\", \"id\", \"headers\", \"data\" (base64)}], \"next\", \"lost\", \"last_seq\"}`: `next` is where to go on, `lost` how many from there on were no longer kept. " +
				"Streamed, a message a line, and lines `{\"control\": \"begin\"|\"heartbeat\"|\"end\", \"next\"}`, `{\"control\": \"gap\", \"lost\", \"next\"}`, `{\"control\": \"cut\", \"next\", \"error\"}`",
		},
		{
			method: "DELETE", pattern: p + "messages/{stream}", handle: messagesPurge,
			doc: "Delete messages of a stream; numbers go on.", params: "`up_to=SEQ` those up to it, all without it", reply: stream,
		},
		{
			method: "PUT", pattern: p + "consumers/{stream}", handle: consumerSet,
			doc: "Create a consumer, or set it anew.", params: "`name=`; `filter=` a pattern of topics; `acked=SEQ` where it stands (0: before the oldest), or `acked=last`", reply: "the consumer",
		},
		{
			method: "DELETE", pattern: p + "consumers/{stream}", handle: consumerDelete,
			doc: "Delete a consumer.", params: "`name=`", reply: "`true`",
		},
		{
			method: "POST", pattern: p + "ack/{stream}", handle: consumerAck,
			doc: "Acknowledge every message up to one. A place behind the consumer's changes nothing.", params: "`consumer=`; `seq=`", reply: "the consumer",
		},
	}
}

func streamList(c *call) error {
	o, err := c.query()
	if err != nil {
		return err
	}
	var rep structs.StreamListReply
	if err := c.rpc("Stream.List", &structs.StreamListRequest{QueryOptions: o}, &rep); err != nil {
		return err
	}
	c.meta(&rep.QueryMeta)
	bodies := make([]structs.StreamBody, len(rep.Streams))
	for i, s := range rep.Streams {
		bodies[i] = s.Body(nil)
	}
	return c.ok(bodies)
}

func streamGet(c *call) error {
	o, err := c.query()
	if err != nil {
		return err
	}
	var rep structs.StreamGetReply
	if err := c.rpc("Stream.Get", &structs.StreamGetRequest{QueryOptions: o, Name: c.param}, &rep); err != nil {
		return err
	}
	c.meta(&rep.QueryMeta)
	if rep.Stream == nil {
		return structs.Errorf(structs.KindNotFound, "there is no stream %q", shorten(c.param))
	}
	return c.ok(rep.Stream.Body(rep.Consumers))
}

// streamApply changes a stream or a consumer of it.
func (c *call) streamApply(req *structs.StreamRequest) (*structs.StreamReply, error) {
	req.WriteOptions = c.write()
	var rep structs.StreamReply
	if err := c.rpc("Stream.Apply", req, &rep); err != nil {
		return nil, err
	}
	c.index(rep.Index)
	return &rep, nil
}

func streamCreate(c *call) error { return c.setStream(structs.StreamCreate, "") }

func streamUpdate(c *call) error { return c.setStream(structs.StreamUpdate, c.param) }

func (c *call) setStream(op structs.StreamOp, name string) error {
	var in structs.StreamSettings
	if err := c.decode(&in); err != nil {
		return err
	}
	switch {
	case name == "":
		name = in.Name
	case in.Name != "" && in.Name != name:
		return invalid("a stream cannot be renamed: the body names %q", shorten(in.Name))
	}
	rep, err := c.streamApply(&structs.StreamRequest{Op: op, Stream: structs.Stream{Name: name, Limits: in.Limits()}})
	if err != nil {
		return err
	}
	return c.ok(rep.Stream.Body(nil))
}

func streamDelete(c *call) error {
	if _, err := c.streamApply(&structs.StreamRequest{Op: structs.StreamDelete, Stream: structs.Stream{Name: c.param}}); err != nil {
		return err
	}
	return c.ok(true)
}

func messagesPurge(c *call) error {
	upTo, given, err := c.uint("up_to")
	if err != nil {
		return err
	}
	if given && upTo == 0 {
		return invalid("up_to=0 names no message").WithHint("leave it out to delete all")
	}
	rep, err := c.streamApply(&structs.StreamRequest{Op: structs.StreamPurge, Stream: structs.Stream{Name: c.param}, Seq: upTo})
	if err != nil {
		return err
	}
	return c.ok(rep.Stream.Body(nil))
}

func consumerSet(c *call) error {
	consumer := structs.StreamConsumer{Name: c.params.Get("name"), Filter: c.params.Get("filter")}
	if c.params.Get("acked") == "last" {
		consumer.Acked = ^uint64(0) // the state takes the newest message for what is beyond
	} else {
		var err error
		if consumer.Acked, _, err = c.uint("acked"); err != nil {
			return err
		}
	}
	return c.changeConsumer(&structs.StreamRequest{Op: structs.StreamConsumerSet, Consumer: consumer})
}

func consumerAck(c *call) error {
	seq, given, err := c.uint("seq")
	if err != nil {
		return err
	}
	if !given {
		return invalid("missing seq: the number of the last message that is done")
	}
	return c.changeConsumer(&structs.StreamRequest{Op: structs.StreamAck, Consumer: structs.StreamConsumer{Name: c.params.Get("consumer")}, Seq: seq})
}

func (c *call) changeConsumer(req *structs.StreamRequest) error {
	req.Stream.Name = c.param
	rep, err := c.streamApply(req)
	if err != nil {
		return err
	}
	return c.ok(rep.Consumer.Body(rep.Stream))
}

func consumerDelete(c *call) error {
	req := &structs.StreamRequest{Op: structs.StreamConsumerDelete, Stream: structs.Stream{Name: c.param}, Consumer: structs.StreamConsumer{Name: c.params.Get("name")}}
	if _, err := c.streamApply(req); err != nil {
		return err
	}
	return c.ok(true)
}

// messagesLimit is how many messages a page has when nobody says.
const messagesLimit = 1000

func (c *call) streamReadRequest() (*structs.StreamReadRequest, error) {
	req := &structs.StreamReadRequest{Name: c.param, Consumer: c.params.Get("consumer"), Filter: c.params.Get("filter")}
	var err error
	if req.QueryOptions, err = c.query(); err != nil {
		return nil, err
	}
	if req.PerPage > 0 {
		return nil, invalid("messages are not read with per_page").WithHint("limit=N bounds them, and next of the reply is the from= of the next page")
	}
	if req.From, _, err = c.uint("from"); err != nil {
		return nil, err
	}
	limit, given, err := c.uint("limit")
	if err != nil {
		return nil, err
	}
	if req.Limit = messagesLimit; given {
		if limit == 0 || limit > structs.StreamReadMax {
			return nil, invalid("limit=%d is not from 1 to %d", limit, structs.StreamReadMax)
		}
		req.Limit = int(limit)
	}
	if text := c.params.Get("since"); text != "" {
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil || at.UnixNano() <= 0 {
			return nil, invalid("since=%q is no time such as %s", shorten(text), time.RFC3339)
		}
		req.Since = at.UnixNano()
	}
	return req, nil
}

func messagesGet(c *call) error {
	req, err := c.streamReadRequest()
	if err != nil {
		return err
	}
	sse, err := c.wantsEvents()
	if err != nil {
		return err
	}
	if sse || c.params.Get("format") == "ndjson" || c.flag("follow") {
		return c.feedMessages(req, sse)
	}
	var rep structs.StreamReadReply
	if err := c.rpc("Stream.Read", req, &rep); err != nil {
		return err
	}
	c.meta(&rep.QueryMeta)
	body := structs.MessagesBody{Messages: make([]structs.MessageBody, len(rep.Messages)), Next: rep.Next, Lost: rep.Lost, LastSeq: rep.Stream.LastSeq}
	for i, m := range rep.Messages {
		body.Messages[i] = m.Body()
	}
	return c.json(http.StatusOK, body)
}
