package pubsub

import (
	"sync"
	"sync/atomic"
	"time"

	metrics "github.com/hashicorp/go-metrics"

	"github.com/debros/debros/structs"
)

// counts are a namespace's, since it came into use here.
type counts struct {
	published, delivered, repaired, gaps, overflow, duplicates, replayed, refused atomic.Int64
}

// Stats are the counts of a namespace at this agent.
type Stats struct {
	Namespace                                          structs.Namespace
	Subscriptions                                      int
	Published, Delivered, Repaired, Gaps, Overflow     int64
	Duplicates, Replayed, Refused, BytesKept, Carriers int64
}

func count(name string, n int) { metrics.IncrCounter([]string{"pubsub", name}, float32(n)) }

// Stats are the counts of every namespace in use.
func (b *Bus) Stats() (out []Stats) {
	for _, s := range b.list() {
		c := &s.counts
		st := Stats{
			Namespace: s.ns, Published: c.published.Load(), Delivered: c.delivered.Load(), Repaired: c.repaired.Load(), Gaps: c.gaps.Load(),
			Overflow: c.overflow.Load(), Duplicates: c.duplicates.Load(), Replayed: c.replayed.Load(), Refused: c.refused.Load(),
		}
		s.mu.Lock()
		for sub := range s.subs {
			if !sub.opts.Quiet {
				st.Subscriptions++
			}
		}
		s.mu.Unlock()
		for _, c := range s.carriers {
			if c.inbox() != nil {
				st.Carriers++
			}
			c.outbox.mu.Lock()
			st.BytesKept += int64(c.outbox.ring.bytes)
			c.outbox.mu.Unlock()
		}
		out = append(out, st)
	}
	return out
}

// published and delivered count. Metrics are told once for all messages of a frame, not for each.
func (s *space) published(list []*message) {
	s.counts.published.Add(int64(len(list)))
	s.meter("published", len(list))
	s.topics.note(list, time.Now())
}

func (s *space) delivered(list []*message, n int) {
	s.counts.delivered.Add(int64(n))
	s.meter("delivered", n)
	if m := list[0]; m.publisher != s.bus.self {
		metrics.AddSampleWithLabels([]string{"pubsub", "latency"}, float32(time.Since(m.Time).Microseconds())/1000, s.labels())
		s.topics.note(list, time.Now())
	}
}

// meter tells a metric of the namespace.
func (s *space) meter(name string, n int) {
	if n > 0 {
		metrics.IncrCounterWithLabels([]string{"pubsub", name}, float32(n), s.labels())
	}
}

func (s *space) labels() []metrics.Label {
	return []metrics.Label{{Name: "namespace", Value: string(s.ns)}}
}

const (
	// topicsMax bounds the topics whose messages are counted one by one.
	topicsMax = 4096
	topicAge  = 10 * time.Minute
	rateSpan  = 10 * time.Second
)

// topicStats count the messages of topics that pass this agent.
type topicStats struct {
	mu     sync.Mutex // protects the following
	topics map[string]*topicStat
}

type topicStat struct {
	messages int64
	last     time.Time
	// since and before make the rate: messages since a time, and those of the span before it.
	since         time.Time
	recent, prior int64
}

func newTopicStats() *topicStats { return &topicStats{topics: map[string]*topicStat{}} }

func (t *topicStats) note(list []*message, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var st *topicStat
	for i, m := range list {
		if i == 0 || list[i-1].Topic != m.Topic {
			if st = t.topics[m.Topic]; st == nil {
				if len(t.topics) >= topicsMax || m.Topic[0] == '_' { // the latter are not shown either
					continue
				}
				st = &topicStat{since: now}
				t.topics[m.Topic] = st
			}
			st.turn(now)
		}
		if st != nil {
			st.messages++
			st.recent++
			st.last = now
		}
	}
}

// turn begins a new span when the last one is over.
func (s *topicStat) turn(now time.Time) {
	switch past := now.Sub(s.since); {
	case past >= 2*rateSpan:
		s.since, s.prior, s.recent = now, 0, 0
	case past >= rateSpan:
		s.since, s.prior, s.recent = s.since.Add(rateSpan), s.recent, 0
	}
}

// rate is messages in a second, over the span that is over and the one that has begun.
func (s *topicStat) rate(now time.Time) float64 {
	s.turn(now)
	past := now.Sub(s.since)
	if s.prior == 0 {
		return float64(s.recent) / max(1, past.Seconds())
	}
	return float64(s.prior+s.recent) / (rateSpan + past).Seconds()
}

func (t *topicStats) expire(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for topic, s := range t.topics {
		if now.Sub(s.last) > topicAge {
			delete(t.topics, topic)
		}
	}
}
