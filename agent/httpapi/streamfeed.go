package httpapi

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/debros/debros/structs"
)

// messageFeed streams the messages of a stream to one reader. It asks for the next ones when the reader has taken those before, so a
// slow reader holds nothing up and costs no more than one page; what is no longer kept by then it is told of as a gap.
type messageFeed struct {
	c    *call
	sse  bool
	buf  []byte
	next uint64
}

// messageControl is a line that is no message.
type messageControl struct {
	Control string         `json:"control"`
	Next    uint64         `json:"next"`
	Lost    uint64         `json:"lost,omitempty"`
	Error   *structs.Error `json:"error,omitempty"`
}

func (c *call) feedMessages(req *structs.StreamReadRequest, sse bool) error {
	if req.Index > 0 {
		return invalid("a feed does not take index").WithHint("from=SEQ is where it begins, follow waits for more")
	}
	follow := sse || c.flag("follow")
	if id := c.r.Header.Get("Last-Event-ID"); sse && id != "" {
		last, err := strconv.ParseUint(id, 10, 64)
		if err != nil {
			return invalid("Last-Event-ID %q is no number of a message", shorten(id))
		}
		req.From = last + 1
	}
	release, err := c.h.watch(c)
	if err != nil {
		return err
	}
	defer release()
	f := &messageFeed{c: c, sse: sse}
	return f.run(req, follow)
}

func (f *messageFeed) run(req *structs.StreamReadRequest, follow bool) error {
	ctx := f.c.r.Context()
	begun := false
	for {
		var rep structs.StreamReadReply
		if err := f.c.h.b.RPC(ctx, "Stream.Read", req, &rep); err != nil {
			if !begun {
				return err
			}
			return f.cut(err)
		}
		if !begun {
			begun = true
			f.c.meta(&rep.QueryMeta)
			f.begin()
			f.control(messageControl{Control: "begin", Next: max(req.From, rep.Next-uint64(len(rep.Messages)))})
		}
		f.next = rep.Next
		f.messages(&rep)
		done := !follow && rep.Next > rep.Stream.LastSeq
		switch {
		case done:
			f.control(messageControl{Control: "end", Next: f.next})
		case req.Index > 0 && len(rep.Messages) == 0:
			f.control(messageControl{Control: "heartbeat", Next: f.next})
		}
		if err := f.write(); err != nil || done {
			f.c.clearDeadline()
			return err
		}
		// What was asked for once holds for the rest: later reads go on from there, and wait where there is nothing yet.
		req.From, req.Since, req.Index, req.Wait = rep.Next, 0, 0, 0
		if follow && rep.Next > rep.Stream.LastSeq {
			req.Index, req.Wait = rep.Index, f.c.h.changeHeartbeat
		}
	}
}

func (f *messageFeed) begin() {
	kind := "application/x-ndjson"
	if f.sse {
		kind = "text/event-stream"
	}
	f.c.w.Header().Set("Content-Type", kind)
	f.c.w.WriteHeader(http.StatusOK)
}

func (f *messageFeed) messages(rep *structs.StreamReadReply) {
	if rep.Lost > 0 {
		f.control(messageControl{Control: "gap", Lost: rep.Lost, Next: rep.Next - uint64(len(rep.Messages))})
	}
	for _, m := range rep.Messages {
		if f.sse {
			f.buf = append(strconv.AppendUint(append(f.buf, "id: "...), m.Seq, 10), '\n')
		}
		f.line(m.Body())
	}
}

func (f *messageFeed) control(line messageControl) {
	if f.sse {
		f.buf = append(append(append(f.buf, "event: "...), line.Control...), '\n')
	}
	f.line(line)
}

func (f *messageFeed) line(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		f.c.h.log.Error("a message cannot be written as JSON", "request_id", f.c.id, "error", err)
		return
	}
	if f.sse {
		f.buf = append(f.buf, "data: "...)
		b = append(b, '\n') // an event ends with an empty line
	}
	f.buf = append(append(f.buf, b...), '\n')
}

// cut ends a feed that has begun, and says why.
func (f *messageFeed) cut(err error) error {
	e := structs.AsError(err)
	switch {
	case f.c.r.Context().Err() != nil: // the reader is gone, or the agent stops
		e = structs.Errorf(structs.KindUnavailable, "the agent is shutting down")
	case e.Kind == structs.KindInternal:
		f.c.h.log.Error("feed of messages failed", "request_id", f.c.id, "error", err)
	}
	f.control(messageControl{Control: "cut", Next: f.next, Error: e})
	return f.write()
}

// write sends what is in buf in pieces that even a slow reader takes in time.
func (f *messageFeed) write() error {
	data := f.buf
	f.buf = f.buf[:0]
	return f.c.send(data, changeWriteBytes)
}
