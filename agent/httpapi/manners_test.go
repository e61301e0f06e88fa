package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/debros/debros/structs"
)

func TestMalformedParametersAreRefusedWithClearText(t *testing.T) {
	s := start(t, Config{})
	s.put("a", "1")
	for _, c := range []struct{ query, want string }{
		{"index=-1", "index"}, {"index=NaN", "index"}, {"index=99999999999999999999", "index"}, {"index=1e3", "index"},
		{"min_index=-1", "min_index"}, {"min_index=x", "min_index"},
		{"wait=-5s", "wait"}, {"wait=NaN", "wait"}, {"wait=NaNs", "wait"}, {"wait=9999999999h", "wait"}, {"wait=25h", "wait"}, {"wait=5", "wait"}, {"wait=infs", "wait"},
		{"recurse&per_page=0", "per_page"}, {"recurse&per_page=-3", "per_page"}, {"recurse&per_page=99999999999999999999", "per_page"}, {"recurse&per_page=NaN", "per_page"}, {"recurse&per_page=10001", "per_page"},
		{"recurse&next_token=x", "per_page"},
		{"stale&consistent", "both"}, {"stale&leader", "both"}, {"leader&consistent", "both"},
		{"ns=Not_Valid", "namespace"}, {"ns=*", "namespace"}, {"ns=" + strings.Repeat("a", 64), "namespace"},
		{"partition=other", "partition"}, {"dc=%00", "datacenter"}, {"a=%zz", "malformed"}, {"a;b", "malformed"},
		{"token=secret", "token in the URL"},
	} {
		r := s.want(400, c.want, "GET", "/v1/kv/a?"+c.query, "")
		if ct := r.header.Get("Content-Type"); ct != "text/plain; charset=utf-8" {
			t.Errorf("%s: content type %q", c.query, ct)
		}
	}
	for _, query := range []string{"wait=15m", "wait=10m", "index=0", "index=", "stale", "consistent", "leader", "stale=false&consistent", "ns=default", "dc=dc1", "partition=default"} {
		s.want(200, "", "GET", "/v1/kv/a?"+query, "")
	}
}

func TestTokenAndNamespaceAreTakenFromTheHeaders(t *testing.T) {
	for _, c := range []struct {
		header []string
		token  string
		ns     structs.Namespace
	}{
		{[]string{"X-Debros-Token", "a"}, "a", ""},
		{[]string{"X-Consul-Token", "a"}, "a", ""},
		{[]string{"Authorization", "Bearer a"}, "a", ""},
		{[]string{"Authorization", "bearer  a "}, "a", ""},
		{[]string{"Authorization", "Basic a"}, "", ""},
		{[]string{"X-Consul-Token", "b", "X-Debros-Token", "a"}, "a", ""},
		{[]string{"X-Debros-Namespace", "team"}, "", "team"},
		{[]string{"X-Consul-Namespace", "team"}, "", "team"},
	} {
		h := http.Header{}
		for i := 0; i < len(c.header); i += 2 {
			h.Set(c.header[i], c.header[i+1])
		}
		r, _ := http.NewRequest("GET", "/v1/kv/a", nil)
		r.Header = h
		got := &call{r: r}
		if err := got.readManners(); err != nil || got.token != c.token || got.ns != c.ns {
			t.Errorf("%v: token %q, namespace %q, %v", c.header, got.token, got.ns, err)
		}
	}
}

// What the agent asks servers on a caller's behalf, it asks with the caller's token.
func TestTheTokenGoesOnWithQuestionsToServers(t *testing.T) {
	s := start(t, Config{})
	for what, path := range map[string]string{
		"Members": "GET /v1/agent/members", "MembersWAN": "GET /v1/agent/members?wan", "NetworkPeers": "GET /v1/network/peers", "ForceLeave": "PUT /v1/agent/force-leave/n",
	} {
		method, path, _ := strings.Cut(path, " ")
		s.want(200, "", method, path, "", "X-Debros-Token", "of "+what)
		if got := s.b.noted(what); got != "of "+what {
			t.Errorf("%s went on with the token %q", path, got)
		}
	}
	s.want(200, "", "GET", "/nodes?nonvoters", "", "X-Debros-Token", "rqlite")
	if got := s.b.noted("Members"); got != "rqlite" {
		t.Errorf("/nodes went on with the token %q", got)
	}
}

