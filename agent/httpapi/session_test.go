package httpapi

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

func TestSessionsAnswerAsConsulDoes(t *testing.T) {
	s := start(t, Config{})
	id := s.session(`{"name":"lock","TTL":"15s","lockdelay":"5s","behavior":"delete","ID":"mine","Unknown":{"x":1}}`)
	if id == "mine" {
		t.Error("the client chose the id")
	}
	r := s.want(200, `"Name":"lock"`, "GET", "/v1/session/info/"+id, "")
	for _, want := range []string{`"LockDelay":5000000000`, `"TTL":"15s"`, `"Behavior":"delete"`, `"Node":"s1"`, `"NodeChecks":["serfHealth"]`} {
		if !strings.Contains(r.body, want) {
			t.Errorf("no %s in %s", want, r.body)
		}
	}
	s.want(200, id, "GET", "/v1/session/list", "")
	s.want(200, id, "GET", "/v1/session/node/s1", "")
	s.wantJSON(200, "[]", "GET", "/v1/session/node/other", "")
	s.want(200, id, "PUT", "/v1/session/renew/"+id, "")
	s.want(200, "true", "PUT", "/v1/session/destroy/"+id, "")

	const unknown = "11111111-2222-3333-4444-555555555555"
	s.wantJSON(200, "[]", "GET", "/v1/session/info/"+unknown, "")
	s.wantJSON(200, "true", "PUT", "/v1/session/destroy/"+unknown, "")
	s.want(404, "Session id '"+unknown+"' not found", "PUT", "/v1/session/renew/"+unknown, "")
	s.wantJSON(200, "[]", "GET", "/v1/session/list", "")
}

func TestLockDelayIsReadAsConsulReadsIt(t *testing.T) {
	s := start(t, Config{})
	for body, want := range map[string]time.Duration{
		``: 15 * time.Second, `{}`: 15 * time.Second, `{"LockDelay":null}`: 15 * time.Second,
		`{"LockDelay":20}`: 20 * time.Second, `{"LockDelay":2.5}`: 2500 * time.Millisecond,
		`{"LockDelay":15000000000}`: 15 * time.Second, `{"LockDelay":1.5e+10}`: 15 * time.Second,
		`{"LockDelay":"1m"}`: time.Minute, `{"LockDelay":"500ms"}`: 500 * time.Millisecond, `{"LockDelay":0}`: 0,
	} {
		r := s.do("GET", "/v1/session/info/"+s.session(body), "")
		var got []structs.Session
		if err := json.Unmarshal([]byte(r.body), &got); err != nil || len(got) != 1 || got[0].LockDelay != want {
			t.Errorf("%s: %s, want %s", body, r.body, want)
		}
	}
}

// Consul's client calls it CreateNoChecks.
func TestSessionWithoutChecks(t *testing.T) {
	s := start(t, Config{})
	for _, body := range []string{`{"NodeChecks":[]}`, `{"Checks":[]}`} {
		s.want(200, `"NodeChecks":[]`, "GET", "/v1/session/info/"+s.session(body), "")
	}
	s.want(200, `"NodeChecks":["serfHealth"]`, "GET", "/v1/session/info/"+s.session(`{"NodeChecks":null}`), "")
}

// Consul's clients take 409 and 404 for something else; our own reads the kind.
func TestSessionFaultsHaveConsulsStatus(t *testing.T) {
	s := start(t, Config{})
	r := s.want(500, "Missing node registration", "PUT", "/v1/session/create", `{"Node":"unknown-node"}`)
	if kind := r.header.Get("X-Debros-Error-Kind"); kind != "not_found" {
		t.Errorf("kind %q", kind)
	}
	for _, id := range []string{"nonsense", "11111111-2222-3333-4444-555555555555"} {
		r := s.want(500, "invalid session", "PUT", "/v1/kv/a?acquire="+id, "x")
		if kind := r.header.Get("X-Debros-Error-Kind"); kind != "conflict" {
			t.Errorf("kind %q", kind)
		}
	}
	s.want(404, "does not exist", "PUT", "/v1/kv/a?ns=nowhere", "x")
}

func TestBadSessionsAreRefused(t *testing.T) {
	s := start(t, Config{})
	for _, body := range []string{
		`{`, `[]`, `"x"`, `{"TTL":"9s"}`, `{"TTL":"25h"}`, `{"TTL":"soon"}`, `{"TTL":-1}`, `{"LockDelay":-1}`, `{"LockDelay":"61s"}`,
		`{"LockDelay":"x"}`, `{"LockDelay":[]}`, `{"LockDelay":1e300}`, `{"Behavior":"explode"}`, `{"Namespace":"Bad"}`,
		`{"NodeChecks":["other"]}`,
	} {
		if r := s.do("PUT", "/v1/session/create", body); r.status < 400 || r.status >= 500 {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
	for _, path := range []string{"destroy/", "renew/"} {
		s.want(400, "Missing session", "PUT", "/v1/session/"+path, "")
	}
	s.want(400, "Missing session", "GET", "/v1/session/info/", "")
	s.want(400, "Missing node", "GET", "/v1/session/node/", "")
	s.want(404, "", "GET", "/v1/session/info/a/b", "")
	s.wantJSON(200, "[]", "GET", "/v1/session/list", "")
}
