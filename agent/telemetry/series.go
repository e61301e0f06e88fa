package telemetry

import (
	"slices"
	"strings"
	"sync"
	"time"

	metrics "github.com/hashicorp/go-metrics"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// seriesMax bounds memory: some names come from other nodes (serf counts user events by name), so
	// their number is not ours to choose. A server of a large cluster has a few hundred.
	seriesMax = 4096
	// labelledAgeMax is how long a series with labels outlives its last update: those are about peers,
	// and peers go away. Series without labels stay for ever, for some gauges are set only once.
	labelledAgeMax = 24 * time.Hour
	// summaryWindow is the time that quantiles look back.
	summaryWindow = time.Minute
)

type kind uint8

const (
	kindCounter kind = iota
	kindGauge
	kindSummary
)

// suffix tells apart two kinds that claim one name; Prometheus allows a name one type only.
func (k kind) suffix() string {
	return [...]string{kindCounter: "_total", kindGauge: "_gauge", kindSummary: "_sample"}[k]
}

type series struct {
	metric   prometheus.Metric // a Counter, Gauge or Summary
	labelled bool
	touched  time.Time
}

// seriesSet is the Prometheus side of the sink. go-metrics' own sink was not taken: it loses counts
// when two goroutines meet a new name, forgets idle counters, and lets one name that came over the
// network (a user event's) make the page fail.
type seriesSet struct {
	mu sync.Mutex // protects the following
	// series by name, kind and labels
	series map[string]*series
	// known finds the same series by kind, key and labels as they come, without making a name of them:
	// raft alone reports some ten values for each entry.
	known   map[string]*series
	kinds   map[string]kind   // the first kind that took a name
	helps   map[string]string // by name
	dropped uint64            // values of series beyond seriesMax

	droppedDesc *prometheus.Desc
}

func newSeriesSet() *seriesSet {
	return &seriesSet{
		series: map[string]*series{},
		known:  map[string]*series{},
		kinds:  map[string]kind{},
		helps:  map[string]string{},
		droppedDesc: prometheus.NewDesc(service+"_telemetry_values_dropped",
			"Values not recorded because the process has too many series.", nil, nil),
	}
}

func (s *seriesSet) set(key []string, v float64, labels []metrics.Label) {
	if m, ok := s.get(kindGauge, key, labels).(prometheus.Gauge); ok {
		m.Set(v)
	}
}

func (s *seriesSet) add(key []string, v float64, labels []metrics.Label) {
	if m, ok := s.get(kindCounter, key, labels).(prometheus.Counter); ok {
		m.Add(v)
	}
}

func (s *seriesSet) observe(key []string, v float64, labels []metrics.Label) {
	if m, ok := s.get(kindSummary, key, labels).(prometheus.Summary); ok {
		m.Observe(v)
	}
}

func (s *seriesSet) help(key []string, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.helps[metricName(key)] = text
}

// get finds or makes the series; nil when there are too many.
func (s *seriesSet) get(k kind, key []string, labels []metrics.Label) prometheus.Metric {
	now := time.Now()
	var room [knownKeyBytes]byte
	raw := rawKey(room[:0], k, key, labels)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.known[string(raw)]; ok { // allocates nothing
		e.touched = now
		return e.metric
	}
	e := s.findLocked(k, key, labels, now)
	if e == nil {
		return nil
	}
	if len(s.known) >= knownMax {
		clear(s.known)
	}
	s.known[string(raw)] = e
	return e.metric
}

const (
	// knownKeyBytes is room for most keys on the stack; longer ones cost an allocation.
	knownKeyBytes = 192
	// knownMax bounds known: several keys may come to one name, and labels may come in any order.
	knownMax = 2 * seriesMax
)

