package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/debros/debros/structs"
)

func TestSelfHasTheShapeThatConsulsClientReads(t *testing.T) {
	s := start(t, Config{})
	r := s.want(200, "", "GET", "/v1/agent/self", "")
	var self map[string]map[string]any // what the client decodes into
	if err := json.Unmarshal([]byte(r.body), &self); err != nil {
		t.Fatalf("%s: %v", r.body, err)
	}
	if self["Config"]["NodeName"] != testNode || self["Config"]["Datacenter"] != "dc1" || self["Member"]["Status"] != 1.0 {
		t.Errorf("%s", r.body)
	}
}

func TestAgentRoutes(t *testing.T) {
	s := start(t, Config{})
	forced := false
	s.b.leave = func(force bool) error {
		if forced = force; !force {
			return structs.Errorf(structs.KindConflict, "leaving would lose quorum").WithHint("add -force")
		}
		return nil
	}
	s.h.b = s.b
	s.want(200, `"Name":"c1","Addr":"10.0.0.2","Port":7946,"Tags":null,"Status":4`, "GET", "/v1/agent/members?segment=", "")
	s.want(200, `[{"Name":"e1.dc1","Addr":"","Port":0,"Tags":{"via":"relay"},"Status":4`, "GET", "/v1/agent/members?wan=1", "")
	s.want(200, `{"Name":"s1.dc1"`, "GET", "/v1/agent/members?wan=1", "")
	s.want(200, `"Expect":3`, "GET", "/v1/agent/members", "")
	s.want(501, "filter", "GET", "/v1/agent/members?filter=Name==x", "")
	s.wantJSON(200, `{"Joined":1}`, "PUT", "/v1/agent/join/10.0.0.9:7946", "")
	s.want(503, "no answer", "PUT", "/v1/agent/join/10.0.0.8", "")
	s.want(400, "Missing address", "PUT", "/v1/agent/join/", "")
	s.want(409, "quorum", "PUT", "/v1/agent/leave", "")
	s.want(200, "", "PUT", "/v1/agent/leave?force", "")
	if !forced {
		t.Error("force was lost")
	}
	s.want(200, "", "PUT", "/v1/agent/force-leave/c1?prune", "")
	s.want(400, "Missing node", "PUT", "/v1/agent/force-leave/", "")
	s.wantJSON(200, `{"Changed":["log_level"],"NeedsRestart":["data_dir"]}`, "PUT", "/v1/agent/reload", "")
	s.wantJSON(200, `{"CPU":2}`, "GET", "/v1/agent/host", "")
	s.want(200, `"HumanVersion":"1.0.0"`, "GET", "/v1/agent/version", "")
	s.want(200, "", "PUT", "/v1/agent/maintenance?enable=true&reason=disk", "")
	s.want(200, "", "PUT", "/v1/agent/maintenance?enable=false", "")
	s.want(400, "Missing value for enable", "PUT", "/v1/agent/maintenance", "")
	s.want(400, "enable", "PUT", "/v1/agent/maintenance?enable=perhaps", "")
	s.want(200, "metrics prometheus", "GET", "/v1/agent/metrics?format=prometheus", "")
	s.want(400, "format", "GET", "/v1/agent/metrics?format=xml", "")
	s.want(400, "Unknown log level: loud", "GET", "/v1/agent/monitor?loglevel=loud", "")
}

func TestMonitorSendsEachLineAtOnce(t *testing.T) {
	s := start(t, Config{})
	next, ended := make(chan string), make(chan struct{})
	s.b.monitor = func(ctx context.Context, level string, json bool, w io.Writer) error {
		defer close(ended)
		if level != "warn" || !json {
			t.Errorf("level %q, json %v", level, json)
		}
		for {
			select {
			case line := <-next:
				if _, err := io.WriteString(w, line); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", s.url+"/v1/agent/monitor?loglevel=WARN&logjson", nil)
	res, err := s.c.Do(req) // returns before the first line
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	for _, line := range []string{"one\n", "two\n"} {
		next <- line
		if got, err := lines.ReadString('\n'); err != nil || got != line {
			t.Fatalf("%q, %v", got, err)
		}
	}
	cancel()
	<-ended // the monitor ends with its reader
}

func TestProfilesAreServedAndBounded(t *testing.T) {
	s := start(t, Config{})
	s.want(200, "", "GET", "/debug/pprof/heap", "")
	s.want(200, "", "GET", "/debug/pprof/trace?seconds=1", "")
	s.want(404, "no profile", "GET", "/debug/pprof/nothing", "")
	for _, seconds := range []string{"0", "-1", "301", "x"} {
		s.want(400, "seconds", "GET", "/debug/pprof/profile?seconds="+seconds, "")
	}
	s.b.denied = OperatorRead
	s.want(403, string(OperatorRead), "GET", "/debug/pprof/heap", "")
}

func TestTheAgentsOwnRoutesAskForTheirRight(t *testing.T) {
	for _, c := range []struct {
		op           AgentOp
		method, path string
	}{
		{AgentRead, "GET", "/v1/agent/self"}, {AgentRead, "GET", "/v1/agent/metrics"}, {AgentRead, "GET", "/v1/agent/monitor"}, {AgentRead, "GET", "/v1/agent/version"},
		{NodeRead, "GET", "/v1/agent/members"}, {NodeRead, "GET", "/v1/coordinate/nodes"}, {NodeRead, "GET", "/v1/coordinate/node/s1"},
		{AgentWrite, "PUT", "/v1/agent/join/x"}, {AgentWrite, "PUT", "/v1/agent/leave"}, {AgentWrite, "PUT", "/v1/agent/force-leave/x"}, {AgentWrite, "PUT", "/v1/agent/reload"},
		{OperatorWrite, "PUT", "/v1/agent/force-leave/x?prune"}, {OperatorRead, "GET", "/v1/agent/host"}, {NodeWrite, "PUT", "/v1/agent/maintenance?enable=true"},
		{KeyringRead, "GET", "/v1/operator/keyring"}, {KeyringWrite, "PUT", "/v1/operator/keyring"}, {KeyringWrite, "DELETE", "/v1/operator/keyring"}, {KeyringWrite, "POST", "/v1/operator/keyring"},
	} {
		s := start(t, Config{})
		s.b.denied = c.op
		s.want(403, string(c.op), c.method, c.path, "")
	}
}
