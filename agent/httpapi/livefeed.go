package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/debros/debros/agent/httpapi/sqljson"
	"github.com/debros/debros/structs"
)

func liveRoutes() []route {
	const p = "/v1/pubsub/"
	const line = "`{\"topic\", \"publisher\", \"epoch\", \"seq\", \"time\", \"headers\", \"reply\", \"retained\", \"data\" (base64)}`"
	return []route{
		{
			method: "GET", pattern: p + "subscribe", handle: subscribe,
			doc: "Receive the messages of topics as they are published. Each message of a publisher comes once and in order; what is missing is named.",
			params: "`topic=` a pattern (`*` one token, `>` the rest), again for more; `group=` shares the messages with all subscribers of that name and pattern; `presence` also says who subscribes; " +
				"`queue=` messages that may wait for this reader (16,384); `format=ndjson|sse|websocket`, which the Accept and Upgrade headers say too",
			reply: "A message a line, event or WebSocket text message: " + line + ". Between them `{\"control\": \"begin\", \"streams\"}` (streams keep these, and their messages do not come), `{\"control\": \"heartbeat\"}`, `{\"control\": \"gap\", \"publisher\", \"epoch\", \"from\", \"to\"}`, " +
				"`{\"control\": \"overflow\", \"dropped\"}`, `{\"control\": \"presence\", \"event\": \"join\"|\"leave\", \"subscriber\"}`, `{\"control\": \"cut\", \"error\"}`",
		},
		{
			method: "POST", pattern: p + "request/{topic}", handle: requestOne, plain: true,
			doc:    "Publish a message and wait for replies: a subscriber replies by publishing to the message's reply topic.",
			params: "`timeout=` (5s, at most 10m); `replies=` (1, at most 1,024)",
			body:   "as for publish",
			reply:  "a list of " + line,
		},
		{
			method: "GET", pattern: p + "topics", handle: topicList,
			doc:   "List the topics whose messages passed this agent in the last ten minutes, and the patterns that are subscribed to anywhere.",
			reply: "a list of `{\"topic\", \"subscribers\", \"messages\", \"rate\" (a second), \"last\"}`",
		},
		{
			method: "GET", pattern: p + "peers", handle: topicPeers,
			doc: "List who subscribes to what, in the whole cluster.", params: "`topic=` only those who would get a message of it",
			reply: "a list of `{\"agent\", \"topic\", \"group\", \"count\"}`",
		},
	}
}

// liveFeed gives a subscription to one reader.
type liveFeed struct {
	c   *call
	sub Subscription
	out feedWriter
	// kept are streams that keep topics of the subscription: their messages do not come.
	kept []string
}

// keptAmongWait bounds the wait for servers to say which topics are kept. A subscription needs none.
const keptAmongWait = 500 * time.Millisecond

func (c *call) keptAmong(by Caller, patterns []string) []string {
	ctx, cancel := context.WithTimeout(c.r.Context(), keptAmongWait)
	defer cancel()
	list, err := c.h.b.StreamsAmong(ctx, by, patterns)
	if err != nil {
		return nil
	}
	return list
}

// feedWriter is how lines go out.
type feedWriter interface {
	// begin answers the request.
	begin() error
	// message and control note a line; flush sends what was noted.
	message(line []byte)
	control(name string, line []byte)
	flush() error
	// end says goodbye.
	end()
}

// liveFlushBytes is about how much is noted before it is sent.
const liveFlushBytes = 64 << 10

func subscribe(c *call) error {
	by, err := c.caller()
	if err != nil {
		return err
	}
	opts := structs.SubscribeOptions{Patterns: c.params["topic"], Group: c.params.Get("group"), Presence: c.flag("presence")}
	if n, given, err := c.uint("queue"); err != nil {
		return err
	} else if given {
		if opts.QueueMessages = int(min(n, 1<<30)); n == 0 {
			return invalid("a queue of 0 messages")
		}
	}
	format, err := c.feedFormat()
	if err != nil {
		return err
	}
	release, err := c.h.watch(c)
	if err != nil {
		return err
	}
	defer release()
	sub, err := c.h.b.SubscribeMessages(c.r.Context(), by, opts)
	if err != nil {
		return err
	}
	defer sub.Close()
	f := &liveFeed{c: c, sub: sub, kept: c.keptAmong(by, opts.Patterns)}
	ctx := c.r.Context()
	if format == "websocket" {
		ws, err := c.upgrade()
		if err != nil {
			return err
		}
		defer ws.close()
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		go ws.listen(cancel)
		f.out = ws
	} else {
		f.out = &httpFeed{c: c, sse: format == "sse"}
	}
	return f.run(ctx)
}

