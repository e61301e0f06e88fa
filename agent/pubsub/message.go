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

// messageOverhead is what a message takes beside its texts, in queues and frames.
const messageOverhead = 64

func (m *message) size() int {
	n := messageOverhead + m.Bytes()
	for _, c := range m.groups {
		n += len(c.group.pattern) + len(c.group.name) + len(c.agent)
	}
	return n
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
