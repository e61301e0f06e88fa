package structs

import "time"

// This file holds the bodies of HTTP requests and replies about streams. They never travel between nodes.

// StreamSettings are what a stream is created or changed with; 0 and "0s" mean the defaults.
type StreamSettings struct {
	Name        string           `json:"name,omitempty"`
	MessagesMax int64            `json:"messages_max"`
	BytesMax    int64            `json:"bytes_max"`
	AgeMax      ReadableDuration `json:"age_max"`
	Dedupe      ReadableDuration `json:"dedupe"`
}

// Limits are the settings as the state has them.
func (s StreamSettings) Limits() StreamLimits {
	return StreamLimits{MessagesMax: s.MessagesMax, BytesMax: s.BytesMax, AgeMax: time.Duration(s.AgeMax), Dedupe: time.Duration(s.Dedupe)}
}

// StreamBody is a stream as /v1/pubsub/streams shows it.
type StreamBody struct {
	StreamSettings
	FirstSeq    uint64         `json:"first_seq"`
	LastSeq     uint64         `json:"last_seq"`
	Messages    int64          `json:"messages"`
	Bytes       int64          `json:"bytes"`
	LastTime    *time.Time     `json:"last_time,omitempty"`
	Consumers   []ConsumerBody `json:"consumers,omitempty"`
	CreateIndex uint64         `json:"create_index"`
	ModifyIndex uint64         `json:"modify_index"`
}

// ConsumerBody is a consumer as /v1/pubsub/consumers shows it.
type ConsumerBody struct {
	Name    string `json:"name"`
	Filter  string `json:"filter,omitempty"`
	Acked   uint64 `json:"acked"`
	Pending uint64 `json:"pending"` // messages behind Acked, those that the filter leaves out included
}

// Body is the stream as HTTP shows it.
func (s *Stream) Body(consumers []*StreamConsumer) StreamBody {
	b := StreamBody{
		StreamSettings: StreamSettings{Name: s.Name, MessagesMax: s.Limits.MessagesMax, BytesMax: s.Limits.BytesMax,
			AgeMax: ReadableDuration(s.Limits.AgeMax), Dedupe: ReadableDuration(s.Limits.Dedupe)},
		FirstSeq: s.FirstSeq, LastSeq: s.LastSeq, Messages: s.Count(), Bytes: s.Bytes, CreateIndex: s.CreateIndex, ModifyIndex: s.ModifyIndex,
	}
	if s.LastTime != 0 {
		at := time.Unix(0, s.LastTime).UTC()
		b.LastTime = &at
	}
	for _, c := range consumers {
		b.Consumers = append(b.Consumers, c.Body(s))
	}
	return b
}

// Body is the consumer as HTTP shows it.
func (c *StreamConsumer) Body(s *Stream) ConsumerBody {
	return ConsumerBody{Name: c.Name, Filter: c.Filter, Acked: c.Acked, Pending: s.LastSeq - max(c.Acked, s.FirstSeq-1)}
}

// MessageBody is a message of a stream. Publishers give topic, id, headers and data.
type MessageBody struct {
	Seq     uint64            `json:"seq,omitempty"`
	Time    *time.Time        `json:"time,omitempty"`
	Topic   string            `json:"topic"`
	ID      string            `json:"id,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Reply   string            `json:"reply,omitempty"`  // no stream keeps those
	Retain  bool              `json:"retain,omitempty"` // nor those
	Data    []byte            `json:"data"`             // base64
}

// Body is the message as HTTP shows it.
func (m *StreamMessage) Body() MessageBody {
	at := time.Unix(0, m.Time).UTC()
	b := MessageBody{Seq: m.Seq, Time: &at, Topic: m.Topic, ID: m.ID, Headers: m.Headers, Data: m.Data}
	if b.Data == nil {
		b.Data = []byte{} // "" rather than null
	}
	return b
}

// PublishedBody says where a message is.
type PublishedBody struct {
	Topic     string `json:"topic"`
	Stream    string `json:"stream,omitempty"` // "" = no stream keeps it
	Seq       uint64 `json:"seq"`
	Duplicate bool   `json:"duplicate,omitempty"`
}

// PublishedListBody answers a batch.
type PublishedListBody struct {
	Published int             `json:"published"` // duplicates not counted
	Messages  []PublishedBody `json:"messages"`
	Index     uint64          `json:"index,omitempty"` // 0 = no stream keeps them
}

// MessagesBody is a page of a stream.
type MessagesBody struct {
	Messages []MessageBody `json:"messages"`
	Next     uint64        `json:"next"` // where to go on
	Lost     uint64        `json:"lost,omitempty"`
	LastSeq  uint64        `json:"last_seq"`
}