// feedFormat is ndjson, sse or websocket.
func (c *call) feedFormat() (string, error) {
	upgrade := strings.EqualFold(c.r.Header.Get("Upgrade"), "websocket")
	switch format := c.params.Get("format"); {
	case format == "websocket" && !upgrade:
		return "", invalid("format=websocket is for a WebSocket handshake").WithHint("open ws://…; or format=ndjson, format=sse")
	case upgrade:
		return "websocket", nil
	case format == "ndjson" || format == "sse":
		return format, nil
	case format != "":
		return "", invalid("format=%q is not ndjson, sse or websocket", shorten(format))
	case strings.Contains(c.r.Header.Get("Accept"), "text/event-stream"):
		return "sse", nil
	}
	return "ndjson", nil
}

func (f *liveFeed) run(ctx context.Context) error {
	if err := f.out.begin(); err != nil {
		return err
	}
	f.control(liveControl{Control: "begin", Streams: f.kept})
	if err := f.out.flush(); err != nil {
		return err
	}
	for {
		wait, cancel := context.WithTimeout(ctx, f.c.h.changeHeartbeat)
		items, err := f.sub.Next(wait)
		cancel()
		switch {
		case err == nil:
			err = f.items(items)
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			f.control(liveControl{Control: "heartbeat"})
			err = f.out.flush()
		}
		if err != nil {
			return f.cut(ctx, err)
		}
	}
}

func (f *liveFeed) items(items []structs.MessageItem) error {
	n := 0
	for i := range items {
		if m := items[i].Message; m != nil {
			line := messageLine(m)
			f.out.message(line)
			n += len(line)
		} else {
			f.control(controlOf(&items[i]))
		}
		if n >= liveFlushBytes {
			if err := f.out.flush(); err != nil {
				return err
			}
			n = 0
		}
	}
	return f.out.flush()
}

func (f *liveFeed) control(l liveControl) {
	b, err := encodeJSON(l, "", "")
	if err != nil {
		f.c.h.log.Error("a line cannot be written as JSON", "request_id", f.c.id, "error", err)
		return
	}
	f.out.control(l.Control, b)
}

// cut ends a feed, and says why if somebody is there to read it.
func (f *liveFeed) cut(ctx context.Context, err error) error {
	if f.c.w.gone {
		return context.Canceled
	}
	e := structs.AsError(err)
	if ctx.Err() != nil {
		e = structs.Errorf(structs.KindUnavailable, "the agent is shutting down")
	}
	f.control(liveControl{Control: "cut", Error: sqljson.AppendError(nil, e)})
	_ = f.out.flush()
	f.out.end()
	return nil
}

// httpFeed writes lines, or events, into a reply.
type httpFeed struct {
	c   *call
	sse bool
	buf []byte
}

func (f *httpFeed) begin() error {
	kind := "application/x-ndjson"
	if f.sse {
		kind = "text/event-stream"
	}
	f.c.w.Header().Set("Content-Type", kind)
	f.c.w.WriteHeader(http.StatusOK)
	return nil
}

func (f *httpFeed) message(line []byte) {
	if !f.sse {
		f.buf = append(append(f.buf, line...), '\n')
		return
	}
	f.buf = append(append(append(f.buf, "data: "...), line...), "\n\n"...)
}

func (f *httpFeed) control(name string, line []byte) {
	if f.sse {
		f.buf = append(append(append(f.buf, "event: "...), name...), '\n')
	}
	f.message(line)
}

// flush sends what is in buf in pieces that even a slow reader takes in time.
func (f *httpFeed) flush() error {
	data := f.buf
	f.buf = f.buf[:0]
	return f.c.send(data, liveFlushBytes)
}

func (f *httpFeed) end() { f.c.clearDeadline() }

// liveRequestDefault and liveRequestMax bound the wait for replies.
const (
	liveRequestDefault = 5 * time.Second
	liveRequestMax     = 10 * time.Minute
)
