package state

import (
	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/structs"
)

func messagesSchema() *memdb.TableSchema {
	return table(tableMessages, func(r *structs.StreamMessage) []byte {
		if r.Namespace == "" || r.Stream == "" || r.Seq == 0 {
			return nil
		}
		return messageKey(r.Namespace, r.Stream, r.Seq)
	})
}

func messageKey(ns structs.Namespace, stream string, seq uint64) []byte {
	return append(withinStream(ns, stream), numberKey(seq)...)
}

func publicationsSchema() *memdb.TableSchema {
	t := table(tablePublications, func(r *structs.StreamPublication) []byte {
		if r.Namespace == "" || r.Stream == "" || r.ID == "" {
			return nil
		}
		return publicationKey(r.Namespace, r.Stream, r.ID)
	})
	secondary(t, indexSeq, true, func(r *structs.StreamPublication) []byte {
		return messageKey(r.Namespace, r.Stream, r.Seq)
	})
	return t
}

func publicationKey(ns structs.Namespace, stream, id string) []byte {
	return joinKey(string(ns), stream, id)
}

// forgetRatio is how many ids are forgotten at most for one that comes: a message after a long pause does not pay for all that have
// aged meanwhile, and two for one catch up.
const forgetRatio = 2

// Publish adds messages to their streams, all or none. Errors: KindNotFound where no stream holds a topic, KindInvalid for one that is
// no topic, KindQuota, KindTooLarge for one that its stream would not keep.
func (t *Txn) Publish(r *structs.StreamPublishRequest) (*structs.StreamPublishReply, *structs.Error) {
	if err := t.needNamespace(r.Namespace); err != nil {
		return nil, err
	}
	into := make([]string, len(r.Messages))
	var size int64
	for i := range r.Messages {
		row, err := t.streamFor(r.Namespace, &r.Messages[i])
		if err != nil {
			return nil, err
		}
		into[i] = row.Name
		size += t.growth(row, r.Messages[i].Bytes())
	}
	if max := t.bytesMax(r.Namespace); max > 0 && size > 0 && t.usedBytes(r.Namespace)+size > max {
		return nil, overQuota(r.Namespace, max)
	}
	reply := &structs.StreamPublishReply{Published: make([]structs.StreamPublished, len(r.Messages))}
	reply.Index = t.index
	for i := range r.Messages {
		reply.Published[i] = t.publish(t.stream(r.Namespace, into[i]), &r.Messages[i])
	}
	return reply, nil
}

// streamFor is the stream of a message, which it would keep.
func (t *Txn) streamFor(ns structs.Namespace, m *structs.StreamMessage) (*structs.Stream, *structs.Error) {
	if !structs.ValidTopic(m.Topic) {
		return nil, structs.Errorf(structs.KindInvalid, "%q is no topic", m.Topic)
	}
	row := longestHolder(m.Topic, func(name string) *structs.Stream { return t.stream(ns, name) })
	if row == nil {
		return nil, structs.Errorf(structs.KindNotFound, "no stream keeps the topic %q", m.Topic).
			WithHint("create one of its name or of a name above it: debros pubsub stream create")
	}
	if n := m.Bytes(); n > row.Limits.BytesMax {
		return nil, structs.Errorf(structs.KindTooLarge, "a message of %d bytes is more than all that the stream %q may keep, %d", n, row.Name, row.Limits.BytesMax)
	}
	return row, nil
}

// growth is by how much a stream grows with a message of a size: one that is full loses old ones for it.
func (t *Txn) growth(row *structs.Stream, size int64) int64 {
	lost := row.Bytes + size - row.Limits.BytesMax
	if row.Count() >= row.Limits.MessagesMax {
		lost = max(lost, t.message(row, row.FirstSeq).Bytes())
	}
	return size - max(lost, 0)
}

// publish adds one message to a stream, unless its id is there.
func (t *Txn) publish(row *structs.Stream, m *structs.StreamMessage) structs.StreamPublished {
	if m.ID != "" {
		if p := t.publication(row, m.ID); p != nil && p.Time > t.now-int64(row.Limits.Dedupe) {
			return structs.StreamPublished{Stream: row.Name, Seq: p.Seq, Duplicate: true}
		}
	}
	n := *row
	n.LastSeq++
	n.LastTime, n.ModifyIndex = t.now, t.index
	kept := &structs.StreamMessage{
		Namespace: n.Namespace, Stream: n.Name, Seq: n.LastSeq, Time: t.now, Topic: m.Topic, ID: m.ID, Headers: m.Headers, Data: m.Data,
	}
	n.Bytes += kept.Bytes()
	t.putMessage(nil, kept)
	if m.ID != "" {
		t.remember(&structs.StreamPublication{Namespace: n.Namespace, Stream: n.Name, ID: m.ID, Seq: n.LastSeq, Time: t.now})
	}
	t.setStream(n.Namespace, n.Name, t.trim(&n))
	return structs.StreamPublished{Stream: n.Name, Seq: kept.Seq}
}

