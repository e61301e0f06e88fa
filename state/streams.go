package state

import (
	"slices"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/structs"
)

func streamsSchema() *memdb.TableSchema {
	return table(tableStreams, func(r *structs.Stream) []byte {
		if r.Namespace == "" || r.Name == "" {
			return nil
		}
		return streamKey(r.Namespace, r.Name)
	})
}

func streamKey(ns structs.Namespace, name string) []byte { return joinKey(string(ns), name) }

// withinStream is what the keys of everything in a stream begin with.
func withinStream(ns structs.Namespace, name string) []byte { return joinKey(string(ns), name, "") }

// stream is a stream's row as this entry has left it so far, nil when there is none. Publishing changes the row for each message and
// reads it first, so those changes are in t.streams until Commit; see Txn.kv for the reason.
func (t *Txn) stream(ns structs.Namespace, name string) *structs.Stream {
	key := streamKey(ns, name)
	if row, ok := t.streams[string(key)]; ok {
		return row
	}
	return first[structs.Stream](nil, t.base, tableStreams, indexID, key)
}

// setStream makes a row a stream's, nil takes it away.
func (t *Txn) setStream(ns structs.Namespace, name string, row *structs.Stream) {
	if t.streams == nil {
		t.streams = map[string]*structs.Stream{}
	}
	key := string(streamKey(ns, name))
	old, was := t.streams[key]
	t.streams[key] = row
	t.touch(tableStreams, ns)
	t.onUndo(func() {
		if t.streams[key] = old; !was {
			delete(t.streams, key)
		}
	})
}

// writeStreams ends an entry.
func (t *Txn) writeStreams() {
	for key, row := range t.streams {
		if row != nil {
			must(t.tx.Insert(tableStreams, row))
			continue
		}
		if old := first[structs.Stream](nil, t.base, tableStreams, indexID, []byte(key)); old != nil {
			must(t.tx.Delete(tableStreams, old))
		}
	}
}

// Stream changes a stream or a consumer. Errors: KindNotFound, KindConflict for creating a stream that exists,
// KindInvalid for the rest.
func (t *Txn) Stream(r *structs.StreamRequest) (*structs.StreamReply, *structs.Error) {
	reply := &structs.StreamReply{}
	reply.Index = t.index
	if r.Op == structs.StreamTrim {
		t.trimAged()
		return reply, nil
	}
	if err := t.needNamespace(r.Namespace); err != nil {
		return nil, err
	}
	ns, name := r.Namespace, r.Stream.Name
	old := t.stream(ns, name)
	if old == nil && r.Op != structs.StreamCreate {
		return nil, noStream(name)
	}
	var err *structs.Error
	switch r.Op {
	case structs.StreamCreate:
		reply.Stream, err = t.createStream(ns, old, &r.Stream)
	case structs.StreamUpdate:
		n := *old
		n.Limits, n.ModifyIndex = withStreamDefaults(r.Stream.Limits), t.index
		reply.Stream = t.trim(&n)
		t.setStream(ns, name, reply.Stream)
	case structs.StreamDelete:
		t.deleteStream(old)
	case structs.StreamPurge:
		n := *old
		n.ModifyIndex = t.index
		upTo := r.Seq
		if upTo == 0 {
			upTo = n.LastSeq
		}
		for n.FirstSeq <= min(upTo, n.LastSeq) {
			t.dropOldest(&n)
		}
		reply.Stream = &n
		t.setStream(ns, name, &n)
	case structs.StreamConsumerSet, structs.StreamConsumerDelete, structs.StreamAck:
		reply.Stream = old
		reply.Consumer, err = t.changeConsumer(old, r)
	default:
		err = structs.Errorf(structs.KindInvalid, "unknown stream operation %q", r.Op)
	}
	if err != nil {
		return nil, err
	}
	return reply, nil
}

func noStream(name string) *structs.Error {
	return structs.Errorf(structs.KindNotFound, "there is no stream %q", name).
		WithHint("create it: debros pubsub stream create %s", name)
}

