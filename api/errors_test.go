package api_test

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/debros/debros/agent/agenttest"
	"github.com/debros/debros/api"
)

func TestHintsNameTheTLSOptionThatIsMissing(t *testing.T) {
	serve := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("true")) }
	plain := httptest.NewServer(http.HandlerFunc(serve))
	defer plain.Close()
	open := httptest.NewTLSServer(http.HandlerFunc(serve))
	defer open.Close()
	strict := httptest.NewUnstartedServer(http.HandlerFunc(serve))
	strict.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	strict.StartTLS()
	defer strict.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: open.Certificate().Raw} // of strict too
	if err := os.WriteFile(ca, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		address    string
		tls        api.TLSConfig
		says, hint string
	}{
		"unknown authority": {open.URL, api.TLSConfig{}, "unknown authority", "-ca-file"},
		"other name":        {open.URL, api.TLSConfig{CAFile: ca, ServerName: "elsewhere"}, "elsewhere", "-tls-server-name"},
		"no certificate":    {strict.URL, api.TLSConfig{CAFile: ca}, "certificate required", "-client-cert"},
		"TLS to plain":      {strings.Replace(plain.URL, "http", "https", 1), api.TLSConfig{}, "HTTP response to HTTPS client", "http://"},
		"plain to TLS":      {strings.Replace(open.URL, "https", "http", 1), api.TLSConfig{}, "HTTP request to an HTTPS server", "https://"},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := api.New(api.Config{Address: c.address, TLS: &c.tls, Retry: api.RetryPolicy{Max: -1}})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			var e *api.Error
			// A server that closes at once after its alert may take the alert along: then once more.
			for deadline := time.Now().Add(agenttest.Patience); e == nil || !strings.Contains(e.Message, c.says); {
				_, err := client.KV().Put(t.Context(), &api.KVPair{Key: "k"}, nil)
				if !errors.As(err, &e) || time.Now().After(deadline) {
					t.Fatalf("got %v, want %q", err, c.says)
				}
			}
			if !strings.Contains(e.Hint, c.hint) || errors.Is(e, api.ErrUnknownResult) {
				t.Errorf("%s: %v, hint %q, want %q", e.Kind, e, e.Hint, c.hint)
			}
		})
	}
}
