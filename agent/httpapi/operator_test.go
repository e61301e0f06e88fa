package httpapi

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestOperatorRoutes(t *testing.T) {
	s := start(t, Config{})
	s.wantJSON(200, `"10.0.0.1:7001"`, "GET", "/v1/status/leader", "")
	s.wantJSON(200, `["10.0.0.1:7001"]`, "GET", "/v1/status/peers", "")
	s.wantJSON(200, `{"Servers":[{"ID":"12D3KooWtest","Node":"s1","Address":"10.0.0.1:7001","Leader":true,"Voter":true,"ProtocolVersion":"3","LastIndex":11}],"Index":1,"ClusterID":"c",
		"Refused":[{"ID":"12D3KooWother","Node":"x1","Address":"10.0.0.9:7001","ClusterID":"d","Reason":"it belongs to another cluster"}]}`,
		"GET", "/v1/operator/raft/configuration", "")
	s.want(200, "", "DELETE", "/v1/operator/raft/peer?id=gone", "")
	s.want(200, "", "DELETE", "/v1/operator/raft/peer?address=10.0.0.3:7001", "")
	s.want(404, "no such server", "DELETE", "/v1/operator/raft/peer?id=other", "")
	s.want(400, "either", "DELETE", "/v1/operator/raft/peer", "")
	s.want(400, "only one", "DELETE", "/v1/operator/raft/peer?id=a&address=b", "")
	s.wantJSON(200, `{"Success":true}`, "PUT", "/v1/operator/raft/transfer-leader?id=x", "")
	s.wantJSON(200, `{"Success":true}`, "POST", "/v1/operator/raft/transfer-leader", "")

	s.wantJSON(200, `[{"WAN":false,"Datacenter":"dc1","Segment":"","Keys":{"k":1},"PrimaryKeys":{"k":1},"NumNodes":1}]`, "GET", "/v1/operator/keyring?relay-factor=2", "")
	key := `{"key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`
	for _, m := range []string{"POST", "PUT", "DELETE"} {
		s.want(200, "", m, "/v1/operator/keyring", key, "Content-Type", "application/json")
		s.want(400, "base64", m, "/v1/operator/keyring", `{"Key":"short"}`, "Content-Type", "application/json")
		s.want(400, "JSON", m, "/v1/operator/keyring", `{"Key":`, "Content-Type", "application/json")
	}
}

func TestVerifyRoutes(t *testing.T) {
	s := start(t, Config{})
	s.wantJSON(200, `{"Index":14}`, "PUT", "/v1/operator/verify", "")
	s.wantJSON(200, `{"Index":14}`, "PUT", "/v1/operator/verify?reinstall=12D3KooWother", "")
	s.want(404, `"kind":"not_found"`, "PUT", "/v1/operator/verify?reinstall=x", "")
	s.want(400, "server id", "PUT", "/v1/operator/verify?reinstall=a%0Ab", "")
	s.want(400, "at=", "GET", "/v1/operator/verify?at=x", "")
	s.want(404, `"kind":"not_found"`, "GET", "/v1/operator/verify?at=15", "")
	for _, path := range []string{"/v1/operator/verify", "/v1/operator/verify?at=14&stale"} {
		s.wantJSON(200, `{"Index":14,"Outcome":"different","Time":"2023-11-14T22:13:20Z","Servers":[
			{"ID":"12D3KooWtest","Node":"s1","Address":"10.0.0.1:7001","Leader":true,"Voter":true,"Verdict":"right","Hash":"aa","Databases":1,"DatabasesDone":1,"Took":"5ms","Build":"1.0.0"},
			{"ID":"12D3KooWother","Node":"x1","Address":"10.0.0.9:7001","Leader":false,"Voter":true,"Verdict":"different","Hash":"bb","Databases":1,"DatabasesDone":1,"Took":"0s","Build":"1.0.0",
				"Quarantine":"it holds something else"}],
			"Differences":[{"Part":"table kv","Right":"cc","Hashes":{"12D3KooWother":"dd","12D3KooWtest":"cc"}}]}`, "GET", path, "")
	}
}