func TestNamespacesAreSeparate(t *testing.T) {
	s := start(t, Config{})
	s.want(200, `"Name":"team"`, "PUT", "/v1/namespace", `{"name":"team","Description":"x","Unknown":1}`)
	s.put("k?ns=team", "theirs")
	s.want(404, "", "GET", "/v1/kv/k", "")
	s.want(200, "theirs", "GET", "/v1/kv/k?raw", "", "X-Consul-Namespace", "team")
	s.want(409, "", "PUT", "/v1/namespace", `{"Name":"team"}`)
	s.want(200, `"Description":"y"`, "PUT", "/v1/namespace/team", `{"Description":"y"}`)
	s.want(400, "", "PUT", "/v1/namespace/team", `{"Name":"other"}`)
	s.want(400, "", "PUT", "/v1/namespace/Bad", `{}`)
	s.want(200, "team", "GET", "/v1/namespace/team", "")
	s.want(404, "", "GET", "/v1/namespace/none", "")
	s.want(200, `"Name":"default"`, "GET", "/v1/namespaces", "")
	s.want(200, "", "DELETE", "/v1/namespace/team", "")
	s.want(404, "", "GET", "/v1/namespace/team", "")
}

func TestEveryWrongMethodNamesTheRightOnes(t *testing.T) {
	s := start(t, Config{})
	allow := map[string]map[string]bool{}
	for _, r := range routes() {
		path, _, _ := strings.Cut(r.pattern, "{")
		if strings.Contains(r.pattern, "{") {
			path += "x"
		}
		if allow[path] == nil {
			allow[path] = map[string]bool{"OPTIONS": true}
		}
		allow[path][r.method] = true
	}
	s.b.failWith(errors.New("no handler may be reached"))
	for path, methods := range allow {
		for _, m := range []string{"GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "TRACE"} {
			if methods[m] {
				continue
			}
			r := s.do(m, path, "")
			if r.status != 405 {
				t.Errorf("%s %s: %d", m, path, r.status)
			}
			for want := range methods {
				if !strings.Contains(r.header.Get("Allow"), want) {
					t.Errorf("%s %s: Allow is %q", m, path, r.header.Get("Allow"))
				}
			}
		}
		r := s.do("OPTIONS", path, "")
		if r.status != 200 || r.body != "" || !strings.Contains(r.header.Get("Allow"), "OPTIONS") {
			t.Errorf("OPTIONS %s: %d %q %q", path, r.status, r.body, r.header.Get("Allow"))
		}
		if r.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("OPTIONS %s: a CORS header", path)
		}
	}
}

// countingBody is a body without a declared length that counts what was taken from it.
type countingBody struct {
	left, taken int64
	mu          sync.Mutex
}

func (b *countingBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), b.left)
	b.left -= n
	b.taken += n
	return int(n), nil
}

func TestABodyOverTheLimitIs413WithTheLimit(t *testing.T) {
	s := start(t, Config{Limits: Limits{ValueBytesMax: 1000}})
	s.put("fits", strings.Repeat("x", 1000))
	s.want(413, "1000 bytes", "PUT", "/v1/kv/a", strings.Repeat("x", 1001))
	s.want(413, "11010048", "PUT", "/v1/txn", "["+strings.Repeat(" ", 11<<20)+"]")
	s.want(413, "65536", "PUT", "/v1/session/create", strings.Repeat(" ", 65537))
	s.want(404, "", "GET", "/v1/kv/a", "")
	// Without Content-Length, and straight at the handler, to see how much it takes.
	for _, path := range []string{"/v1/kv/a", "/v1/session/create"} {
		limit := int64(1000)
		if path != "/v1/kv/a" {
			limit = smallBodyBytesMax
		}
		body := &countingBody{left: 1 << 30}
		req, _ := http.NewRequest("PUT", s.url+path, io.NopCloser(body))
		req.ContentLength = -1
		w := &recorder{header: http.Header{}}
		s.h.ServeHTTP(w, req)
		if w.status != 413 || !strings.Contains(w.body.String(), fmt.Sprint(limit)) {
			t.Errorf("%s: %d %q", path, w.status, w.body.String())
		}
		if body.taken > limit+1 {
			t.Errorf("%s: %d bytes were read, the limit is %d", path, body.taken, limit)
		}
	}
	// Over a connection, chunked.
	req, _ := http.NewRequest("PUT", s.url+"/v1/kv/a", io.NopCloser(&countingBody{left: 5000}))
	res, err := s.c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 413 {
		t.Errorf("chunked: %d", res.StatusCode)
	}
}

// recorder is a ResponseWriter that keeps the reply.
type recorder struct {
	header http.Header
	status int
	body   strings.Builder
}

func (w *recorder) Header() http.Header    { return w.header }
func (w *recorder) WriteHeader(status int) { w.status = status }
func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = 200
	}
	return w.body.Write(p)
}

