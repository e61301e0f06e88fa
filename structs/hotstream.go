package structs

import "github.com/tinylib/msgp/msgp"

// This file is hotcodec.go's for what is published to streams.

func (r *StreamPublishRequest) appendTo(b []byte) ([]byte, bool) {
	size := hotSlack + len(r.Token)
	for i := range r.Messages {
		m := &r.Messages[i]
		if len(m.Headers) > 0 {
			return nil, false // the generic codec sorts them
		}
		size += len("\x88\xa4Data\xa2ID\xa9Namespace\xa3Seq\xa6Stream\xa4Time\xa5Topic") + 8*9 + len(m.Data) + len(m.ID) + len(m.Namespace) + len(m.Stream) + len(m.Topic)
	}
	b = msgp.Require(b, size)
	b = msgp.AppendMapHeader(b, 1+count(r.Datacenter != "", r.Forwarded, r.Namespace != "", r.Token != ""))
	b = appendText(b, "Datacenter", r.Datacenter)
	b = appendTrue(b, "Forwarded", r.Forwarded)
	b = msgp.AppendString(b, "Messages")
	if r.Messages == nil {
		b = msgp.AppendNil(b)
	} else {
		b = msgp.AppendArrayHeader(b, uint32(len(r.Messages)))
	}
	for i := range r.Messages {
		b = r.Messages[i].appendTo(b)
	}
	b = appendText(b, "Namespace", string(r.Namespace))
	return appendText(b, "Token", r.Token), true
}

func (r *StreamPublishRequest) readFrom(w *wire) {
	for range w.members() {
		switch name := w.name(); string(name) {
		case "Messages":
			r.Messages = make([]StreamMessage, w.items())
			for i := range r.Messages {
				r.Messages[i].readFrom(w)
			}
		default:
			r.WriteOptions.readMember(name, w)
		}
	}
}

// appendTo is for a message without headers.
func (m *StreamMessage) appendTo(b []byte) []byte {
	b = msgp.AppendMapHeader(b, 2+count(m.ID != "", m.Namespace != "", m.Seq != 0, m.Stream != "", m.Time != 0))
	b = appendBytes(msgp.AppendString(b, "Data"), m.Data)
	b = appendText(b, "ID", m.ID)
	b = appendText(b, "Namespace", string(m.Namespace))
	if m.Seq != 0 {
		b = msgp.AppendUint64(msgp.AppendString(b, "Seq"), m.Seq)
	}
	b = appendText(b, "Stream", m.Stream)
	b = appendInt(b, "Time", m.Time)
	return msgp.AppendString(msgp.AppendString(b, "Topic"), m.Topic)
}

func (m *StreamMessage) readFrom(w *wire) {
	for range w.members() {
		switch string(w.name()) {
		case "Data":
			m.Data = w.bytes()
		case "ID":
			m.ID = w.string()
		case "Namespace":
			m.Namespace = w.namespace()
		case "Seq":
			m.Seq = w.uint()
		case "Stream":
			m.Stream = w.string()
		case "Time":
			m.Time = w.int()
		case "Topic":
			m.Topic = w.string()
		default:
			w.bad = true // headers too: they are rare
		}
	}
}
