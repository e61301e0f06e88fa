package structs

import "time"

// Bounds of a stream and of what is published to it.
const (
	// StreamBytesDefault and StreamMessagesDefault are kept when nobody said how much.
	StreamBytesDefault    = 64 << 20
	StreamMessagesDefault = 100_000
	// StreamBytesMax and StreamMessagesMax are the most that may be asked for: all of it is in memory on every server.
	StreamBytesMax    = 1 << 30
	StreamMessagesMax = 1_000_000
	// StreamDedupeDefault is for how long the ids of messages are remembered.
	StreamDedupeDefault = 2 * time.Minute
	StreamDedupeMax     = 24 * time.Hour
	// MessageBytesMax bounds the topic, id, headers and data of a message, and PublishMessagesMax, PublishBytesMax one request.
	MessageBytesMax    = 512 << 10
	MessageIDBytesMax  = 255
	MessageHeadersMax  = 64
	PublishMessagesMax = 1000
	PublishBytesMax    = 1 << 20
	// StreamReadMax and StreamReadBytesMax bound the messages of one reply.
	StreamReadMax      = 10_000
	StreamReadBytesMax = 4 << 20
)

// StreamLimits say what a stream keeps. When it has more, the oldest messages go.
type StreamLimits struct {
	MessagesMax int64         // 0 = StreamMessagesDefault
	BytesMax    int64         // of topics, ids, headers and data; 0 = StreamBytesDefault
	AgeMax      time.Duration `codec:",omitempty"` // 0 = no limit
	Dedupe      time.Duration `codec:",omitempty"` // how long ids are remembered; 0 = StreamDedupeDefault
}

// Stream is a durable topic: what is published to it and to the topics below it goes through Raft and is kept, numbered
// from 1, until its limits take it away.
type Stream struct {
	Namespace   Namespace `codec:",omitempty"`
	Name        string    // a topic
	Limits      StreamLimits
	FirstSeq    uint64 // of the oldest message that is kept; LastSeq+1 when none is
	LastSeq     uint64 // of the newest message ever; 0 before the first
	LastTime    int64  `codec:",omitempty"` // of that message, Unix nanoseconds
	Bytes       int64  // of the messages that are kept
	CreateIndex uint64
	ModifyIndex uint64
}

// Count is how many messages are kept.
func (s *Stream) Count() int64 { return int64(s.LastSeq + 1 - s.FirstSeq) }

// StreamMessage is a message of a stream. Publishers give Topic, ID, Headers and Data.
type StreamMessage struct {
	Namespace Namespace         `codec:",omitempty"`
	Stream    string            `codec:",omitempty"`
	Seq       uint64            `codec:",omitempty"`
	Time      int64             `codec:",omitempty"` // of the entry, Unix nanoseconds
	Topic     string            // the stream's, or below it
	ID        string            `codec:",omitempty"` // chosen by the publisher: a message is not kept twice
	Headers   map[string]string `codec:",omitempty"`
	Data      []byte
}

// Bytes is what a message counts.
func (m *StreamMessage) Bytes() int64 {
	if m == nil {
		return 0
	}
	n := len(m.Topic) + len(m.ID) + len(m.Data)
	for k, v := range m.Headers {
		n += len(k) + len(v)
	}
	return int64(n)
}

// StreamPublication remembers the id of a message for a while, also when the message is gone.
type StreamPublication struct {
	Namespace Namespace
	Stream    string
	ID        string
	Seq       uint64
	Time      int64
}

// StreamConsumer is a reader's place in a stream. It moves by acknowledgement only.
type StreamConsumer struct {
	Namespace   Namespace `codec:",omitempty"`
	Stream      string
	Name        string
	Filter      string `codec:",omitempty"` // a pattern; "" = every topic
	Acked       uint64 // every message up to this one is done
	CreateIndex uint64
	ModifyIndex uint64
}

// StreamOp is what a StreamRequest does.
type StreamOp string