func TestABodyThatEndsEarlyWritesNothing(t *testing.T) {
	s := start(t, Config{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "PUT /v1/kv/half HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
	conn.(*net.TCPConn).CloseWrite()
	io.Copy(io.Discard, conn)
	conn.Close()
	if n := s.b.count("KV.Apply"); n != 0 {
		t.Errorf("%d writes of a value that never came whole", n)
	}
}

func TestPagesOfOtherSitesAreRefused(t *testing.T) {
	s := start(t, Config{NodeName: "node-7", Hosts: []string{"KV.example.org"}, Origins: []string{"https://ui.example.org"}})
	s.put("a", "1")
	for _, c := range []struct {
		status int
		method string
		header []string
	}{
		{200, "GET", []string{"Host", "localhost:5001"}},
		{200, "GET", []string{"Host", "LOCALHOST."}},
		{200, "GET", []string{"Host", "127.0.0.1"}},
		{200, "GET", []string{"Host", "[::1]:5001"}},
		{200, "GET", []string{"Host", "10.1.2.3:80"}},
		{200, "GET", []string{"Host", "node-7"}},
		{200, "GET", []string{"Host", "kv.example.org:443"}},
		{403, "GET", []string{"Host", "evil.example"}},
		{403, "GET", []string{"Host", "localhost.evil.example"}},
		{403, "GET", []string{"Host", "127.0.0.1.evil.example"}},
		{403, "PUT", []string{"Host", "evil.example"}},
		{403, "OPTIONS", []string{"Host", "evil.example"}},
		{403, "PUT", []string{"Origin", "https://evil.example"}},
		{403, "GET", []string{"Origin", "https://evil.example"}},
		{403, "PUT", []string{"Origin", "null"}},
		{403, "PUT", []string{"Origin", "https://ui.example.org", "Origin", "https://evil.example"}},
		{403, "PUT", []string{"Origin", "http://localhost:9999", "Host", "localhost:5001"}}, // another port is another site
		{200, "PUT", []string{"Origin", "https://UI.example.org"}},
		{200, "PUT", []string{"Origin", "http://localhost:5001", "Host", "localhost:5001"}},
		{403, "PUT", []string{"Sec-Fetch-Site", "cross-site"}},
		{200, "PUT", []string{"Sec-Fetch-Site", "same-origin"}},
		{200, "PUT", []string{"Content-Type", "application/x-www-form-urlencoded"}}, // what curl -d sends
	} {
		r := s.do(c.method, "/v1/kv/a", "", c.header...)
		if r.status != c.status {
			t.Errorf("%s %v: %d %q, want %d", c.method, c.header, r.status, r.body, c.status)
		}
		for name := range r.header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s %v: CORS header %s", c.method, c.header, name)
			}
		}
	}
	for _, form := range []string{"application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"} {
		s.want(400, "form", "POST", "/v1/operator/raft/transfer-leader", "a=b", "Content-Type", form)
	}
	s.want(200, "true", "POST", "/v1/operator/raft/transfer-leader", "", "Content-Type", "application/json")
	r := s.want(405, "not allowed", "POST", "/v1/kv/a", "a=b", "Content-Type", "application/x-www-form-urlencoded")
	if allow := r.header.Get("Allow"); !strings.Contains(allow, "PUT") {
		t.Errorf("POST to a key: Allow: %q", allow)
	}
}

func TestAWaitThatIsRefusedSaysWhatIsNot(t *testing.T) {
	s := start(t, Config{})
	s.want(200, "", "PUT", "/v1/kv/a", "x")
	s.want(400, "outside 0 to 24h0m0s\nhint: what is above 10m0s is cut to it", "GET", "/v1/kv/a?wait=25h", "")
	s.want(200, "", "GET", "/v1/kv/a?wait=24h", "")
}

// TestAPathThatLeavesItsGroupIsRefusedInTheGroupsForm: Consul's clients read text.
func TestAPathThatLeavesItsGroupIsRefusedInTheGroupsForm(t *testing.T) {
	s := start(t, Config{})
	for _, path := range []string{"/v1/kv/%2e%2e/b", "/v1/kv/../namespaces"} {
		r := s.want(400, "leaves", "PUT", path, "")
		if kind := r.header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain") {
			t.Errorf("%s: %s %q", path, kind, r.body)
		}
	}
}

// No GET may change anything: it is what a link or an image of any page can send.
func TestGETsOnlyRead(t *testing.T) {
	s := start(t, Config{})
	before := s.b.State().Index()
	s.b.monitor = nil
	for _, r := range routes() {
		if r.method != "GET" || strings.HasSuffix(r.pattern, "monitor") {
			continue
		}
		path, _, _ := strings.Cut(r.pattern, "{")
		s.do("GET", path+"?acquire=x&cas=0&release=x&recurse&force&prune&enable=true", "body")
	}
	if after := s.b.State().Index(); after != before {
		t.Errorf("GETs moved the index from %d to %d", before, after)
	}
	for method, n := range s.b.calls {
		for _, verb := range []string{"Apply", "Set", "Remove", "Transfer", "Renew"} {
			if strings.Contains(method, verb) {
				t.Errorf("a GET called %s %d times", method, n)
			}
		}
	}
}

