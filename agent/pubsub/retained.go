package pubsub

import (
	"bytes"
	"crypto/ed25519"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/debros/debros/structs"
)

const (
	retainedTopicsMax = 1024
	retainedBytesMax  = 8 << 20
	// clearedAge is how long it is remembered that a last value was taken away, for agents that have not heard of it.
	clearedAge = 5 * time.Minute
)

// retained are the last values of a carrier's topics: those published here, and those received while it is joined.
// A value has the frame that it came in, so that others can be given it with its publisher's signature.
type retained struct {
	topicsMax, bytesMax int

	mu     sync.Mutex // protects the following
	values map[string]*message
	signed map[string]*message // the same by the signatures of their frames
	bytes  int
}

// keep notes a message if it is newer than the topic's last; false when there is no room.
func (r *retained) keep(m *message) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.values[m.Topic]
	if old != nil && !newer(m, old) {
		return true
	}
	bytes := r.bytes + len(m.frame.raw)
	if old != nil {
		bytes -= len(old.frame.raw)
	}
	if old == nil && len(m.Data) == 0 {
		return true
	}
	if old == nil && len(r.values) >= r.topicsMax || bytes > r.bytesMax {
		return false
	}
	if r.values == nil {
		r.values, r.signed = map[string]*message{}, map[string]*message{}
	}
	if old != nil {
		delete(r.signed, signatureOf(old.frame.raw))
	}
	r.values[m.Topic], r.bytes = m, bytes
	r.signed[signatureOf(m.frame.raw)] = m
	return true
}

func (r *retained) some() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.values) > 0
}

// has says that a frame is that of a last value. It was opened then, and need not be again: every member gives all it has to one that comes.
func (r *retained) has(raw []byte) bool {
	if len(raw) <= ed25519.SignatureSize {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.signed[signatureOf(raw)]
	return m != nil && bytes.Equal(m.frame.raw, raw)
}

func signatureOf(raw []byte) string { return string(raw[:ed25519.SignatureSize]) }

// room is nil when keep would find room for the messages.
func (r *retained) room(list []*message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	topics, bytes := len(r.values), r.bytes
	sizes := map[string]int{} // of the topics' values as the list goes on
	for _, m := range list {
		if !m.Retain || len(m.Data) == 0 {
			continue
		}
		size, seen := sizes[m.Topic]
		switch old := r.values[m.Topic]; {
		case seen:
		case old != nil:
			size = len(old.frame.raw)
		default:
			topics++
		}
		sizes[m.Topic] = m.size() + frameSlack
		bytes += sizes[m.Topic] - size
	}
	if topics > r.topicsMax || bytes > r.bytesMax {
		return structs.Errorf(structs.KindTooLarge, "no room for another last value: %d topics of a carrier have one, of %d bytes in all", len(r.values), r.bytes).
			WithHint("publish without retain, or take last values away by publishing them with no data")
	}
	return nil
}

// newer says whether a follows b: as the publisher says where it is the same, by their clocks where not.
func newer(a, b *message) bool {
	switch {
	case a.Publisher != b.Publisher && a.Time.Equal(b.Time):
		return strings.Compare(string(a.Publisher), string(b.Publisher)) > 0
	case a.Publisher != b.Publisher:
		return a.Time.After(b.Time)
	case a.Epoch != b.Epoch:
		return a.Epoch > b.Epoch
	}
	return a.Seq > b.Seq
}

// frames are what others need to have these values too.
func (r *retained) frames() (out []*frame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.values {
		out = append(out, m.frame)
	}
	return out
}

// match are the last values that patterns name, by time.
func (r *retained) match(patterns []string) (out []*message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.values {
		named := func(p string) bool { return matches(p, m.Topic) }
		if len(m.Data) > 0 && slices.ContainsFunc(patterns, named) {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b *message) int { return a.Time.Compare(b.Time) })
	return out
}

// expire forgets what was taken away some time ago.
func (r *retained) expire(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for topic, m := range r.values {
		if len(m.Data) == 0 && now.Sub(m.Time) > clearedAge {
			delete(r.values, topic)
			delete(r.signed, signatureOf(m.frame.raw))
			r.bytes -= len(m.frame.raw)
		}
	}
}