// rawKey appends what tells calls apart: kind, parts and labels, none of which holds a NUL as far as
// its sender is sane; where one does, two series of one kind become one.
func rawKey(b []byte, k kind, key []string, labels []metrics.Label) []byte {
	b = append(b, byte(k))
	for _, p := range key {
		b = append(b, 0)
		b = append(b, p...)
	}
	for _, l := range labels {
		b = append(b, 0, 0)
		b = append(b, l.Name...)
		b = append(b, 0)
		b = append(b, l.Value...)
	}
	return b
}

// findLocked finds or makes the series by its name.
func (s *seriesSet) findLocked(k kind, key []string, labels []metrics.Label, now time.Time) *series {
	name := metricName(key)
	owner, taken := s.kinds[name]
	if taken && owner != k {
		name += k.suffix()
	}
	id := seriesID(k, name, labels)
	if e, ok := s.series[id]; ok {
		e.touched = now
		return e
	}
	if len(s.series) >= seriesMax {
		s.dropped++
		return nil
	}
	if !taken {
		s.kinds[name] = k
	}
	e := &series{metric: s.newMetric(k, name, labels), labelled: len(labels) > 0, touched: now}
	s.series[id] = e
	return e
}

func (s *seriesSet) newMetric(k kind, name string, labels []metrics.Label) prometheus.Metric {
	help := s.helps[name]
	if help == "" {
		help = name
	}
	cl := prometheus.Labels{}
	for _, l := range labels {
		cl[labelName(l.Name)] = strings.ToValidUTF8(l.Value, "\uFFFD")
	}
	switch k {
	case kindCounter:
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: cl})
	case kindGauge:
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: cl})
	default:
		return prometheus.NewSummary(prometheus.SummaryOpts{
			Name: name, Help: help, ConstLabels: cl, MaxAge: summaryWindow,
			Objectives: map[float64]float64{0.5: 0.05, 0.9: 0.01, 0.99: 0.001},
		})
	}
}

// Describe sends only our own series: the others are not known beforehand, which makes the set an
// "unchecked" one for them.
func (s *seriesSet) Describe(ch chan<- *prometheus.Desc) { ch <- s.droppedDesc }

// Collect sends all series and forgets the labelled ones that nobody updates any more.
func (s *seriesSet) Collect(ch chan<- prometheus.Metric) {
	for _, m := range s.live(time.Now()) {
		ch <- m
	}
	s.mu.Lock()
	dropped := s.dropped
	s.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(s.droppedDesc, prometheus.CounterValue, float64(dropped))
}

func (s *seriesSet) live(now time.Time) []prometheus.Metric {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]prometheus.Metric, 0, len(s.series))
	for id, e := range s.series {
		if e.labelled && now.Sub(e.touched) > labelledAgeMax {
			delete(s.series, id)
			clear(s.known) // fills itself again
			continue
		}
		out = append(out, e.metric)
	}
	return out
}

func seriesID(k kind, name string, labels []metrics.Label) string {
	if len(labels) == 0 {
		return name + k.suffix()
	}
	sorted := slices.Clone(labels)
	slices.SortFunc(sorted, func(a, b metrics.Label) int { return strings.Compare(a.Name, b.Name) })
	var b strings.Builder
	b.WriteString(name)
	b.WriteString(k.suffix())
	for _, l := range sorted {
		b.WriteByte(0)
		b.WriteString(l.Name)
		b.WriteByte(0)
		b.WriteString(l.Value)
	}
	return b.String()
}

// labelName is metricName for a label, whose names have more that is reserved.
func labelName(name string) string {
	switch n := strings.TrimLeft(metricName([]string{name}), "_"); n {
	case "":
		return "label"
	case "quantile": // a summary's own
		return "quantile_"
	default:
		return n
	}
}

// metricName joins the parts of a key with "_" and replaces what Prometheus does not allow in a name.
func metricName(parts []string) string {
	var b strings.Builder
	for i, p := range parts {
		if i > 0 {
			b.WriteByte('_')
		}
		for _, c := range p {
			ok := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' && b.Len() > 0
			if !ok {
				c = '_'
			}
			b.WriteRune(c)
		}
	}
	if b.Len() == 0 {
		return "_"
	}
	return b.String()
}