// message is a message that is kept, as this entry has left it so far.
func (t *Txn) message(row *structs.Stream, seq uint64) *structs.StreamMessage {
	key := messageKey(row.Namespace, row.Name, seq)
	if m, ok := t.messages[string(key)]; ok {
		return m
	}
	return first[structs.StreamMessage](nil, t.base, tableMessages, indexID, key)
}

// putMessage is replace for messages: it keeps t.messages and the sum of the namespace true.
func (t *Txn) putMessage(before, after *structs.StreamMessage) {
	m, grown := after, int64(0)
	if after == nil {
		m, grown = before, -before.Bytes()
	} else {
		grown = after.Bytes()
	}
	if t.messages == nil {
		t.messages = map[string]*structs.StreamMessage{}
	}
	key := string(messageKey(m.Namespace, m.Stream, m.Seq))
	t.messages[key] = after
	if t.recording {
		t.onUndo(func() { t.messages[key] = before })
	}
	t.grow(m.Namespace, grown)
	replace(t, tableMessages, before, after)
}

// trim takes away what a stream has too much of, the oldest first, and returns its row.
func (t *Txn) trim(row *structs.Stream) *structs.Stream {
	for row.FirstSeq <= row.LastSeq {
		m := t.message(row, row.FirstSeq)
		aged := m == nil || row.Limits.AgeMax > 0 && m.Time <= t.now-int64(row.Limits.AgeMax)
		if row.Count() <= row.Limits.MessagesMax && row.Bytes <= row.Limits.BytesMax && !aged {
			break
		}
		t.dropOldest(row)
	}
	return row
}

// dropOldest takes the oldest message away and notes it in row, which is a copy of the stream's.
func (t *Txn) dropOldest(row *structs.Stream) {
	m := t.message(row, row.FirstSeq)
	row.FirstSeq++
	if m == nil {
		return // only a snapshot that somebody made up lacks one
	}
	row.Bytes -= m.Bytes()
	t.putMessage(m, nil)
}

// trimAged takes away what has become too old, in every stream: where nothing is published, nothing else would.
func (t *Txn) trimAged() {
	for row := range scan[structs.Stream](nil, t.base, tableStreams, indexID, nil) {
		row = t.stream(row.Namespace, row.Name)
		if row == nil || !t.hasAged(row) {
			continue
		}
		n := *row
		n.ModifyIndex = t.index
		t.setStream(n.Namespace, n.Name, t.trim(&n))
	}
}

func (t *Txn) hasAged(row *structs.Stream) bool {
	if row.Limits.AgeMax <= 0 || row.FirstSeq > row.LastSeq {
		return false
	}
	m := t.message(row, row.FirstSeq)
	return m == nil || m.Time <= t.now-int64(row.Limits.AgeMax)
}

// publication is what is remembered of an id.
func (t *Txn) publication(row *structs.Stream, id string) *structs.StreamPublication {
	key := publicationKey(row.Namespace, row.Name, id)
	if p, ok := t.published[string(key)]; ok {
		return p
	}
	return first[structs.StreamPublication](nil, t.base, tablePublications, indexID, key)
}

func (t *Txn) remember(p *structs.StreamPublication) {
	old := t.publication(&structs.Stream{Namespace: p.Namespace, Name: p.Stream}, p.ID)
	t.putPublication(old, p)
	if t.remembered == nil {
		t.remembered = map[string]int{}
	}
	key := string(streamKey(p.Namespace, p.Stream))
	t.remembered[key]++
	t.onUndo(func() { t.remembered[key]-- })
}

func (t *Txn) putPublication(before, after *structs.StreamPublication) {
	p := after
	if p == nil {
		p = before
	}
	if t.published == nil {
		t.published = map[string]*structs.StreamPublication{}
	}
	key := string(publicationKey(p.Namespace, p.Stream, p.ID))
	t.published[key] = after
	if t.recording {
		t.onUndo(func() { t.published[key] = before })
	}
	replace(t, tablePublications, before, after)
}

// forgetAged forgets ids whose time is over, in the streams that got new ones. It ends an entry.
func (t *Txn) forgetAged() {
	for key, n := range t.remembered {
		row := t.streams[key]
		if row == nil {
			continue
		}
		n *= forgetRatio
		for p := range scan[structs.StreamPublication](nil, t.base, tablePublications, indexSeq, withinStream(row.Namespace, row.Name)) {
			if n == 0 || p.Time > t.now-int64(row.Limits.Dedupe) {
				break
			}
			if t.publication(row, p.ID) == p { // not renewed by this entry
				t.putPublication(p, nil)
				n--
			}
		}
	}
}