func TestKindsBecomeStatuses(t *testing.T) {
	s := start(t, Config{})
	for _, c := range []struct {
		err    error
		status int
		retry  bool
		text   string
	}{
		{structs.Errorf(structs.KindNoLeader, "no cluster leader"), 503, true, "no cluster leader"},
		{structs.Errorf(structs.KindUnavailable, "stopping").WithHint("ask another"), 503, true, "hint: ask another"},
		{structs.Errorf(structs.KindDenied, "permission denied"), 403, false, "permission denied"},
		{structs.Errorf(structs.KindRateLimited, "slow down"), 429, true, "slow down"},
		{structs.Errorf(structs.KindUnknownResult, "maybe"), 500, false, "maybe"},
		{structs.Errorf(structs.KindQuota, "full"), 507, false, "full"},
		{fmt.Errorf("wrapped: %w", structs.Errorf(structs.KindNotFound, "gone")), 404, false, "gone"},
		{errors.New("the database password is hunter2"), 500, false, "internal error"},
	} {
		s.b.failWith(c.err)
		r := s.want(c.status, c.text, "GET", "/v1/kv/a", "")
		if (r.header.Get("Retry-After") != "") != c.retry {
			t.Errorf("%v: Retry-After %q", c.err, r.header.Get("Retry-After"))
		}
		if strings.Contains(r.body, "hunter2") {
			t.Error("an internal error reached the user")
		}
		if c.status == 500 && strings.Contains(c.text, "internal") && !strings.Contains(r.body, r.header.Get("X-Request-Id")) {
			t.Errorf("the internal error does not name its request: %q", r.body)
		}
	}
	if !strings.Contains(s.log.String(), "hunter2") {
		t.Error("the internal error is not in the log")
	}
}

func TestErrorsOfOtherRoutesAreJSON(t *testing.T) {
	s := start(t, Config{})
	r := s.want(404, "", "GET", "/v1/nothing/here", "")
	var body errorBody
	if err := json.Unmarshal([]byte(r.body), &body); err != nil {
		t.Fatalf("%q: %v", r.body, err)
	}
	if body.Error.Kind != "not_found" || body.Error.Message == "" || body.Error.RequestID != r.header.Get("X-Request-Id") {
		t.Errorf("%+v, request %s", body, r.header.Get("X-Request-Id"))
	}
	if r.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Error("no nosniff")
	}
}

func TestAPanicIsA500WithTheRequestID(t *testing.T) {
	s := start(t, Config{})
	r := s.want(500, "internal error", "PUT", "/v1/agent/leave", "") // the scripted agent panics
	if id := r.header.Get("X-Request-Id"); id == "" || !strings.Contains(r.body, id) || !strings.Contains(s.log.String(), id) {
		t.Errorf("request %q, body %q", id, r.body)
	}
	if strings.Contains(r.body, "nobody expected") || strings.Contains(r.body, "goroutine") {
		t.Errorf("the panic reached the user: %q", r.body)
	}
	if !strings.Contains(s.log.String(), "nobody expected a leave") {
		t.Error("the panic is not in the log")
	}
	s.want(200, "", "GET", "/v1/agent/members", "") // and the API lives on
}

func TestPrettyIsIndented(t *testing.T) {
	s := start(t, Config{})
	s.put("a", "1")
	if r := s.want(200, "", "GET", "/v1/kv/a?pretty", ""); !strings.Contains(r.body, "\n    ") || !strings.HasSuffix(r.body, "\n") {
		t.Errorf("%q", r.body)
	}
}

func TestAnotherDatacenterWithoutAPathIsAnError(t *testing.T) {
	s := start(t, Config{})
	s.want(500, "no path", "GET", "/v1/kv/a?dc=mars", "")
	s.want(500, "no path", "PUT", "/v1/kv/a?dc=mars", "x")
}

func TestMinIndexWaitsAndThenGivesUp(t *testing.T) {
	s := start(t, Config{})
	index := s.do("PUT", "/v1/kv/a", "1").header.Get("X-Debros-Index")
	s.want(200, "", "GET", "/v1/kv/a?stale&min_index="+index, "")
	s.want(503, "not applied", "GET", "/v1/kv/a?stale&wait=10ms&min_index=999999", "")
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	b := agent{newCluster(t)}
	for _, cfg := range []Config{
		{Origins: []string{"ui.example.org"}},
		{Origins: []string{"https://ui.example.org/page"}},
		{Limits: Limits{TxnOpsMax: -1}},
	} {
		if _, err := New(cfg, b); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
	if _, err := New(Config{}, nil); err == nil {
		t.Error("no backend was accepted")
	}
	if _, err := newTable(append(routes(), routes()[0])); err == nil {
		t.Error("a route that is there twice was accepted")
	}
}
