package api

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	for _, c := range []struct {
		in   string
		tls  bool
		want string // "" = an error
		unix string
	}{
		{"", false, "http://127.0.0.1:5001", ""},
		{"10.0.0.1:80", false, "http://10.0.0.1:80", ""},
		{"host", false, "http://host:5001", ""},
		{"::1", false, "http://[::1]:5001", ""},
		{"[::1]:80", false, "http://[::1]:80", ""},
		{"host:1", true, "https://host:1", ""},
		{"http://host:1", true, "http://host:1", ""},
		{"https://host:1/", false, "https://host:1", ""},
		{"unix:///run/debros.sock", false, "http://localhost", "/run/debros.sock"},
		{"unix://", false, "", ""},
		{"ftp://host", false, "", ""},
		{"http://user@host:1", false, "", ""},
		{"http://host:1/path", false, "", ""},
		{"http://", false, "", ""},
	} {
		u, path, err := parseAddress(c.in, c.tls)
		if err != nil {
			if c.want != "" {
				t.Errorf("%q: %v", c.in, err)
			}
			continue
		}
		if u.String() != c.want || path != c.unix {
			t.Errorf("%q: got %q %q, want %q %q", c.in, u.String(), path, c.want, c.unix)
		}
	}
}

func TestDefaultConfigPrefersOurVariablesToConsuls(t *testing.T) {
	env := map[string]string{
		"CONSUL_HTTP_ADDR": "consul:8500", "CONSUL_HTTP_TOKEN": "ct", "DEBROS_HTTP_TOKEN": "dt", "CONSUL_NAMESPACE": "cns",
		"CONSUL_CACERT": "/ca.pem", "CONSUL_HTTP_SSL_VERIFY": "false",
	}
	cfg := configFrom(func(k string) string { return env[k] })
	if cfg.Address != "consul:8500" || cfg.Token != "dt" || cfg.Namespace != "cns" {
		t.Errorf("got %+v", cfg)
	}
	if cfg.TLS == nil || cfg.TLS.CAFile != "/ca.pem" || !cfg.TLS.InsecureSkipVerify {
		t.Errorf("TLS %+v", cfg.TLS)
	}
	env["DEBROS_HTTP_SSL"] = "false"
	if cfg := configFrom(func(k string) string { return env[k] }); cfg.TLS != nil {
		t.Errorf("HTTP_SSL=false: %+v", cfg.TLS)
	}
	if cfg := configFrom(func(string) string { return "" }); cfg.Address != DefaultAddress || cfg.TLS != nil {
		t.Errorf("empty environment: %+v", cfg)
	}
}

func TestNewRefusesWhatCannotBe(t *testing.T) {
	for _, cfg := range []Config{
		{Address: "gopher://x"},
		{TokenFile: "/nonexistent/token"},
		{TLS: &TLSConfig{CAFile: "/nonexistent/ca"}},
		{TLS: &TLSConfig{CertFile: "/nonexistent/cert"}},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("accepted %+v", cfg)
		}
	}
}

func FuzzReplies(f *testing.F) {
	for _, s := range []string{`[{"Key":"a","Value":"eA=="}]`, `{"LastContactThreshold":"3s"}`, `{"Status":4}`, `[{"Status":"alive"}]`, `"5m"`, `1e400`, `{`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		// Whatever an agent sends is decoded or refused; nothing panics.
		for _, v := range []any{&[]*KVPair{}, &AutopilotConfig{}, &Member{}, &[]*Member{}, new(Duration), &TxnReply{}, &AutopilotHealth{}} {
			_ = json.Unmarshal([]byte(s), v)
		}
	})
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"a:1", "unix:///x", "https://[::1]:9", ":", "[", "%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, _, err := parseAddress(s, false)
		if err == nil && (u.Host == "" || strings.ContainsAny(u.Host, "/@ ")) {
			t.Errorf("%q gives host %q", s, u.Host)
		}
	})
}
