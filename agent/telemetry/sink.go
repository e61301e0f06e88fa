package telemetry

import (
	"math"

	armon "github.com/armon/go-metrics"
	metrics "github.com/hashicorp/go-metrics"
)

// sink is what both go-metrics instances report to. It hands every value to the Prometheus series
// and to the in-memory intervals behind the JSON form.
type sink struct {
	prom  *seriesSet
	inmem *metrics.InmemSink
}

var _ metrics.PrecisionGaugeMetricSink = (*sink)(nil)

// jsonable says whether a value can be in the JSON form, which knows neither NaN nor infinity: one
// of them would make the whole page fail.
func jsonable(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func (s *sink) gauge(key []string, v float64, labels []metrics.Label) {
	s.prom.set(key, v, labels)
	if jsonable(v) {
		s.inmem.SetGaugeWithLabels(key, float32(v), labels)
	}
}

func (s *sink) count(key []string, v float64, labels []metrics.Label) {
	if !jsonable(v) || v < 0 { // a counter never goes back
		return
	}
	s.prom.add(key, v, labels)
	s.inmem.IncrCounterWithLabels(key, float32(v), labels)
}

func (s *sink) sample(key []string, v float64, labels []metrics.Label) {
	if !jsonable(v) {
		return
	}
	s.prom.observe(key, v, labels)
	s.inmem.AddSampleWithLabels(key, float32(v), labels)
}

func (s *sink) SetGauge(key []string, v float32) { s.gauge(key, float64(v), nil) }
func (s *sink) SetGaugeWithLabels(key []string, v float32, l []metrics.Label) {
	s.gauge(key, float64(v), l)
}
func (s *sink) SetPrecisionGauge(key []string, v float64) { s.gauge(key, v, nil) }
func (s *sink) SetPrecisionGaugeWithLabels(key []string, v float64, l []metrics.Label) {
	s.gauge(key, v, l)
}
func (s *sink) EmitKey(key []string, v float32)     { s.inmem.EmitKey(key, v) }
func (s *sink) IncrCounter(key []string, v float32) { s.count(key, float64(v), nil) }
func (s *sink) IncrCounterWithLabels(key []string, v float32, l []metrics.Label) {
	s.count(key, float64(v), l)
}
func (s *sink) AddSample(key []string, v float32) { s.sample(key, float64(v), nil) }
func (s *sink) AddSampleWithLabels(key []string, v float32, l []metrics.Label) {
	s.sample(key, float64(v), l)
}

// armonSink is the same sink for the older module, whose Label is another type.
type armonSink struct{ *sink }

func relabel(in []armon.Label) []metrics.Label {
	if len(in) == 0 {
		return nil
	}
	out := make([]metrics.Label, len(in))
	for i, l := range in {
		out[i] = metrics.Label{Name: l.Name, Value: l.Value}
	}
	return out
}

func (s armonSink) SetGaugeWithLabels(key []string, v float32, l []armon.Label) {
	s.gauge(key, float64(v), relabel(l))
}
func (s armonSink) IncrCounterWithLabels(key []string, v float32, l []armon.Label) {
	s.count(key, float64(v), relabel(l))
}
func (s armonSink) AddSampleWithLabels(key []string, v float32, l []armon.Label) {
	s.sample(key, float64(v), relabel(l))
}

// walCollector takes raft-wal's counters, which keep all their 64 bits here.
type walCollector struct{ s *sink }

func (walCollector) key(name string) []string { return []string{service, "raft", "wal", name} }

// IncrementCounter implements raft-wal's Collector.
func (c walCollector) IncrementCounter(name string, delta uint64) {
	c.s.count(c.key(name), float64(delta), nil)
}

// SetGauge implements raft-wal's Collector.
func (c walCollector) SetGauge(name string, v uint64) { c.s.gauge(c.key(name), float64(v), nil) }
