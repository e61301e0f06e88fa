package structs

import "github.com/tinylib/msgp/msgp"

// What passes through the log with every write encodes and decodes itself, without reflection: on a busy server the
// generic codec took a tenth of the processor. The format stays the generic one, byte for byte when written; what
// these few functions do not know, they leave to it.

// hotEncoder appends itself to b. ok is false when it has a member for which that is not worth the code.
type hotEncoder interface {
	appendTo(b []byte) (out []byte, ok bool)
}

// hotDecoder reads itself from w, which notes what it could not read.
type hotDecoder interface {
	readFrom(w *wire)
}

// appendHot is not ok when the generic codec must do it.
func appendHot(b []byte, v any) (out []byte, ok bool) {
	h, ok := v.(hotEncoder)
	if !ok {
		return nil, false
	}
	return h.appendTo(b)
}

// decodeHot reports whether v now holds what all of data says. If not, v may hold some of it, which is what the
// generic codec then writes there too.
func decodeHot(data []byte, v any) bool {
	h, ok := v.(hotDecoder)
	if !ok {
		return false
	}
	w := wire{rest: data}
	h.readFrom(&w)
	return !w.bad && len(w.rest) == 0
}

// hotSlack is what the names, numbers and framing of a request take at most, beside its texts and values.
const hotSlack = 256

func (e *Entry) appendTo(b []byte) ([]byte, bool) {
	size := hotSlack
	for i := range e.Commands {
		size += len(e.Commands[i].Body) + len("\x82\xa4Body\xc6\x00\x00\x00\x00\xa4Type\xcc\x00")
	}
	b = msgp.Require(b, size)
	b = msgp.AppendMapHeader(b, 3)
	b = msgp.AppendString(b, "Commands")
	if e.Commands == nil {
		b = msgp.AppendNil(b)
	} else {
		b = msgp.AppendArrayHeader(b, uint32(len(e.Commands)))
	}
	for i := range e.Commands {
		b = msgp.AppendMapHeader(b, 2)
		b = appendBytes(msgp.AppendString(b, "Body"), e.Commands[i].Body)
		b = msgp.AppendUint64(msgp.AppendString(b, "Type"), uint64(e.Commands[i].Type))
	}
	b = msgp.AppendUint64(msgp.AppendString(b, "Seed"), e.Seed)
	return msgp.AppendInt64(msgp.AppendString(b, "Time"), e.Time), true
}

func (e *Entry) readFrom(w *wire) {
	for range w.members() {
		switch string(w.name()) {
		case "Commands":
			e.Commands = make([]Command, w.items())
			for i := range e.Commands {
				e.Commands[i].readFrom(w)
			}
		case "Seed":
			e.Seed = w.uint()
		case "Time":
			e.Time = w.int()
		default:
			w.bad = true
		}
	}
}

func (c *Command) readFrom(w *wire) {
	for range w.members() {
		switch string(w.name()) {
		case "Body":
			c.Body = w.raw() // decoded in its turn at once
		case "Type":
			c.Type = CommandType(w.uint8())
		default:
			w.bad = true
		}
	}
}

func (o *WriteOptions) readMember(name []byte, w *wire) {
	switch string(name) {
	case "Token":
		o.Token = w.string()
	case "Namespace":
		o.Namespace = w.namespace()
	case "Datacenter":
		o.Datacenter = w.string()
	case "Forwarded":
		o.Forwarded = w.bool()
	default:
		w.bad = true
	}
}

func (r *KVRequest) appendTo(b []byte) ([]byte, bool) {
	b = msgp.Require(b, hotSlack+len(r.KV.Key)+len(r.KV.Value)+len(r.KV.Session)+len(r.Token))
	b = msgp.AppendMapHeader(b, 2+count(r.Datacenter != "", r.Forwarded, r.Namespace != "", r.TTL != 0, r.Token != ""))
	b = appendText(b, "Datacenter", r.Datacenter)
	b = appendTrue(b, "Forwarded", r.Forwarded)
	b = r.KV.appendTo(msgp.AppendString(b, "KV"))
	b = appendText(b, "Namespace", string(r.Namespace))
	b = msgp.AppendString(msgp.AppendString(b, "Op"), string(r.Op))
	b = appendInt(b, "TTL", r.TTL)
	return appendText(b, "Token", r.Token), true
}

func (r *KVRequest) readFrom(w *wire) {
	for range w.members() {
		switch name := w.name(); string(name) {
		case "KV":
			r.KV.readFrom(w)
		case "Op":
			r.Op = w.kvOp()
		case "TTL":
			r.TTL = w.int()
		default:
			r.WriteOptions.readMember(name, w)
		}
	}
}

func (p *KVPair) appendTo(b []byte) []byte {
	b = msgp.AppendMapHeader(b, 6+count(p.ExpiresAt != 0, p.FencingToken != 0, p.Namespace != "", p.Session != ""))
	b = msgp.AppendUint64(msgp.AppendString(b, "CreateIndex"), p.CreateIndex)
	b = appendInt(b, "ExpiresAt", p.ExpiresAt)
	if p.FencingToken != 0 {
		b = msgp.AppendUint64(msgp.AppendString(b, "FencingToken"), p.FencingToken)
	}
	b = msgp.AppendUint64(msgp.AppendString(b, "Flags"), p.Flags)
	b = msgp.AppendString(msgp.AppendString(b, "Key"), p.Key)
	b = msgp.AppendUint64(msgp.AppendString(b, "LockIndex"), p.LockIndex)
	b = msgp.AppendUint64(msgp.AppendString(b, "ModifyIndex"), p.ModifyIndex)
	b = appendText(b, "Namespace", string(p.Namespace))
	b = appendText(b, "Session", p.Session)
	return appendBytes(msgp.AppendString(b, "Value"), p.Value)
}

func (p *KVPair) readFrom(w *wire) {
	for range w.members() {
		switch string(w.name()) {
		case "CreateIndex":
			p.CreateIndex = w.uint()
		case "ExpiresAt":
			p.ExpiresAt = w.int()
		case "FencingToken":
			p.FencingToken = w.uint()
		case "Flags":
			p.Flags = w.uint()
		case "Key":
			p.Key = w.string()
		case "LockIndex":
			p.LockIndex = w.uint()
		case "ModifyIndex":
			p.ModifyIndex = w.uint()
		case "Namespace":
			p.Namespace = w.namespace()
		case "Session":
			p.Session = w.string()
		case "Value":
			p.Value = w.bytes()
		default:
			w.bad = true
		}
	}
}
