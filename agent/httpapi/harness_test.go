package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// harness is an API on a loopback port over the real endpoints.
type harness struct {
	t   *testing.T
	b   agent
	h   *Handler
	url string
	c   *http.Client
	log *bytes.Buffer
}

func start(t *testing.T, cfg Config) *harness {
	t.Helper()
	s := &harness{t: t, b: agent{newCluster(t)}, log: &bytes.Buffer{}}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelError}))
	}
	if cfg.NodeName == "" {
		cfg.NodeName = testNode
	}
	h, err := New(cfg, s.b)
	if err != nil {
		t.Fatal(err)
	}
	s.h = h
	ts := httptest.NewUnstartedServer(h)
	ctx, cancel := context.WithCancel(context.Background())
	ts.Config = h.Server(ctx)
	ts.Start()
	t.Cleanup(func() {
		cancel()
		s.c.CloseIdleConnections()
		ts.Close()
	})
	s.url = ts.URL
	s.c = &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 8},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       patience,
	}
	return s
}

// reply is a whole answer.
type reply struct {
	status int
	header http.Header
	body   string
}

// do sends a request; header is pairs of name and value. The path is sent as it is written.
func (s *harness) do(method, path, body string, header ...string) reply {
	s.t.Helper()
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, s.url+path, rd)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
			continue
		}
		req.Header.Add(header[i], header[i+1])
	}
	res, err := s.c.Do(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatalf("%s %s: read reply: %v", method, path, err)
	}
	return reply{res.StatusCode, res.Header, string(b)}
}

// want sends a request and checks status and, where text is not "", that the body contains it.
func (s *harness) want(status int, text, method, path, body string, header ...string) reply {
	s.t.Helper()
	r := s.do(method, path, body, header...)
	if r.status != status || !strings.Contains(r.body, text) {
		s.t.Errorf("%s %s: %d %q, want %d with %q", method, path, r.status, r.body, status, text)
	}
	return r
}

// wantJSON checks the exact JSON of a reply, blanks aside.
func (s *harness) wantJSON(status int, want, method, path, body string) reply {
	s.t.Helper()
	r := s.do(method, path, body)
	var got, exp bytes.Buffer
	if json.Compact(&got, []byte(r.body)) != nil || json.Compact(&exp, []byte(want)) != nil || r.status != status || got.String() != exp.String() {
		s.t.Errorf("%s %s: %d %s, want %d %s", method, path, r.status, r.body, status, want)
	}
	if ct := r.header.Get("Content-Type"); ct != "application/json" {
		s.t.Errorf("%s %s: content type %q", method, path, ct)
	}
	return r
}

func (s *harness) put(key, value string) {
	s.t.Helper()
	s.want(200, "true", "PUT", "/v1/kv/"+key, value)
}

// session makes one without TTL.
func (s *harness) session(body string) string {
	s.t.Helper()
	r := s.want(200, "ID", "PUT", "/v1/session/create", body)
	var out struct{ ID string }
	if err := json.Unmarshal([]byte(r.body), &out); err != nil || out.ID == "" {
		s.t.Fatalf("create session: %q", r.body)
	}
	return out.ID
}

// patience is how long a test waits for what takes a moment on an idle machine.
const patience = time.Minute

// until polls with a deadline.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}
