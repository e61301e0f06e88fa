package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"time"
)

// MessageFeedOptions say which messages of a stream a feed has.
type MessageFeedOptions struct {
	From     uint64    // the number of the first one; 0 = the oldest that is kept
	Since    time.Time // not older ones only
	Consumer string    // behind what this consumer has acknowledged, of the topics that it wants
	Filter   string    // a pattern of topics; "" = every one, or the consumer's
	// Follow waits for more at the end.
	Follow bool
	// Query says how the agent reads, and where; Index, PerPage and NextToken do not apply.
	Query *QueryOptions
}

// MessageFeed reads the messages of a stream in order. Every agent gives the same ones.
type MessageFeed struct {
	s      *Streams
	stream string
	o      MessageFeedOptions
	next   uint64
	lost   uint64
}

// Messages makes a feed; All reads it.
func (s *Streams) Messages(stream string, o MessageFeedOptions) *MessageFeed {
	return &MessageFeed{s: s, stream: stream, o: o, next: o.From}
}

// Next is the number at which the feed goes on. It belongs to the goroutine that reads.
func (f *MessageFeed) Next() uint64 { return f.next }

// Lost is how many messages were no longer kept when the feed came to them.
func (f *MessageFeed) Lost() uint64 { return f.lost }

// All yields the messages, and goes on where it was when it is ranged over again. It ends with ctx, without an error, and where
// nothing is to be followed at the end of what there is. Messages that are no longer kept when the feed comes to them are counted in Lost.
//
// An error is yielded with a nil message. If it may pass (ErrUnavailable, ErrNoLeader …) and the caller's loop goes on, All tries again
// after a growing pause, and nothing is lost or comes twice; any other ends the loop.
func (f *MessageFeed) All(ctx context.Context) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		for failures := 0; ctx.Err() == nil; failures++ {
			before := f.next
			more, err := f.read(ctx, func(m *Message) bool { return yield(m, nil) })
			if !more || ctx.Err() != nil {
				return
			}
			if f.next != before {
				failures = 0
			}
			if !yield(nil, err) || !temporary(err) || sleep(ctx, f.s.c.retry.pause(failures)) != nil {
				return
			}
		}
	}
}

// read opens the feed and reads it until it breaks off. more is false at its end, or when the caller wants no more.
func (f *MessageFeed) read(ctx context.Context, yield func(*Message) bool) (more bool, err error) {
	silence := &Error{Kind: KindUnavailable, Message: fmt.Sprintf("the agent at %s has said nothing for %s", f.s.c.base.Host, feedSilenceMax)}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(feedSilenceMax, func() { cancel(silence) })
	defer watchdog.Stop()

	reply, err := f.s.c.send(ctx, f.request())
	if err != nil {
		return true, err
	}
	defer reply.Body.Close()
	in := lineReader{c: f.s.c, ctx: ctx, in: bufio.NewReaderSize(reply.Body, 64<<10)}
	for {
		watchdog.Reset(feedSilenceMax)
		line, err := in.line()
		watchdog.Stop() // a caller that takes its time is no silence of the agent
		if err != nil {
			if context.Cause(ctx) == error(silence) {
				err = silence
			}
			return true, err
		}
		more, err := f.line(&in, line, yield)
		if !more || err != nil {
			return more, err
		}
	}
}

func (f *MessageFeed) request() *request {
	r := f.s.c.newRequest(http.MethodGet, streamPath("messages", f.stream))
	r.query(f.o.Query)
	r.params.Set("format", "ndjson")
	set(r.params, "consumer", f.o.Consumer)
	set(r.params, "filter", f.o.Filter)
	if f.next > 0 {
		r.params.Set("from", strconv.FormatUint(f.next, 10))
	}
	if !f.o.Since.IsZero() {
		r.params.Set("since", f.o.Since.UTC().Format(time.RFC3339Nano))
	}
	if f.o.Follow {
		r.params.Set("follow", "")
	}
	r.streaming = true
	return r
}

func (f *MessageFeed) line(in *lineReader, line []byte, yield func(*Message) bool) (more bool, err error) {
	var b struct {
		Message
		Control string     `json:"control"`
		Next    uint64     `json:"next"`
		Lost    uint64     `json:"lost"`
		Error   *errorBody `json:"error"`
	}
	if err := json.Unmarshal(line, &b); err != nil {
		return true, in.broken(err)
	}
	if b.Control == "" {
		if b.Seq == 0 {
			return true, in.broken(errors.New("a message has no number"))
		}
		f.next = b.Seq + 1
		return yield(&b.Message), nil
	}
	f.next = max(f.next, b.Next)
	f.lost += b.Lost
	switch b.Control {
	case "end":
		return false, nil
	case "cut":
		if b.Error == nil {
			return true, in.broken(errors.New("it was cut for no reason"))
		}
		return true, b.Error.err()
	}
	return true, nil
}