func TestAutopilotSpeaksInDurations(t *testing.T) {
	s := start(t, Config{})
	s.want(200, `"LastContactThreshold":"200ms"`, "GET", "/v1/operator/autopilot/configuration", "")
	s.wantJSON(200, "true", "PUT", "/v1/operator/autopilot/configuration", `{"LastContactThreshold":"1s","serverstabilizationtime":5000000000,"MaxTrailingLogs":7,"RedundancyZoneTag":""}`)
	r := s.want(200, `"LastContactThreshold":"1s"`, "GET", "/v1/operator/autopilot/configuration", "")
	for _, want := range []string{`"ServerStabilizationTime":"5s"`, `"MaxTrailingLogs":7`, `"CleanupDeadServers":true`} {
		if !strings.Contains(r.body, want) {
			t.Errorf("no %s in %s", want, r.body)
		}
	}
	var conf struct{ ModifyIndex json.Number }
	if err := json.Unmarshal([]byte(r.body), &conf); err != nil {
		t.Fatal(err)
	}
	s.wantJSON(200, "false", "PUT", "/v1/operator/autopilot/configuration?cas=1", `{}`)
	s.wantJSON(200, "true", "PUT", "/v1/operator/autopilot/configuration?cas="+conf.ModifyIndex.String(), `{}`)
	for _, body := range []string{`{"LastContactThreshold":"soon"}`, `{"LastContactThreshold":"-1s"}`, `{"LastContactThreshold":1.5}`, `{"MaxTrailingLogs":-1}`, `[]`} {
		s.want(400, "", "PUT", "/v1/operator/autopilot/configuration", body)
	}
	s.want(400, "cas", "PUT", "/v1/operator/autopilot/configuration?cas=x", "{}")

	s.want(429, `"LastContact":"5ms"`, "GET", "/v1/operator/autopilot/health", "") // unhealthy, with its body
	s.want(200, `"Servers":{"12D3KooWtest":{`, "GET", "/v1/operator/autopilot/state", "")
	s.want(200, `"Status":"leader"`, "GET", "/v1/operator/autopilot/state", "")
}

func TestCatalogAndCoordinates(t *testing.T) {
	s := start(t, Config{})
	s.want(200, `"Node":"s1","Address":"10.0.0.1","Datacenter":"dc1","TaggedAddresses":{"lan":"10.0.0.1","lan_ipv4"`, "GET", "/v1/catalog/nodes?near=_agent", "")
	s.want(200, `"Node":"s1"`, "GET", "/v1/catalog/nodes?node-meta=rack:r1", "")
	s.wantJSON(200, `[]`, "GET", "/v1/catalog/nodes?node-meta=rack:r1&node-meta=zone:z", "")
	s.want(400, "node-meta", "GET", "/v1/catalog/nodes?node-meta=rack", "")
	s.want(200, `"Services":{}`, "GET", "/v1/catalog/node/s1", "")
	s.wantJSON(200, `null`, "GET", "/v1/catalog/node/none", "")
	s.wantJSON(200, `["dc1"]`, "GET", "/v1/catalog/datacenters", "")
	s.want(200, `[{"Node":"s1","Segment":"","Coord":{"Vec":[`, "GET", "/v1/coordinate/nodes", "")
	s.want(200, `[{"Node":"s1"`, "GET", "/v1/coordinate/node/s1", "")
	s.want(404, "", "GET", "/v1/coordinate/node/none", "")
}

func TestASnapshotRestoresWhatItSaved(t *testing.T) {
	s := start(t, Config{})
	s.put("kept", "1")
	index := s.do("GET", "/v1/kv/kept", "").header.Get("X-Consul-Index")
	saved := s.want(200, "", "GET", "/v1/snapshot", "")
	if saved.header.Get("Content-Type") != "application/x-gzip" || saved.header.Get("X-Consul-Index") == "" || saved.header.Get("X-Consul-KnownLeader") != "true" {
		t.Errorf("headers %v", saved.header)
	}
	s.put("kept", "2")
	s.put("later", "x")
	for name, bad := range map[string]string{
		"empty": "", "cut": saved.body[:len(saved.body)/2], "flipped": flip(saved.body), "trailing": saved.body + "x", "no archive": "hello",
	} {
		if r := s.do("PUT", "/v1/snapshot", bad); r.status != 400 {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		s.want(200, "x", "GET", "/v1/kv/later?raw", "") // nothing was touched
	}
	s.want(200, "", "PUT", "/v1/snapshot", saved.body)
	s.want(200, "1", "GET", "/v1/kv/kept?raw", "")
	s.want(404, "", "GET", "/v1/kv/later", "")
	if got := s.do("GET", "/v1/kv/kept", "").header.Get("X-Consul-Index"); got != index {
		t.Errorf("the index is %s, it was %s", got, index)
	}
}

func flip(s string) string {
	b := []byte(s)
	b[len(b)/2] ^= 0x10
	return string(b)
}

func TestAnArchiveOverTheLimitIs413(t *testing.T) {
	s := start(t, Config{Limits: Limits{SnapshotBytesMax: 100}})
	s.want(413, "100 bytes", "PUT", "/v1/snapshot", strings.Repeat("x", 101))
	req, _ := http.NewRequest("PUT", s.url+"/v1/snapshot", io.NopCloser(&countingBody{left: 1 << 20}))
	w := &recorder{header: http.Header{}}
	s.h.ServeHTTP(w, req)
	if w.status != 400 && w.status != 413 {
		t.Errorf("%d %s", w.status, w.body.String())
	}
}

func TestASnapshotThatBreaksOffIsNoWholeReply(t *testing.T) {
	s := start(t, Config{})
	m := s.b.streams["Snapshot.Save"]
	m.Handle = func(_ context.Context, _ any, _ io.Reader, out io.Writer) error {
		if _, err := out.Write(make([]byte, 100_000)); err != nil {
			return err
		}
		return io.ErrUnexpectedEOF
	}
	s.b.streams["Snapshot.Save"] = m
	res, err := s.c.Get(s.url + "/v1/snapshot")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("half an archive looked whole")
	}
}
