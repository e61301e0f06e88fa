package state

import (
	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/structs"
)

func consumersSchema() *memdb.TableSchema {
	return table(tableConsumers, func(r *structs.StreamConsumer) []byte {
		if r.Namespace == "" || r.Stream == "" || r.Name == "" {
			return nil
		}
		return consumerKey(r.Namespace, r.Stream, r.Name)
	})
}

func consumerKey(ns structs.Namespace, stream, name string) []byte {
	return joinKey(string(ns), stream, name)
}

// changeConsumer makes, moves or deletes a consumer of a stream.
func (t *Txn) changeConsumer(row *structs.Stream, r *structs.StreamRequest) (*structs.StreamConsumer, *structs.Error) {
	name := r.Consumer.Name
	old := first[structs.StreamConsumer](nil, t.tx, tableConsumers, indexID, consumerKey(row.Namespace, row.Name, name))
	n := &structs.StreamConsumer{Namespace: row.Namespace, Stream: row.Name, Name: name, CreateIndex: t.index, ModifyIndex: t.index}
	switch {
	case r.Op == structs.StreamConsumerSet:
		n.Filter, n.Acked = r.Consumer.Filter, min(r.Consumer.Acked, row.LastSeq)
		if old != nil {
			n.CreateIndex = old.CreateIndex
		}
	case old == nil:
		return nil, structs.Errorf(structs.KindNotFound, "the stream %q has no consumer %q", row.Name, name).
			WithHint("create it: debros pubsub stream consumer create %s %s", row.Name, name)
	case r.Op == structs.StreamConsumerDelete:
		n = nil
	case r.Seq > row.LastSeq:
		return nil, structs.Errorf(structs.KindInvalid, "the newest message of the stream %q is %d: there is no %d to acknowledge", row.Name, row.LastSeq, r.Seq)
	case r.Seq <= old.Acked:
		return old, nil // a late acknowledgement says nothing new
	default:
		*n = *old
		n.Acked, n.ModifyIndex = r.Seq, t.index
	}
	replace(t, tableConsumers, old, n)
	t.touch(tableConsumers, row.Namespace)
	return n, nil
}

// StreamConsumer returns a consumer, nil when it does not exist.
func (s *Store) StreamConsumer(ws memdb.WatchSet, ns structs.Namespace, stream, name string) *structs.StreamConsumer {
	return first[structs.StreamConsumer](ws, s.view(ws).tx, tableConsumers, indexID, consumerKey(ns, stream, name))
}
