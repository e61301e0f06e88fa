package api

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Streams are durable topics. What is published to the topic that a stream is named by, and to the topics below it
// ("orders" and "orders.eu"), goes through Raft, gets the next number and is kept until the stream's limits take it away.
type Streams struct{ c *Client }

// Streams returns the durable topics of the client's namespace.
func (c *Client) Streams() *Streams { return &Streams{c} }

// StreamSettings say what a stream keeps. When it has more, the oldest messages go. 0 is the default.
type StreamSettings struct {
	MessagesMax int64    `json:"messages_max,omitempty"` // 100,000
	BytesMax    int64    `json:"bytes_max,omitempty"`    // 64 MiB
	AgeMax      Duration `json:"age_max,omitempty"`      // no limit
	Dedupe      Duration `json:"dedupe,omitempty"`       // for how long the ids of messages are remembered; 2 minutes
}

// Stream is a durable topic.
type Stream struct {
	Name string `json:"name"`
	StreamSettings
	FirstSeq    uint64           `json:"first_seq"` // of the oldest message that is kept; LastSeq+1 when none is
	LastSeq     uint64           `json:"last_seq"`  // of the newest message ever; 0 before the first
	Messages    int64            `json:"messages"`
	Bytes       int64            `json:"bytes"`
	LastTime    time.Time        `json:"last_time"`
	Consumers   []StreamConsumer `json:"consumers"` // of Get only
	CreateIndex uint64           `json:"create_index"`
	ModifyIndex uint64           `json:"modify_index"`
}

// StreamConsumer is a reader's place in a stream. It moves by Ack only.
type StreamConsumer struct {
	Name    string `json:"name"`
	Filter  string `json:"filter"`  // a pattern of topics; "" = every one
	Acked   uint64 `json:"acked"`   // every message up to this one is done
	Pending uint64 `json:"pending"` // messages behind it, those that Filter leaves out included
}

