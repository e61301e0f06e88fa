package telemetry

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	armon "github.com/armon/go-metrics"
	metrics "github.com/hashicorp/go-metrics"
	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/serf/serf"
	"github.com/prometheus/client_golang/prometheus"
)

func process4test(t *testing.T) *Telemetry {
	t.Helper()
	tel, err := Process()
	if err != nil {
		t.Fatal(err)
	}
	return tel
}

func page(t *testing.T, tel *Telemetry, query string) string {
	t.Helper()
	w := httptest.NewRecorder()
	tel.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/v1/agent/metrics"+query, nil))
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// value finds the sample line "name value" or "name{labels} value".
func value(t *testing.T, text, name string) string {
	t.Helper()
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	t.Fatalf("no series %q in:\n%s", name, text)
	return ""
}

func TestProcessIsOneTelemetryForAllAgents(t *testing.T) {
	first, second := process4test(t), process4test(t)
	if first != second {
		t.Fatal("the second agent of a process got other metrics")
	}
}

func TestMetricsOfEveryLibraryAppear(t *testing.T) {
	tel := process4test(t)
	dir := t.TempDir()
	logs := []*raft.Log{{Index: 1, Term: 1, Data: []byte("x")}}

	bolt, err := raftboltdb.NewBoltStore(filepath.Join(dir, "raft.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := bolt.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
	if err := bolt.Close(); err != nil {
		t.Fatal(err)
	}
	w, err := wal.Open(dir, wal.WithMetricsCollector(tel.WAL()))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	runSerf(t)
	runRaft(t)

	text := page(t, tel, "?format=prometheus")
	for _, want := range []string{
		"debros_raft_boltdb_storeLogs_count", "debros_raft_wal_log_entries_written", "debros_raft_apply",
		"debros_serf_events", "debros_memberlist_msg_alive", "go_goroutines", "process_open_fds",
	} {
		if v := value(t, text, want); v == "0" {
			t.Errorf("%s = 0", want)
		}
	}
	if !strings.Contains(text, "# HELP debros_raft_wal_log_entries_written log_entries_written counts") {
		t.Error("no help for raft-wal's series")
	}
}

// runSerf makes serf and memberlist report something.
func runSerf(t *testing.T) {
	cfg := serf.DefaultConfig()
	cfg.NodeName = "one"
	cfg.Logger = log.New(io.Discard, "", 0)
	cfg.MemberlistConfig.Logger = cfg.Logger
	cfg.MemberlistConfig.Transport = (&memberlist.MockNetwork{}).NewTransport("one")
	s, err := serf.Create(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.UserEvent("deploy", nil, false); err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}
}

// runRaft commits one entry on a raft of one.
func runRaft(t *testing.T) {
	conf := raft.DefaultConfig()
	conf.LocalID = "one"
	conf.LogOutput = io.Discard
	conf.HeartbeatTimeout, conf.ElectionTimeout = 50*time.Millisecond, 50*time.Millisecond
	conf.LeaderLeaseTimeout = 50 * time.Millisecond
	store := raft.NewInmemStore()
	addr, trans := raft.NewInmemTransport("")
	r, err := raft.NewRaft(conf, &raft.MockFSM{}, store, store, raft.NewInmemSnapshotStore(), trans)
	if err != nil {
		t.Fatal(err)
	}
	servers := raft.Configuration{Servers: []raft.Server{{ID: "one", Address: addr}}}
	if err := r.BootstrapCluster(servers).Error(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.LeaderCh():
	case <-time.After(time.Minute):
		t.Fatal("no leader")
	}
	if err := r.Apply([]byte("x"), time.Minute).Error(); err != nil {
		t.Fatal(err)
	}
	if err := r.Shutdown().Error(); err != nil {
		t.Fatal(err)
	}
}

func TestJSONHasConsulsShape(t *testing.T) {
	tel := process4test(t)
	metrics.SetGauge([]string{"shape", "nan"}, float32(math.NaN())) // would make encoding/json fail
	armon.AddSample([]string{"shape", "sample"}, 7)
	metrics.IncrCounterWithLabels([]string{"shape", "count"}, 1, []metrics.Label{{Name: "peer", Value: "p"}})
	gauges := map[string]float32{}
	// An interval may end between setting and reading; the next one shows them.
	for end := time.Now().Add(30 * time.Second); gauges["debros.shape.gauge"] == 0 && time.Now().Before(end); {
		metrics.SetGauge([]string{"shape", "gauge"}, 2)
		metrics.SetPrecisionGauge([]string{"shape", "precise"}, 3)
		s, err := tel.Summary()
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range s.Gauges {
			gauges[g.Name] = g.Value
		}
	}
	if gauges["debros.shape.gauge"] != 2 || gauges["debros.shape.precise"] != 3 {
		t.Errorf("gauges %v", gauges)
	}
	var body struct {
		Timestamp *string
		Gauges    *[]struct{ Name *string }
		Points    *[]struct{ Name *string }
		Counters  *[]struct {
			Name  *string
			Count *int
			Sum   *float64
		}
		Samples *[]struct{ Mean *float64 }
	}
	dec := json.NewDecoder(strings.NewReader(page(t, tel, "")))
	dec.UseNumber()
	if err := dec.Decode(&body); err != nil {
		t.Fatal(err)
	}
	if body.Timestamp == nil || body.Gauges == nil || body.Points == nil || body.Counters == nil || body.Samples == nil {
		t.Fatalf("a list is missing or null: %+v", body)
	}
}

func TestForeignNamesCannotBreakThePage(t *testing.T) {
	tel, err := newTelemetry()
	if err != nil {
		t.Fatal(err)
	}
	conf := metrics.DefaultConfig(service)
	conf.EnableHostname, conf.EnableRuntimeMetrics = false, false
	m, err := metrics.New(conf, tel.sink) // as install does, but not for the whole process
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a b", "\xff\xfe", "x{y=\"1\"}", "line\nbreak", "", "ünï", "quantile", "__name__"} {
		m.IncrCounter([]string{"hostile", name}, 1)
		labels := []metrics.Label{{Name: name, Value: name}}
		m.IncrCounterWithLabels([]string{"hostile_label"}, 1, labels)
		m.AddSampleWithLabels([]string{"hostile_sample"}, 1, labels)
	}
	m.IncrCounter([]string{"hostile", "after"}, -5) // a counter never goes back
	m.IncrCounter([]string{"hostile", "after"}, 1)
	m.SetGauge([]string{"hostile", "after"}, 9) // one name, two types
	text := page(t, tel, "?format=prometheus")
	if v := value(t, text, "debros_hostile_after"); v != "1" {
		t.Errorf("counter = %s", v)
	}
	if v := value(t, text, "debros_hostile_after_gauge"); v != "9" {
		t.Errorf("gauge of the same name = %s", v)
	}
	value(t, text, "debros_hostile_line_break")
	if _, err := tel.registry.Gather(); err != nil {
		t.Errorf("gather: %v", err)
	}
}

func TestNoCountIsLostBetweenGoroutines(t *testing.T) {
	tel, err := newTelemetry()
	if err != nil {
		t.Fatal(err)
	}
	const each, goroutines = 500, 8
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for i := range each {
				tel.sink.IncrCounter([]string{fmt.Sprint("lost", i)}, 1)
			}
		})
	}
	wg.Wait()
	text := page(t, tel, "?format=prometheus")
	for i := range each {
		if v := value(t, text, fmt.Sprint("lost", i)); v != fmt.Sprint(goroutines) {
			t.Fatalf("lost%d = %s", i, v)
		}
	}
}

