package structs

import (
	"sync/atomic"
	"time"
)

// This file holds live messages as an agent and its HTTP API exchange them. Between agents they travel in frames of agent/pubsub.

// Message is one live message. Readers share it and must not change it.
type Message struct {
	Topic     string
	Publisher NodeID // the agent that it was published at
	Epoch     uint64 // of the publisher: grows with each of its starts
	// Seq grows from message to message of one publisher and epoch, among the topics with the same first token at least. Numbers
	// between may be of other topics.
	Seq     uint64
	Time    time.Time // by the publisher's clock
	Headers map[string]string
	Data    []byte
	// Reply is the topic at which an answer is expected; "" = none is.
	Reply string
	// Retain makes the message the topic's last value, which later subscribers begin with; without data it ends that.
	Retain bool
	// Retained is set for a subscriber that began after the message was published.
	Retained bool

	line atomic.Pointer[[]byte]
}

// Line is the message as encode writes it. Where many subscribers get a message, it is written once; so encode must always
// write the same.
func (m *Message) Line(encode func(*Message) []byte) []byte {
	if p := m.line.Load(); p != nil {
		return *p
	}
	b := encode(m)
	m.line.Store(&b)
	return b
}

// Bytes is what a message counts.
func (m *Message) Bytes() int {
	n := len(m.Topic) + len(m.Reply) + len(m.Data)
	for k, v := range m.Headers {
		n += len(k) + len(v)
	}
	return n
}

// MessageGap says that messages of a publisher are lost to a subscription: some of Seq From to To (both included), as far as
// they were of its topics. Both are 0 where it is not known how many.
type MessageGap struct {
	Publisher NodeID
	Epoch     uint64
	From, To  uint64
}

// PresenceEvent says that the first subscription of a pattern and group came at an agent, or the last one went.
type PresenceEvent struct {
	Joined bool
	Subscriber
}

// Subscriber is subscriptions of one pattern and group at one agent.
type Subscriber struct {
	Agent   NodeID
	Pattern string
	Group   string
	Count   int
}

// MessageItem is what a subscription gets; one of its members is set.
type MessageItem struct {
	Message  *Message
	Gap      *MessageGap
	Overflow int // so many messages were dropped here, since the subscriber did not take them in time
	Presence *PresenceEvent
}

// SubscribeOptions say what a subscription is to get.
type SubscribeOptions struct {
	Patterns []string
	// Group shares the messages among all subscriptions of this name and the same pattern: one of them gets each.
	Group string
	// Presence asks who subscribes to topics that may be among these, and for a word whenever that changes.
	Presence bool
	// Quiet keeps others from being told of the subscription; it has no group then, and hears of no presence.
	Quiet bool
	// QueueMessages is how many messages may wait to be taken; 0 = the default.
	QueueMessages int
}

// TopicInfo is a topic with messages that passed this agent, or a pattern that somebody subscribes to.
type TopicInfo struct {
	Topic       string
	Subscribers int   // in the whole cluster, of exactly this pattern
	Messages    int64 // that passed this agent
	Rate        float64
	Last        time.Time // of the last message; zero = none
}
