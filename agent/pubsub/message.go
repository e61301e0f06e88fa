package pubsub

import (
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/debros/debros/structs"
)

// message is one message on its way.
type message struct {
	structs.Message
	publisher peer.ID
	groups    []chosen
	frame     *frame        // its own, of a message that is retained
	sent      chan struct{} // closed when it was handed to the mesh; nil = nobody waits
}

// newMessage is a message that a publisher has handed in.
func newMessage(m *structs.Message) *message {
	out := &message{}
	out.Topic, out.Headers, out.Data, out.Reply, out.Retain = m.Topic, m.Headers, m.Data, m.Reply, m.Retain
	return out
}

// chosen is the agent whose member of a group gets a message: the publisher's agent decides, so that exactly one does.
type chosen struct {
	group groupKey
	agent peer.ID
}

const (
	// messageOverhead is what a message takes beside its texts, in queues and frames.
	messageOverhead = 64
	// chosenOverhead is what the choice for a group takes beside its texts: the lengths of four things in msgpack.
	chosenOverhead = 8
)

func (m *message) size() int { return messageOverhead + m.Bytes() + m.groupBytes() }

func (m *message) groupBytes() (n int) {
	for _, c := range m.groups {
		n += chosenOverhead + len(c.group.pattern) + len(c.group.name) + len(c.agent)
	}
	return n
}

// fits says what is wrong with a message that no frame can carry to the members that were chosen for it.
func (m *message) fits(bytesMax int) error {
	if n := m.groupBytes(); n > groupBytesFree && m.Bytes()+n > bytesMax+groupBytesFree {
		return structs.Errorf(structs.KindTooLarge, "the message has %d bytes and goes to %d groups, whose names take %d more; the limit is %d",
			m.Bytes(), len(m.groups), n, bytesMax+groupBytesFree).
			WithHint("fewer groups subscribe to a topic of its own, or a smaller message says where the large one is")
	}
	return nil
}

// check says what is wrong with a message that is to be published.
func check(m *structs.Message, bytesMax int) error {
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
	if n := m.Bytes(); n > bytesMax {
		return structs.Errorf(structs.KindTooLarge, "the message has %d bytes; the limit is %d", n, bytesMax).
			WithHint("put what is large elsewhere (a key, a row) and publish where it is")
	}
	return nil
}