const (
	StreamCreate         StreamOp = "create"
	StreamUpdate         StreamOp = "update" // of the limits
	StreamDelete         StreamOp = "delete" // with messages and consumers
	StreamPurge          StreamOp = "purge"  // its messages up to Seq, 0 = all
	StreamTrim           StreamOp = "trim"   // what is older than AgeMax, of every stream; the leader's
	StreamConsumerSet    StreamOp = "consumer-set"
	StreamConsumerDelete StreamOp = "consumer-delete"
	StreamAck            StreamOp = "ack" // Consumer.Acked moves up to Seq, never back
)

// StreamRequest changes a stream or a consumer ("Stream.Apply"; CommandStream). The FSM's Reply is StreamReply.
type StreamRequest struct {
	WriteOptions
	Op       StreamOp
	Stream   Stream         // Name always; Limits as the operation needs
	Consumer StreamConsumer `codec:",omitempty"`
	Seq      uint64         `codec:",omitempty"`
}

// ConflictKeys implements Conflicter: nobody compares the index of these rows, so they may share an entry.
func (r *StreamRequest) ConflictKeys() []string {
	switch r.Op {
	case StreamAck, StreamConsumerSet, StreamConsumerDelete:
		return []string{"consumer/" + string(r.Namespace) + "/" + r.Stream.Name + "/" + r.Consumer.Name}
	}
	return nil
}

// StreamReply answers a StreamRequest with the rows as they are then; nil when they are gone.
type StreamReply struct {
	WriteMeta
	Stream   *Stream         `codec:",omitempty"`
	Consumer *StreamConsumer `codec:",omitempty"`
}

// StreamPublishRequest publishes messages, all or none, in order ("Stream.Publish"; CommandPublish). Each goes to the stream with
// the longest name that holds its topic. The FSM's Reply is StreamPublishReply.
type StreamPublishRequest struct {
	WriteOptions
	Messages []StreamMessage
}

// ConflictKeys implements Conflicter: messages are only added, so requests share entries.
func (r *StreamPublishRequest) ConflictKeys() []string { return []string{} }

// StreamPublished says where a message is.
type StreamPublished struct {
	Stream    string
	Seq       uint64
	Duplicate bool `codec:",omitempty"` // it was there already
}

// StreamPublishReply has one item for each message, in order.
type StreamPublishReply struct {
	WriteMeta
	Published []StreamPublished
}

// StreamGetRequest reads one stream ("Stream.Get").
type StreamGetRequest struct {
	QueryOptions
	Name string
}

// StreamGetReply has nil when there is no such stream. Consumers are by name.
type StreamGetReply struct {
	QueryMeta
	Stream    *Stream
	Consumers []*StreamConsumer
}

// StreamListRequest reads the streams of a namespace ("Stream.List").
type StreamListRequest struct{ QueryOptions }

// StreamListReply is by name.
type StreamListReply struct {
	QueryMeta
	Streams []*Stream
}

// StreamReadRequest reads messages ("Stream.Read"): from a number, from a time, or behind what a consumer has acknowledged. With
// Index it waits until there are some.
type StreamReadRequest struct {
	QueryOptions
	Name     string
	From     uint64 `codec:",omitempty"` // 0 = the oldest
	Since    int64  `codec:",omitempty"` // Unix nanoseconds; the first message that is not older
	Consumer string `codec:",omitempty"`
	Filter   string `codec:",omitempty"` // a pattern; "" = the consumer's, or every topic
	Limit    int    `codec:",omitempty"` // 0 = StreamReadMax
}

// StreamReadReply has messages in order. Next is where to go on, whatever the filter left out.
type StreamReadReply struct {
	QueryMeta
	Stream   *Stream
	Messages []*StreamMessage
	Next     uint64
	// Lost is how many messages from where the reader asked are no longer kept.
	Lost uint64 `codec:",omitempty"`
}