func (t *Txn) createStream(ns structs.Namespace, old, in *structs.Stream) (*structs.Stream, *structs.Error) {
	if old != nil {
		return nil, structs.Errorf(structs.KindConflict, "the stream %q exists already", in.Name)
	}
	if !structs.ValidTopic(in.Name) {
		return nil, structs.Errorf(structs.KindInvalid, "%q is no topic, and so no name of a stream", in.Name)
	}
	n := &structs.Stream{Namespace: ns, Name: in.Name, Limits: withStreamDefaults(in.Limits), FirstSeq: 1, CreateIndex: t.index, ModifyIndex: t.index}
	t.setStream(ns, in.Name, n)
	return n, nil
}

func withStreamDefaults(l structs.StreamLimits) structs.StreamLimits {
	if l.MessagesMax <= 0 {
		l.MessagesMax = structs.StreamMessagesDefault
	}
	if l.BytesMax <= 0 {
		l.BytesMax = structs.StreamBytesDefault
	}
	if l.Dedupe <= 0 {
		l.Dedupe = structs.StreamDedupeDefault
	}
	return l
}

func (t *Txn) deleteStream(row *structs.Stream) {
	within := withinStream(row.Namespace, row.Name)
	// What this entry added is not in the tables it reads, so messages go one by one.
	for n := *row; n.FirstSeq <= n.LastSeq; {
		t.dropOldest(&n)
	}
	deleteBelow[structs.StreamPublication](t, tablePublications, within)
	deleteBelow[structs.StreamConsumer](t, tableConsumers, within)
	t.touch(tableConsumers, row.Namespace)
	t.setStream(row.Namespace, row.Name, nil)
}

// deleteStreams is for the end of a namespace.
func (t *Txn) deleteStreams(ns structs.Namespace) {
	names := map[string]bool{}
	for row := range scan[structs.Stream](nil, t.base, tableStreams, indexID, joinKey(string(ns), "")) {
		names[row.Name] = true
	}
	for _, row := range t.streams {
		if row != nil && row.Namespace == ns {
			names[row.Name] = true
		}
	}
	for name := range names { // in any order: what is left does not depend on it
		if row := t.stream(ns, name); row != nil {
			t.deleteStream(row)
		}
	}
}

// StreamGet returns a stream, nil when it does not exist, with the consumers it has. The index is that of the newest change to any of these.
func (s *Store) StreamGet(ws memdb.WatchSet, ns structs.Namespace, name string) (uint64, *structs.Stream, []*structs.StreamConsumer) {
	v := s.view(ws)
	row := first[structs.Stream](ws, v.tx, tableStreams, indexID, streamKey(ns, name))
	if row == nil {
		return v.tableIndex(tableStreams, ns), nil, nil
	}
	consumers := slices.Collect(scan[structs.StreamConsumer](ws, v.tx, tableConsumers, indexID, withinStream(ns, name)))
	return max(row.ModifyIndex, v.indexRow(tableConsumers, ns)), row, consumers
}

// StreamList returns the streams of a namespace by name.
func (s *Store) StreamList(ws memdb.WatchSet, ns structs.Namespace) (uint64, []*structs.Stream) {
	v := s.view(ws)
	list := slices.Collect(scan[structs.Stream](ws, v.tx, tableStreams, indexID, joinKey(string(ns), "")))
	return v.tableIndex(tableStreams, ns), list
}

// StreamOf returns the stream that keeps what is published to a topic: the one with the longest name that holds it; nil when none does.
func (s *Store) StreamOf(ns structs.Namespace, topic string) *structs.Stream {
	v := s.view(nil)
	return longestHolder(topic, func(name string) *structs.Stream {
		return first[structs.Stream](nil, v.tx, tableStreams, indexID, streamKey(ns, name))
	})
}

// longestHolder asks for the topic and for each above it.
func longestHolder(topic string, get func(name string) *structs.Stream) *structs.Stream {
	for name := topic; ; {
		if row := get(name); row != nil {
			return row
		}
		i := strings.LastIndexByte(name, '.')
		if i < 0 {
			return nil
		}
		name = name[:i]
	}
}

// HasStreams reports whether there is any.
func (s *Store) HasStreams() bool {
	for range scan[structs.Stream](nil, s.view(nil).tx, tableStreams, indexID, nil) {
		return true
	}
	return false
}