// Message is a message of a stream or of a live topic. One to be published has Topic, Headers and Data, and ID for a stream or Reply and
// Retain for a live topic.
type Message struct {
	// Seq is its number in its stream, or grows with the messages of one publisher and epoch.
	Seq   uint64    `json:"seq,omitempty"`
	Time  time.Time `json:"time,omitzero"`
	Topic string    `json:"topic"`
	// ID is the publisher's: a message is not kept twice while the stream remembers its id. Publish makes one when there is none.
	ID      string            `json:"id,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Data    []byte            `json:"data"`

	// Of live topics:

	Publisher string `json:"publisher,omitempty"` // id of the agent that it was published at
	Epoch     uint64 `json:"epoch,omitempty"`     // of the publisher: grows with each of its starts
	Reply     string `json:"reply,omitempty"`     // the topic at which an answer is expected; "" = none is
	// Retain makes it the topic's last value, which later subscribers begin with; without data it ends that.
	Retain   bool `json:"retain,omitempty"`
	Retained bool `json:"retained,omitempty"` // it was published before the subscription began
}

// Published says where a message is.
type Published struct {
	Topic     string `json:"topic"`
	Stream    string `json:"stream"` // "" = it went to subscribers alone
	Seq       uint64 `json:"seq"`
	Duplicate bool   `json:"duplicate"` // it was there already
}

func streamPath(group, name string) string { return "/v1/pubsub/" + group + "/" + url.PathEscape(name) }

// Create makes a stream. ErrConflict: there is one of that name.
func (s *Streams) Create(ctx context.Context, name string, settings StreamSettings, o *WriteOptions) (*Stream, *WriteMeta, error) {
	return s.change(ctx, s.c.newRequest(http.MethodPost, "/v1/pubsub/streams"), struct {
		Name string `json:"name"`
		StreamSettings
	}{name, settings}, o)
}

// Update changes what a stream keeps, at once.
func (s *Streams) Update(ctx context.Context, name string, settings StreamSettings, o *WriteOptions) (*Stream, *WriteMeta, error) {
	return s.change(ctx, s.c.newRequest(http.MethodPatch, streamPath("streams", name)), settings, o)
}

// Purge deletes the messages up to a number, 0 = all. Numbers go on.
func (s *Streams) Purge(ctx context.Context, name string, upTo uint64, o *WriteOptions) (*Stream, *WriteMeta, error) {
	r := s.c.newRequest(http.MethodDelete, streamPath("messages", name))
	if upTo > 0 {
		r.params.Set("up_to", strconv.FormatUint(upTo, 10))
	}
	return s.change(ctx, r, nil, o)
}

func (s *Streams) change(ctx context.Context, r *request, body any, o *WriteOptions) (*Stream, *WriteMeta, error) {
	if body != nil {
		if err := r.json(body); err != nil {
			return nil, nil, err
		}
	}
	out := &Stream{}
	m, err := s.c.put(ctx, r, o, out)
	if err != nil {
		return nil, m, err
	}
	return out, m, nil
}

// Delete deletes a stream with its messages and consumers.
func (s *Streams) Delete(ctx context.Context, name string, o *WriteOptions) (*WriteMeta, error) {
	return s.c.put(ctx, s.c.newRequest(http.MethodDelete, streamPath("streams", name)), o, nil)
}

// Get reads a stream with its consumers; nil when it does not exist.
func (s *Streams) Get(ctx context.Context, name string, o *QueryOptions) (*Stream, *QueryMeta, error) {
	out := &Stream{}
	found, m, err := s.c.get(ctx, streamPath("streams", name), o, out)
	if err != nil || !found {
		return nil, m, err
	}
	return out, m, nil
}

// List reads the streams of the namespace.
func (s *Streams) List(ctx context.Context, o *QueryOptions) ([]*Stream, *QueryMeta, error) {
	var out []*Stream
	_, m, err := s.c.get(ctx, "/v1/pubsub/streams", o, &out)
	return out, m, err
}

// Publish publishes messages, all or none, in order, and returns when a majority of the servers has them. Each has an id, its own or
// one made here, so that the request is repeated without fear after an answer that was lost.
func (s *Streams) Publish(ctx context.Context, o *WriteOptions, messages ...Message) ([]Published, *WriteMeta, error) {
	var body []byte
	for _, m := range messages {
		if m.ID == "" {
			m.ID = rand.Text()
		}
		line, err := json.Marshal(m)
		if err != nil {
			return nil, nil, errorf(KindInvalid, "message to %q: %v", m.Topic, err)
		}
		body = append(append(body, line...), '\n')
	}
	r := s.c.newRequest(http.MethodPost, "/v1/pubsub/publish")
	r.params.Set("durable", "")
	r.body, r.contentType = body, "application/x-ndjson"
	r.repeatable = true
	var out struct {
		Messages []Published `json:"messages"`
	}
	m, err := s.c.put(ctx, r, o, &out)
	return out.Messages, m, err
}

// SetConsumer creates a consumer or sets it anew: it stands behind the message acked, 0 = before the oldest.
func (s *Streams) SetConsumer(ctx context.Context, stream string, c StreamConsumer, o *WriteOptions) (*StreamConsumer, *WriteMeta, error) {
	r := s.c.newRequest(http.MethodPut, streamPath("consumers", stream))
	set(r.params, "name", c.Name)
	set(r.params, "filter", c.Filter)
	r.params.Set("acked", strconv.FormatUint(c.Acked, 10))
	r.repeatable = true
	return s.consumer(ctx, r, o)
}

// Ack says that every message up to seq is done. A number behind the consumer's changes nothing.
func (s *Streams) Ack(ctx context.Context, stream, consumer string, seq uint64, o *WriteOptions) (*StreamConsumer, *WriteMeta, error) {
	r := s.c.newRequest(http.MethodPost, streamPath("ack", stream))
	set(r.params, "consumer", consumer)
	r.params.Set("seq", strconv.FormatUint(seq, 10))
	r.repeatable = true
	return s.consumer(ctx, r, o)
}

func (s *Streams) consumer(ctx context.Context, r *request, o *WriteOptions) (*StreamConsumer, *WriteMeta, error) {
	out := &StreamConsumer{}
	m, err := s.c.put(ctx, r, o, out)
	if err != nil {
		return nil, m, err
	}
	return out, m, nil
}

// DeleteConsumer deletes a consumer.
func (s *Streams) DeleteConsumer(ctx context.Context, stream, consumer string, o *WriteOptions) (*WriteMeta, error) {
	r := s.c.newRequest(http.MethodDelete, streamPath("consumers", stream))
	set(r.params, "name", consumer)
	return s.c.put(ctx, r, o, nil)
}
