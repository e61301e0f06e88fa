// Package telemetry collects the metrics of the process and serves them as Prometheus text and as
// Consul's JSON.
//
// Contract: there is one Telemetry per process, because the libraries below report to two global
// variables: raft, serf and memberlist to hashicorp/go-metrics, raft-boltdb to armon/go-metrics. The
// first call of Process points both at the same sink; later calls return the same Telemetry, so
// several agents in one test process share one set of figures. raft-wal has an interface of its own
// (WAL). Every name begins with "debros": raft.apply is debros.raft.apply in JSON and
// debros_raft_apply in Prometheus. Go runtime and process figures are in the Prometheus form only.
package telemetry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	armon "github.com/armon/go-metrics"
	metrics "github.com/hashicorp/go-metrics"
	wal "github.com/hashicorp/raft-wal"
	walmetrics "github.com/hashicorp/raft-wal/metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// service is the first part of every metric's name.
const service = "debros"

// The JSON form shows the last finished interval, as Consul does; a minute of them is kept.
const (
	jsonInterval = 10 * time.Second
	jsonRetain   = time.Minute
)

// Telemetry holds the process's metrics. Its methods are safe for concurrent use.
type Telemetry struct {
	registry *prometheus.Registry
	inmem    *metrics.InmemSink
	sink     *sink
	prom     http.Handler

	filtering sync.Mutex // one SetFilter at a time
}

// process is what Process returns: the one exception to "no package variables", as the globals that
// it sets are the process's too.
var process = sync.OnceValues(func() (*Telemetry, error) {
	t, err := newTelemetry()
	if err != nil {
		return nil, err
	}
	return t, t.install()
})

// Process returns the process's Telemetry; the first call installs it as the sink of both go-metrics
// modules. It never opens a socket. An error can only come from the first call and is then permanent.
func Process() (*Telemetry, error) { return process() }

func newTelemetry() (*Telemetry, error) {
	t := &Telemetry{
		registry: prometheus.NewRegistry(),
		inmem:    metrics.NewInmemSink(jsonInterval, jsonRetain),
	}
	series := newSeriesSet()
	t.sink = &sink{prom: series, inmem: t.inmem}
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		series,
	} {
		if err := t.registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	t.prom = promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{
		// One bad series must not hide all the others from whoever is looking for a fault.
		ErrorHandling: promhttp.ContinueOnError,
	})
	walSeries := walCollector{t.sink}
	for _, d := range wal.MetricDefinitions.Counters {
		series.help(walSeries.key(d.Name), d.Desc)
	}
	for _, d := range wal.MetricDefinitions.Gauges {
		series.help(walSeries.key(d.Name), d.Desc)
	}
	return t, nil
}

// install points both global go-metrics instances at the sink.
func (t *Telemetry) install() error {
	hc := metrics.DefaultConfig(service)
	hc.EnableHostname = false       // the scraper knows whom it asked
	hc.EnableRuntimeMetrics = false // the Go collector has them, and go-metrics stops the world each second for its own
	if _, err := metrics.NewGlobal(hc, t.sink); err != nil {
		return fmt.Errorf("install metrics sink: %w", err)
	}
	ac := armon.DefaultConfig(service)
	ac.EnableHostname = false
	ac.EnableRuntimeMetrics = false
	if _, err := armon.NewGlobal(ac, armonSink{t.sink}); err != nil {
		return fmt.Errorf("install metrics sink: %w", err)
	}
	return nil
}

// SetFilter says which metrics are kept: "+name" keeps those that begin with name, "-name" drops
// them, the longest match decides. It may be called again; the process has one filter.
func (t *Telemetry) SetFilter(rules []string) {
	var allow, block []string
	for _, r := range rules {
		switch {
		case strings.HasPrefix(r, "+"):
			allow = append(allow, r[1:])
		case strings.HasPrefix(r, "-"):
			block = append(block, r[1:])
		}
	}
	t.filtering.Lock() // the libraries read their filter unguarded as they replace it
	defer t.filtering.Unlock()
	metrics.UpdateFilter(allow, block)
	armon.UpdateFilter(allow, block)
}

// Registry takes collectors of our own; names should begin with "debros_". Registering the same
// collector for a second agent of the process fails with prometheus.AlreadyRegisteredError.
func (t *Telemetry) Registry() prometheus.Registerer { return t.registry }

// WAL is the collector for raft-wal (wal.WithMetricsCollector); names become debros.raft.wal.….
func (t *Telemetry) WAL() walmetrics.Collector { return walCollector{t.sink} }

// Handler serves /v1/agent/metrics: Prometheus text with ?format=prometheus, else Consul's JSON
// (Timestamp, Gauges, Points, Counters, Samples of the last finished ten seconds).
func (t *Telemetry) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("format") == "prometheus" {
			t.prom.ServeHTTP(w, r)
			return
		}
		summary, err := t.Summary()
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		body, err := json.Marshal(summary)
		if err != nil {
			http.Error(w, "metrics cannot be shown as JSON", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body) // the client went away; nothing to tell it
	})
}

// Summary is the JSON form of the metrics, as Consul's clients read it. Lists are never null.
type Summary struct {
	Timestamp string // end of the interval, UTC
	Gauges    []metrics.GaugeValue
	Points    []metrics.PointValue
	Counters  []metrics.SampledValue
	Samples   []metrics.SampledValue // timers, in milliseconds, and sizes
}

// Summary rolls up the last finished interval of ten seconds.
func (t *Telemetry) Summary() (*Summary, error) {
	v, err := t.inmem.DisplayMetrics(nil, nil)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	m, ok := v.(metrics.MetricsSummary)
	if !ok {
		return nil, fmt.Errorf("read metrics: unexpected %T", v)
	}
	return &Summary{
		Timestamp: m.Timestamp, Gauges: m.Gauges, Points: m.Points,
		Counters: m.Counters, Samples: m.Samples,
	}, nil
}
