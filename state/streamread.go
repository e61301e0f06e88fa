package state

import (
	"sort"

	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/structs"
)

// StreamRange says which messages of a stream are read.
type StreamRange struct {
	From     uint64 // 0 = the oldest
	Since    int64  // Unix nanoseconds; not older messages only
	Filter   string // a valid pattern; "" = every topic
	Limit    int
	BytesMax int64 // at least one message all the same
}

// scannedMax bounds how many messages one read looks at, for a filter that few of them match.
const scannedMax = 100_000

// StreamRead returns messages in order. next is where to go on: behind what was looked at. lost is how many messages from r.From on
// are no longer kept. The index is that of the stream's newest change; row is nil when there is no such stream.
func (s *Store) StreamRead(ws memdb.WatchSet, ns structs.Namespace, name string, r StreamRange) (idx uint64, row *structs.Stream, list []*structs.StreamMessage, next, lost uint64) {
	v := s.view(ws)
	row = first[structs.Stream](ws, v.tx, tableStreams, indexID, streamKey(ns, name))
	if row == nil {
		return v.tableIndex(tableStreams, ns), nil, nil, 0, 0
	}
	from := max(r.From, row.FirstSeq)
	if r.From > 0 {
		lost = from - r.From
	}
	if r.Since > 0 {
		from = max(from, v.firstSince(row, r.Since))
	}
	next = from
	var bytes int64
	scanned := 0
	within := withinStream(ns, name)
	messageID := func(m *structs.StreamMessage) []byte { return messageKey(m.Namespace, m.Stream, m.Seq) }
	for m := range scanFrom(v.tx, tableMessages, messageID, within, messageKey(ns, name, from)) {
		if scanned++; len(list) == r.Limit || bytes >= r.BytesMax || scanned > scannedMax {
			break
		}
		next = m.Seq + 1
		if r.Filter == "" || structs.TopicMatches(r.Filter, m.Topic) {
			list = append(list, m)
			bytes += m.Bytes()
		}
	}
	return row.ModifyIndex, row, list, next, lost
}

// firstSince is the number of the first message that is not older than a time. Times do not fall from message to message.
func (v view) firstSince(row *structs.Stream, since int64) uint64 {
	n := sort.Search(int(row.Count()), func(i int) bool {
		m := first[structs.StreamMessage](nil, v.tx, tableMessages, indexID, messageKey(row.Namespace, row.Name, row.FirstSeq+uint64(i)))
		return m == nil || m.Time >= since
	})
	return row.FirstSeq + uint64(n)
}

// NextAging is when the first message becomes too old for its stream; false when none will.
func (s *Store) NextAging() (at int64, ok bool) {
	v := s.view(nil)
	for row := range scan[structs.Stream](nil, v.tx, tableStreams, indexID, nil) {
		if row.Limits.AgeMax <= 0 || row.FirstSeq > row.LastSeq {
			continue
		}
		m := first[structs.StreamMessage](nil, v.tx, tableMessages, indexID, messageKey(row.Namespace, row.Name, row.FirstSeq))
		if m == nil {
			continue
		}
		if end := m.Time + int64(row.Limits.AgeMax); !ok || end < at {
			at, ok = end, true
		}
	}
	return at, ok
}
