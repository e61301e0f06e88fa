package agent_test

import (
	"bufio"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/debros/debros/agent/agenttest"
)

// metrics reads the figures of the process, as Prometheus would: name (without labels) to the sum.
func metrics(t *testing.T, n *agenttest.Node) map[string]float64 {
	t.Helper()
	res, err := http.Get("http://" + n.HTTPAddrs()[0] + "/v1/agent/metrics?format=prometheus")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	out := map[string]float64{}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		series, value, ok := strings.Cut(lines.Text(), " ")
		if i := strings.LastIndexByte(lines.Text(), ' '); i > 0 {
			series, value = lines.Text()[:i], lines.Text()[i+1:]
		}
		if !ok || strings.HasPrefix(series, "#") {
			continue
		}
		name, _, _ := strings.Cut(series, "{")
		v, _ := strconv.ParseFloat(value, 64) // NaN of an empty summary
		out[name] += v
	}
	return out
}

// metric is one figure; every agent of the process adds to it.
func metric(t *testing.T, n *agenttest.Node, name string) float64 {
	t.Helper()
	all := metrics(t, n)
	return all[name] + all[name+"_total"]
}

func TestMetricsOfEveryPartAreServed(t *testing.T) {
	t.Parallel()
	for backend, own := range map[string]string{"wal": "debros_raft_wal_", "boltdb": "debros_raft_boltdb_"} {
		c := agenttest.Cluster(t, 1, 1, func(s *agenttest.Spec) {
			if s.Server {
				s.HCL += "\nraft_logstore { backend = \"" + backend + "\" }"
			}
		})
		put(t, c.Servers[0], "k", "v")
		for _, prefix := range []string{"debros_raft_apply", "debros_raft_commitTime", "debros_serf_", "debros_memberlist_", "debros_server_", "go_", "process_", own} {
			eventually(t, "a metric "+prefix, func() bool {
				for name := range metrics(t, c.Servers[0]) {
					if strings.HasPrefix(name, prefix) {
						return true
					}
				}
				return false
			})
		}
	}
}

func TestSQLIsCounted(t *testing.T) {
	n := agenttest.Cluster(t, 1, 0).Servers[0]
	names := map[string]float64{"debros_sql_statements": 4, "debros_sql_errors": 1, "debros_sql_rows": 3, "debros_sql_execute_count": 1, "debros_sql_query_count": 1}
	before := map[string]float64{}
	for name := range names {
		before[name] = metric(t, n, name)
	}
	post(t, n, "execute", `{"statements":["create table t (a)","insert into t values (1),(2)","selec"]}`)
	post(t, n, "query", `{"sql":"select a from t limit 1"}`)
	for name, want := range names {
		if got := metric(t, n, name) - before[name]; got < want {
			t.Errorf("%s grew by %v, want %v at least", name, got, want)
		}
	}
	eventually(t, "the databases to be measured", func() bool {
		all := metrics(t, n)
		_, counted := all["debros_sql_databases"]
		_, measured := all["debros_sql_databases_bytes"]
		return counted && measured
	})
}

func post(t *testing.T, n *agenttest.Node, path, body string) {
	t.Helper()
	res, err := http.Post("http://"+n.HTTPAddrs()[0]+"/v1/sql/"+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 {
		t.Fatalf("%s: %d %s, %v", path, res.StatusCode, text, err)
	}
}
