package httpapi

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestKeysArePathsDecodedOnce(t *testing.T) {
	s := start(t, Config{})
	s.put("a%2Fb", "slash")
	s.wantJSON(200, `["a/b"]`, "GET", "/v1/kv/?keys", "")
	s.want(200, "slash", "GET", "/v1/kv/a/b?raw", "")
	s.put("pct%252F", "twice")
	s.want(200, `"Key":"pct%2F"`, "GET", "/v1/kv/pct%252F", "")
	s.put("sp%20ace+plus", "x")
	s.want(200, `"Key":"sp ace+plus"`, "GET", "/v1/kv/sp%20ace+plus", "")
	s.put("caf%C3%A9", "x")
	s.want(200, `"Key":"café"`, "GET", "/v1/kv/caf%C3%A9", "")
	s.put("dots..in...names", "x")
	s.put("dir/", "x") // a final slash is part of the key
	s.want(200, `"Key":"dir/"`, "GET", "/v1/kv/dir/", "")
	s.put("%3Fq=1", "x")
	s.want(200, `"Key":"?q=1"`, "GET", "/v1/kv/%3Fq=1", "")
}

func TestUncleanPathsAreRedirectedOrRefused(t *testing.T) {
	s := start(t, Config{})
	for _, c := range []struct {
		method, path string
		status       int
		location     string
	}{
		{"GET", "/v1/kv/a//b", 307, "/v1/kv/a/b"},
		{"GET", "/v1/kv/a/./b", 307, "/v1/kv/a/b"},
		{"PUT", "/v1/kv/a/../b", 307, "/v1/kv/b"},
		{"PUT", "/v1/kv//a", 307, "/v1/kv/a"},
		{"DELETE", "/v1/kv/a//b/?recurse&cas=1", 307, "/v1/kv/a/b/?recurse&cas=1"},
		{"GET", "//v1/kv/a", 307, "/v1/kv/a"},
		{"GET", "/v1/kv/a/%2e%2e/b", 307, "/v1/kv/b"},
		{"GET", "/v1/kv/a/%2E/b", 307, "/v1/kv/a/b"},
		{"GET", "/v1/kv/a%2F%2Fb", 307, "/v1/kv/a/b"},
		{"GET", "/v1/kv/a%2f..%2fb", 307, "/v1/kv/b"},
		{"GET", "/v1/kv/a/../%2562", 307, "/v1/kv/%2562"},
		{"GET", "/v1/kv/a/../sp%20%3F", 307, "/v1/kv/sp%20%3F"},
		{"GET", "/v1/kv/../kv/a", 307, "/v1/kv/a"},
		{"GET", "/v1/kv/x/..", 307, "/v1/kv/"},
		{"PUT", "/v1/kv/../agent/leave", 400, ""},
		{"PUT", "/v1/kv/a/../../agent/leave", 400, ""},
		{"PUT", "/v1/kv/%2e%2e/agent/leave", 400, ""},
		{"PUT", "/v1/kv/..%2fagent%2fleave", 400, ""},
		{"GET", "/v1/kv/../snapshot", 400, ""},
		{"GET", "/v1/kv/../../etc/passwd", 400, ""},
		{"DELETE", "/v1/kv/a/..?recurse", 400, ""},
		{"DELETE", "/v1/kv//?recurse", 400, ""},
		{"DELETE", "/v1/kv/%2e?recurse", 400, ""},
		{"GET", "/v1/kv/a%00b", 400, ""},
		{"PUT", "/v1/kv/a%0Ab", 400, ""},
		{"PUT", "/v1/kv/a%0D%0AX-Evil:%201", 400, ""},
		{"PUT", "/v1/kv/a%7F", 400, ""},
		{"PUT", "/v1/kv/%FF%FE", 400, ""},
		{"PUT", "/v1/kv/%C0%AF", 400, ""},      // an overlong slash
		{"PUT", "/v1/kv/a%E2%80%AEb", 400, ""}, // right-to-left override
		{"PUT", "/v1/kv/" + strings.Repeat("k", 8192), 200, ""},
		{"PUT", "/v1/kv/" + strings.Repeat("k", 8193), 414, ""},
		{"GET", "/v1/kv/" + strings.Repeat("k", 8193) + "?recurse", 414, ""},
		{"PUT", "/v1/kv/" + strings.Repeat("k", 64<<10), 414, ""},
	} {
		r := s.do(c.method, c.path, "")
		if r.status != c.status || r.header.Get("Location") != c.location {
			t.Errorf("%s %s: %d to %q (%s), want %d to %q", c.method, shorten(c.path), r.status, r.header.Get("Location"), shorten(r.body), c.status, c.location)
		}
		if r.header.Get("X-Evil") != "" {
			t.Errorf("%s: a header was smuggled in", c.path)
		}
	}
	if n := s.b.count("KV.Apply"); n != 1 {
		t.Errorf("%d writes, one key was good", n)
	}
}

// FuzzKeyParsing holds the rule of keys.go: whatever the path, it is refused, redirected once to a clean
// path of the same group, or taken as the key that decodes it once.
func FuzzKeyParsing(f *testing.F) {
	for _, seed := range []string{"a", "a/b", "a//b", "../agent/leave", "%2e%2e%2fagent", "a%2Fb", "%252F", "a/./b/../c/", "%00", "%ff", "..", ".", "/", "", "a%3Fb", "é", "//", "..%2F..%2F.."} {
		f.Add("PUT", seed)
		f.Add("GET", seed)
	}
	table, err := newTable(routes())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, escaped string) {
		u, err := url.ParseRequestURI(kvPrefix + escaped)
		if err != nil || u.Host != "" {
			return // net/http has refused it
		}
		to, refused := checkPath(method, u)
		if refused != nil {
			return
		}
		if to != "" {
			next, err := url.ParseRequestURI(to)
			if err != nil || next.Host != "" || !strings.HasPrefix(next.Path, kvPrefix) {
				t.Fatalf("%q is redirected to %q", escaped, to)
			}
			if again, refused := checkPath(method, next); again != "" || refused != nil {
				t.Fatalf("%q is redirected to %q, and that to %q (%v)", escaped, to, again, refused)
			}
			if method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions && next.Path == kvPrefix {
				t.Fatalf("%s of %q is redirected to the whole store", method, escaped)
			}
			return
		}
		_, key := table.find(cleanPath(u.Path))
		raw, _, _ := strings.Cut(escaped, "?")
		want, err := url.PathUnescape(raw)
		if err != nil || key != want {
			t.Fatalf("%q became the key %q, want %q (%v)", escaped, key, want, err)
		}
		if strings.Contains(key, "//") || !printable(key) {
			t.Fatalf("key %q", key)
		}
		for seg := range strings.SplitSeq(key, "/") {
			if seg == "." || seg == ".." {
				t.Fatalf("key %q", key)
			}
		}
	})
}
