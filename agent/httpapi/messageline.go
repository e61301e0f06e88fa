package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"

	"github.com/debros/debros/structs"
)

// appendMessage writes a message as JSON. Topics and ids need no escapes.
func appendMessage(b []byte, m *structs.Message) []byte {
	b = append(append(b, `{"topic":"`...), m.Topic...)
	b = append(append(b, `","publisher":"`...), m.Publisher...)
	b = strconv.AppendUint(append(b, `","epoch":`...), m.Epoch, 10)
	b = strconv.AppendUint(append(b, `,"seq":`...), m.Seq, 10)
	b = m.Time.UTC().AppendFormat(append(b, `,"time":"`...), time.RFC3339Nano)
	b = append(b, '"')
	if len(m.Headers) > 0 {
		h, err := json.Marshal(m.Headers)
		if err == nil { // texts always can be written
			b = append(append(b, `,"headers":`...), h...)
		}
	}
	if m.Reply != "" {
		b = append(append(append(b, `,"reply":"`...), m.Reply...), '"')
	}
	if m.Retained {
		b = append(b, `,"retained":true`...)
	}
	b = base64.StdEncoding.AppendEncode(append(b, `,"data":"`...), m.Data)
	return append(b, `"}`...)
}

// messageLine is a message as JSON, written once for all who get it.
func messageLine(m *structs.Message) []byte {
	return m.Line(func(m *structs.Message) []byte {
		return appendMessage(make([]byte, 0, 192+len(m.Topic)+len(m.Data)*4/3), m)
	})
}

// liveControl is a line of a subscription that is no message.
type liveControl struct {
	Control   string          `json:"control"`
	Streams   []string        `json:"streams,omitempty"`   // begin
	Publisher structs.NodeID  `json:"publisher,omitempty"` // gap
	Epoch     uint64          `json:"epoch,omitempty"`     // gap
	From      uint64          `json:"from,omitempty"`      // gap
	To        uint64          `json:"to,omitempty"`        // gap
	Dropped   int             `json:"dropped,omitempty"`   // overflow
	Event     string          `json:"event,omitempty"`     // presence: join, leave
	Presence  *subscriberBody `json:"subscriber,omitempty"`
	Error     json.RawMessage `json:"error,omitempty"` // cut
}

// subscriberBody is a structs.Subscriber as HTTP shows it.
type subscriberBody struct {
	Agent structs.NodeID `json:"agent"`
	Topic string         `json:"topic"` // a pattern
	Group string         `json:"group,omitempty"`
	Count int            `json:"count"`
}

func bodyOfSubscriber(s structs.Subscriber) subscriberBody {
	return subscriberBody{Agent: s.Agent, Topic: s.Pattern, Group: s.Group, Count: s.Count}
}

func controlOf(it *structs.MessageItem) liveControl {
	switch {
	case it.Gap != nil:
		return liveControl{Control: "gap", Publisher: it.Gap.Publisher, Epoch: it.Gap.Epoch, From: it.Gap.From, To: it.Gap.To}
	case it.Presence != nil:
		event, body := "leave", bodyOfSubscriber(it.Presence.Subscriber)
		if it.Presence.Joined {
			event = "join"
		}
		return liveControl{Control: "presence", Event: event, Presence: &body}
	}
	return liveControl{Control: "overflow", Dropped: it.Overflow}
}
