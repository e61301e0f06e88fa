package pubsub

import (
	"cmp"
	"slices"
	"time"
)

// ring holds the last frames that a carrier has carried, for those who missed them. The oldest go when there is no room.
type ring struct {
	frames []*frame // in the order in which they came
	bytes  int
	at     []time.Time // when each came
}

func (r *ring) add(f *frame, now time.Time) {
	r.frames, r.at = append(r.frames, f), append(r.at, now)
	r.bytes += len(f.raw)
}

// trim lets the oldest go while there is more than bytesMax, as far as they came before a time.
func (r *ring) trim(bytesMax int, before time.Time) {
	n := 0
	for r.bytes > bytesMax && n < len(r.frames)-1 && r.at[n].Before(before) {
		r.bytes -= len(r.frames[n].raw)
		n++
	}
	r.drop(n)
}

// expire forgets what came before a time.
func (r *ring) expire(before time.Time) {
	n := 0
	for n < len(r.frames) && r.at[n].Before(before) {
		r.bytes -= len(r.frames[n].raw)
		n++
	}
	r.drop(n)
}

// drop lets the first n go, whose bytes are off the account already.
func (r *ring) drop(n int) {
	if n == 0 {
		return
	}
	clear(r.frames[:n]) // for the garbage collector
	r.frames, r.at = r.frames[n:], r.at[n:]
	if len(r.frames) == 0 {
		r.frames, r.at = nil, nil
	}
}

// find gives the frames of a question, at most bytesMax bytes of them but at least one, by their numbers.
func (r *ring) find(q *question, bytesMax int) (out []*frame) {
	for i, f := range r.frames {
		if f.publisher == q.publisher && f.epoch == q.epoch && f.last() >= q.from && f.first <= q.to && (q.ago == 0 || time.Since(r.at[i]) <= q.ago) {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b *frame) int { return cmp.Compare(a.first, b.first) })
	n := 0
	for i, f := range out {
		if n += len(f.raw); n > bytesMax && i > 0 {
			return out[:i]
		}
	}
	return out
}

// begin is the number with which what a question's ago asks for begins; 0 when nothing is known of the publisher.
func (r *ring) begin(q *question) (n uint64) {
	for i, f := range r.frames {
		switch {
		case f.publisher != q.publisher || f.epoch != q.epoch:
		case time.Since(r.at[i]) > q.ago:
			n = max(n, f.last()+1)
		case n == 0 || f.first < n:
			n = f.first
		}
	}
	return n
}
