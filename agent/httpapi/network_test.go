package httpapi

import (
	"strings"
	"testing"
)

func TestNetworkRoutes(t *testing.T) {
	s := start(t, Config{})
	s.want(200, `"strangers":1`, "GET", "/v1/network/self", "")
	s.want(200, `"connected":true`, "GET", "/v1/network/status", "")
	s.want(200, `"peer_count":2`, "GET", "/v1/network/status", "")
	s.want(200, `"id":"b"`, "GET", "/v1/network/peers", "")
	if r := s.want(200, `"id":"a"`, "GET", "/v1/network/peers?members", ""); strings.Contains(r.body, `"id":"b"`) {
		t.Errorf("a stranger among the members: %s", r.body)
	}
	json := []string{"Content-Type", "application/json"}
	for _, name := range []string{"multiaddr", "peer_addr"} {
		s.wantJSON(200, `{"id":"at /ip4/1.2.3.4/tcp/1"}`, "POST", "/v1/network/connect", `{"`+name+`":"/ip4/1.2.3.4/tcp/1"}`)
	}
	s.want(400, "no multiaddr", "POST", "/v1/network/connect", `{}`, json...)
	s.want(400, "JSON", "POST", "/v1/network/connect", `{`, json...)
	s.wantJSON(200, `{"id":"a"}`, "POST", "/v1/network/disconnect", `{"peer_id":"a"}`)
	s.want(404, "not connected", "POST", "/v1/network/disconnect", `{"peer_id":"b"}`, json...)
	s.want(400, "no peer", "POST", "/v1/network/disconnect", `{}`, json...)
	s.wantJSON(200, `{"id":"a","addresses":["/ip4/10.0.0.1/tcp/4001"]}`, "GET", "/v1/network/find-peer?id=a", "")
	s.want(400, "id is missing", "GET", "/v1/network/find-peer", "")
	s.wantJSON(200, `[null,null]`, "GET", "/v1/network/providers?offer=x&limit=2", "")
	s.want(400, "offer is missing", "GET", "/v1/network/providers", "")
	s.want(400, "limit", "GET", "/v1/network/providers?offer=x&limit=-1", "")
	s.wantJSON(200, `{"id":"a","pings":[{"rtt_ms":0},{"rtt_ms":0},{"rtt_ms":0}]}`, "POST", "/v1/network/ping", `{"peer_id":"a"}`)
	s.want(400, "1 to 100", "POST", "/v1/network/ping", `{"peer_id":"a","count":101}`, json...)
	s.want(200, `"key":"/debros/a/b"`, "GET", "/v1/network/record?key=/debros/a/b", "")
	s.want(400, "key is missing", "GET", "/v1/network/record", "")
	s.wantJSON(200, `{"key":"n 4 1m0s"}`, "PUT", "/v1/network/record?name=n&ttl=1m", "data")
	s.wantJSON(200, `{"key":"n 0 0s"}`, "PUT", "/v1/network/record?name=n", "")
	s.want(400, "ttl", "PUT", "/v1/network/record?name=n&ttl=25h", "data")
	s.want(400, "name is missing", "PUT", "/v1/network/record", "data")
	s.want(413, "16384", "PUT", "/v1/network/record?name=n", strings.Repeat("x", recordBytesMax+1))
	s.want(405, "", "GET", "/v1/network/connect", "")
}

func TestNetworkRoutesAskForTheAgentsRights(t *testing.T) {
	json := []string{"Content-Type", "application/json"}
	for op, routes := range map[AgentOp][][3]string{
		AgentRead: {
			{"GET", "self"}, {"GET", "status"}, {"GET", "peers"}, {"GET", "find-peer?id=a"}, {"GET", "providers?offer=a"},
			{"POST", "ping", `{"peer_id":"a"}`}, {"GET", "record?key=a"},
		},
		AgentWrite: {{"POST", "connect", `{"multiaddr":"a"}`}, {"POST", "disconnect", `{"peer_id":"a"}`}, {"PUT", "record?name=a", "x"}},
	} {
		s := start(t, Config{})
		s.b.denied = op
		for _, r := range routes {
			s.want(403, "", r[0], "/v1/network/"+r[1], r[2], json...)
		}
	}
}
