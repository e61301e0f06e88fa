package pubsub

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/debros/debros/structs"
)

// Message is one message. Receivers share it and must not change it.
type Message struct {
	Topic     string
	Publisher peer.ID // the agent that it was published at
	Epoch     uint64  // of the publisher: grows with each of its starts
	// Seq grows from message to message of one publisher, epoch and carrier. Numbers between belong to other topics of the carrier.
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

	groups []chosen
	frame  *frame        // its own, of a message that is retained
	sent   chan struct{} // closed when it was handed to the mesh; nil = nobody waits
}

// chosen is the agent whose member of a group gets a message: the publisher's agent decides, so that exactly one does.
type chosen struct {
	group groupKey
	agent peer.ID
}

// messageOverhead is what a message takes beside its texts, in queues and frames.
const messageOverhead = 64

func (m *Message) size() int {
	n := messageOverhead + len(m.Topic) + len(m.Reply) + len(m.Data)
	for k, v := range m.Headers {
		n += len(k) + len(v)
	}
	for _, c := range m.groups {
		n += len(c.group.pattern) + len(c.group.name) + len(c.agent)
	}
	return n
}

// check says what is wrong with a message that is to be published.
func (m *Message) check(bytesMax int) error {
	if err := structs.CheckTopic(m.Topic); err != nil {
		return err
	}
	if m.Reply != "" {
		if err := structs.CheckTopic(m.Reply); err != nil {
			return err
		}
	}
	if err := structs.CheckHeaders(m.Headers); err != nil {
		return err
	}
	if n := m.size() - messageOverhead; n > bytesMax {
		return structs.Errorf(structs.KindTooLarge, "the message has %d bytes; the limit is %d", n, bytesMax).
			WithHint("put what is large elsewhere (a key, a row) and publish where it is")
	}
	return nil
}

// Gap says that messages of a publisher are lost to this subscription: some of Seq From to To (both included), as far as
// they were of its topics. To is 0 where it is not known how many.
type Gap struct {
	Publisher peer.ID
	Epoch     uint64
	From, To  uint64
}

// Presence says that a subscription came or went.
type Presence struct {
	Joined  bool
	Agent   peer.ID
	Pattern string
	Group   string
}

// Item is what a subscription gets; one of its members is set.
type Item struct {
	Message  *Message
	Gap      *Gap
	Overflow int // so many messages were dropped here, since the subscriber did not take them in time
	Presence *Presence
}