func TestSeriesAreBounded(t *testing.T) {
	tel, err := newTelemetry()
	if err != nil {
		t.Fatal(err)
	}
	for i := range seriesMax + 10 {
		tel.sink.SetGauge([]string{fmt.Sprint("g", i)}, 1)
	}
	text := page(t, tel, "?format=prometheus")
	if v := value(t, text, "debros_telemetry_values_dropped"); v != "10" {
		t.Errorf("dropped = %s", v)
	}
	if n := len(tel.sink.prom.series); n != seriesMax {
		t.Errorf("%d series", n)
	}
}

func TestSeriesOfPeersThatWentAreForgotten(t *testing.T) {
	s := newSeriesSet()
	s.set([]string{"once"}, 1, nil)
	s.set([]string{"peer"}, 1, []metrics.Label{{Name: "id", Value: "a"}})
	if n := len(s.live(time.Now())); n != 2 {
		t.Fatalf("%d series", n)
	}
	if n := len(s.live(time.Now().Add(labelledAgeMax + time.Minute))); n != 1 {
		t.Fatalf("%d series after a day, want the one without labels", n)
	}
}

func TestRegistryTakesOurOwnCollectors(t *testing.T) {
	tel, err := newTelemetry()
	if err != nil {
		t.Fatal(err)
	}
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "debros_own", Help: "own"})
	if err := tel.Registry().Register(c); err != nil {
		t.Fatal(err)
	}
	c.Inc()
	if v := value(t, page(t, tel, "?format=prometheus"), "debros_own"); v != "1" {
		t.Errorf("own = %s", v)
	}
}

// Raft reports some ten values for each entry; finding their series must not make garbage.
func TestKnownSeriesAreFoundWithoutAllocating(t *testing.T) {
	s := newSeriesSet()
	key, labels := []string{"debros", "raft", "replication", "appendEntries", "rpc"}, []metrics.Label{{Name: "peer_id", Value: "12D3KooWAgmY8VgG1CVXV"}}
	first := s.get(kindSummary, key, labels)
	if n := testing.AllocsPerRun(100, func() {
		if s.get(kindSummary, key, labels) != first {
			t.Error("another series for the same key")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if s.get(kindCounter, key, labels) == first || s.get(kindSummary, key, nil) == first || s.get(kindSummary, key[:4], labels) == first {
		t.Error("one series for different keys")
	}
}
