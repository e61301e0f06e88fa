package httpapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/debros/debros/agent/httpapi/sqljson"
	"github.com/debros/debros/structs"
)

const (
	// changeHeartbeat is how often a feed says that it is alive; proxies cut what is silent for a minute.
	changeHeartbeat = 10 * time.Second
	// changeReaderTimeout is how long a reader may leave the buffer full before it is cut.
	changeReaderTimeout = 15 * time.Second
	// A feed has changeBatches batches of about changeBatchBytes in memory, and what is on the way through sockets.
	changeBatches    = 4
	changeBatchBytes = 32 << 10
	// changeWriteBytes is what a reader must take within streamWriteTimeout, or its connection is broken off.
	changeWriteBytes = 4 << 10
)

// changeFeed sends a feed to one reader. One goroutine takes it from a server, another one gives it to the reader; between
// them is a bounded queue. When it stays full the feed is cut behind what is in it.
type changeFeed struct {
	c       *call
	sse     bool
	tables  []string // nil = all
	batches chan changeBatch

	// Of the goroutine that takes, until batches is closed:
	begun bool
	buf   []byte
	at    structs.SQLPosition // behind what is in buf
	given structs.SQLPosition // behind what is in batches
	end   *structs.SQLChangesEnd
	err   error
}

// changeBatch is a piece of the feed; the first one has begin.
type changeBatch struct {
	begin *structs.SQLChangesBegin
	data  []byte
	at    structs.SQLPosition // behind it
}

func (f *changeFeed) run(req *structs.SQLChangesRequest) error {
	ctx, cancel := context.WithCancel(f.c.r.Context())
	go func() {
		defer close(f.batches)
		frames := structs.FrameWriter{Frame: func(payload []byte) error {
			var chunk structs.SQLChangesChunk
			if f.err = structs.Decode(payload, &chunk); f.err == nil {
				f.err = f.take(ctx, &chunk)
			}
			return f.err
		}}
		err := f.c.h.b.Stream(ctx, "SQL.Changes", req, nil, &frames)
		switch {
		case f.err != nil: // ours; what it became on its way through the stream is not told to anybody
		case err != nil:
			f.err = err
		case f.end == nil:
			f.err = structs.Errorf(structs.KindUnavailable, "the server broke off its answer")
		}
	}()
	err := f.give()
	cancel()
	for range f.batches { // until the other goroutine has ended
	}
	return err
}

// take turns a chunk into batches.
func (f *changeFeed) take(ctx context.Context, chunk *structs.SQLChangesChunk) error {
	if !f.begun {
		if chunk.Begin == nil {
			return structs.Errorf(structs.KindInternal, "a feed of changes has no beginning")
		}
		f.begun, f.at = true, chunk.Begin.From
		if err := f.push(ctx, chunk.Begin); err != nil {
			return err
		}
	}
	for i := range chunk.Runs {
		err := chunk.Runs[i].Each(func(change *structs.SQLChange) (err error) {
			wanted := func(table string) bool { return strings.EqualFold(table, change.TableName()) }
			if f.at = change.At; f.tables == nil || slices.ContainsFunc(f.tables, wanted) {
				if f.buf, err = f.appendChange(f.buf, change); err != nil {
					return err
				}
			}
			if len(f.buf) < changeBatchBytes {
				return nil
			}
			return f.push(ctx, nil)
		})
		if err != nil {
			return err
		}
	}
	f.end = chunk.End
	if f.at == f.given {
		return nil
	}
	return f.push(ctx, nil)
}

var errSlowReader = structs.Errorf(structs.KindRateLimited, "the reader is too slow: the feed was cut").
	WithHint("go on from the position of this line")

// push hands on what is in buf.
func (f *changeFeed) push(ctx context.Context, begin *structs.SQLChangesBegin) error {
	b := changeBatch{begin: begin, data: f.buf, at: f.at}
	f.buf = nil
	select {
	case f.batches <- b:
		f.given = f.at
		return nil
	default:
	}
	full := time.NewTimer(f.c.h.changeReaderTimeout)
	defer full.Stop()
	select {
	case f.batches <- b:
		f.given = f.at
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-full.C:
		return errSlowReader
	}
}

// give sends batches to the reader until there are no more.
func (f *changeFeed) give() error {
	first, ok := <-f.batches
	if !ok {
		return f.err
	}
	at := first.at
	if err := f.begin(first.begin); err != nil {
		return err
	}
	heartbeat := time.NewTicker(f.c.h.changeHeartbeat)
	defer heartbeat.Stop()
	for {
		var data []byte
		select {
		case b, more := <-f.batches:
			if !more {
				return f.finish(at)
			}
			data, at = b.data, b.at
		case <-heartbeat.C:
			data = f.appendControl(nil, "heartbeat", at, nil)
		}
		if err := f.write(data); err != nil {
			return err
		}
	}
}

func (f *changeFeed) begin(b *structs.SQLChangesBegin) error {
	f.c.meta(&b.QueryMeta)
	kind := "application/x-ndjson"
	if f.sse {
		kind = "text/event-stream"
	}
	f.c.w.Header().Set("Content-Type", kind)
	f.c.w.WriteHeader(http.StatusOK)
	// The reader learns that it is heard, and where, before the first change.
	return f.write(f.appendControl(nil, "begin", b.From, nil))
}

// finish writes the last line.
func (f *changeFeed) finish(at structs.SQLPosition) error {
	if f.err == nil {
		err := f.write(f.appendControl(nil, "end", at, nil))
		f.c.clearDeadline()
		return err
	}
	e := structs.AsError(f.err)
	switch {
	case f.c.r.Context().Err() != nil: // the reader is gone, or the agent stops
		e = structs.Errorf(structs.KindUnavailable, "the agent is shutting down")
	case e.Kind == structs.KindInternal:
		f.c.h.log.Error("feed of changes failed", "request_id", f.c.id, "error", f.err)
	}
	return f.write(f.appendControl(nil, "cut", at, e))
}

// write sends data in pieces that even a slow reader takes in time.
func (f *changeFeed) write(data []byte) error {
	return f.c.send(data, changeWriteBytes)
}

func (f *changeFeed) appendChange(b []byte, change *structs.SQLChange) ([]byte, error) {
	if f.sse {
		b = append(change.At.AppendTo(append(b, "id: "...)), "\ndata: "...)
	}
	b, err := sqljson.AppendChange(b, change)
	return f.endLine(b), err
}

func (f *changeFeed) appendControl(b []byte, control string, at structs.SQLPosition, e *structs.Error) []byte {
	if f.sse {
		b = append(append(b, "event: "...), control...)
		b = append(at.AppendTo(append(b, "\nid: "...)), "\ndata: "...)
	}
	b = append(append(append(b, `{"control":"`...), control...), `","at":"`...)
	b = append(at.AppendTo(b), '"')
	if e != nil {
		b = sqljson.AppendError(append(b, `,"error":`...), e)
	}
	if control == "end" && f.end != nil {
		b = structs.SQLPosition{Index: f.end.Index, Seq: structs.SQLWholeEntry}.AppendTo(append(b, `,"index":`...))
	}
	return f.endLine(append(b, '}'))
}

func (f *changeFeed) endLine(b []byte) []byte {
	if f.sse {
		b = append(b, '\n') // an event ends with an empty line
	}
	return append(b, '\n')
}
