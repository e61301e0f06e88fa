package compat

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// raw sends a request that no client makes for itself, as curl would.
func raw(t *testing.T, method, path, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(within(t, deadline), method, "http://"+shared.http+path, strings.NewReader(body))
	must(t, err)
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	must(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	must(t, err)
	return res, string(b)
}

// Row 7: what JSON shows of an empty value and of a free key.
func TestRawPairs(t *testing.T) {
	client, p := sharedClient(t)
	put(t, client.KV(), p+"a", "")
	_, body := raw(t, "GET", "/v1/kv/"+p+"a", "")
	var pairs []map[string]any
	if err := json.Unmarshal([]byte(body), &pairs); err != nil || len(pairs) != 1 {
		t.Fatalf("%s: %v", body, err)
	}
	if v, shown := pairs[0]["Value"]; !shown || v != nil {
		t.Errorf("Value %v in %s", v, body)
	}
	if _, shown := pairs[0]["Session"]; shown {
		t.Errorf("Session in %s", body)
	}
}

// Rows 8 to 10.
func TestRawStatus(t *testing.T) {
	client, p := sharedClient(t)
	put(t, client.KV(), p+"a", "raw bytes")
	for _, tt := range []struct {
		method, path string
		status       int
		body, header string
	}{
		{"HEAD", p + "a", 405, "", "Allow"},
		{"OPTIONS", p + "a", 200, "", "Allow"},
		{"POST", p + "a", 405, "*", "Allow"},
		{"GET", p + "a//b", 307, "*", "Location"},
		{"GET", "/" + p + "a", 307, "*", "Location"},
		{"GET", p + "./a", 307, "*", "Location"},
		{"GET", p + "b/../a", 307, "*", "Location"},
		{"GET", p + "%00", 400, "*", ""},
		{"PUT", p + "a%0ab", 400, "*", ""},
		{"GET", p + "none?keys", 404, "", "X-Consul-Index"},
		{"GET", p + "none?recurse", 404, "", "X-Consul-Index"},
		{"GET", p + "a?raw", 200, "raw bytes", "X-Consul-Index"},
		{"GET", p + "a?recurse&raw", 200, "*", "X-Consul-Index"},
	} {
		res, body := raw(t, tt.method, "/v1/kv/"+tt.path, "")
		if res.StatusCode != tt.status || (tt.body != "*" && body != tt.body) || (tt.header != "" && res.Header.Get(tt.header) == "") {
			t.Errorf("%s %s: %d %q %v", tt.method, tt.path, res.StatusCode, body, res.Header)
		}
		if strings.HasSuffix(tt.path, "recurse&raw") && !strings.HasPrefix(body, "[{") {
			t.Errorf("%s is not JSON: %q", tt.path, body)
		}
	}
}

// Row 12: unknown fields and an id of the client's choice are ignored; names have any case; a small
// number is seconds.
func TestRawSessionBody(t *testing.T) {
	client, _ := sharedClient(t)
	_, body := raw(t, "PUT", "/v1/session/create", `{"id":"mine","unknown":[1],"nAME":"n","lockdelay":7}`)
	var out struct{ ID string }
	if err := json.Unmarshal([]byte(body), &out); err != nil || out.ID == "" || out.ID == "mine" {
		t.Fatalf("created %s", body)
	}
	defer client.Session().Destroy(out.ID, nil)
	if s := info(t, client, out.ID); s.Name != "n" || s.LockDelay != 7*time.Second {
		t.Errorf("made %+v", s)
	}
	const unknown = "11111111-2222-3333-4444-555555555555"
	if res, body := raw(t, "GET", "/v1/session/info/"+unknown, ""); res.StatusCode != 200 || strings.TrimSpace(body) != "[]" {
		t.Errorf("info: %d %s", res.StatusCode, body)
	}
	if res, body := raw(t, "PUT", "/v1/session/destroy/"+unknown, ""); res.StatusCode != 200 || strings.TrimSpace(body) != "true" {
		t.Errorf("destroy: %d %s", res.StatusCode, body)
	}
	if res, _ := raw(t, "PUT", "/v1/session/renew/"+unknown, ""); res.StatusCode != 404 {
		t.Errorf("renew: %d", res.StatusCode)
	}
}

// Rows 8 and 10 at the root need an agent that nobody wrote to.
func TestRawEmptyRoot(t *testing.T) {
	a, client := startAgent(t, "empty")
	for path, want := range map[string]int{"?keys": 200, "?recurse": 404} {
		res, err := http.Get("http://" + a.http + "/v1/kv/" + path)
		must(t, err)
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != want || want == 200 && string(bytes.TrimSpace(b)) != "[]" {
			t.Errorf("%s: %d %q", path, res.StatusCode, b)
		}
	}
	if keys, _, err := client.KV().Keys("", "", nil); err != nil || len(keys) > 0 {
		t.Errorf("keys %v %v", keys, err)
	}
	if pairs, _, err := client.KV().List("", &api.QueryOptions{}); err != nil || pairs != nil {
		t.Errorf("pairs %v %v", pairs, err)
	}
}
