package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// DefaultAddress is where an agent listens unless it is told otherwise.
	DefaultAddress = "127.0.0.1:5001"
	// DefaultTimeout bounds a call that neither blocks nor streams. A leader is found again within
	// seconds, and the server holds a call for 7 s meanwhile.
	DefaultTimeout = 30 * time.Second
)

// Config says which agent to talk to and how. The zero value talks to DefaultAddress without a token.
type Config struct {
	// Address of the agent: "host:port", "http://host:port", "https://host:port" or
	// "unix:///path". Default DefaultAddress.
	Address string
	// Token is the ACL secret sent with every call; TokenFile is a file that holds it, read by New
	// when Token is "".
	Token     string
	TokenFile string
	// Namespace of every call that names none; "" leaves it to the token.
	Namespace string
	// Datacenter of every call that names none; "" is the agent's own.
	Datacenter string
	// TLS non-nil turns an address without a scheme into https.
	TLS *TLSConfig
	// HTTPClient replaces the client's own; it excludes TLS and Dialer. Its redirect policy is not used.
	HTTPClient *http.Client
	// Dialer opens the connections, e.g. over a libp2p stream; nil is TCP (or unix, by Address). What its errors
	// say by a method Hint() string becomes the hint of the call's error.
	Dialer func(ctx context.Context, network, addr string) (net.Conn, error)
	// Retry says how often and how patiently a call is repeated; see the package comment.
	Retry RetryPolicy
	// Timeout of one attempt of a call that neither blocks nor streams; 0 = DefaultTimeout,
	// negative = none.
	Timeout time.Duration
}

// RetryPolicy bounds repetition. The pause before repetition n is between half and all of
// WaitMin·2ⁿ, never above WaitMax, and never below what the agent's Retry-After asks for.
type RetryPolicy struct {
	Max     int           // repetitions at most; 0 = 4, negative = none
	WaitMin time.Duration // 0 = 100 ms
	WaitMax time.Duration // 0 = 3 s
	// Within is how long after its beginning a call may still be repeated; 0 = for ever. An agent waits
	// for a leader itself, some seconds, so a program that answers a person may have waited enough.
	Within time.Duration
}

func (p RetryPolicy) withDefaults() RetryPolicy {
	if p.Max == 0 {
		p.Max = 4
	}
	if p.WaitMin <= 0 {
		p.WaitMin = 100 * time.Millisecond
	}
	if p.WaitMax <= 0 {
		p.WaitMax = 3 * time.Second
	}
	return p
}

// TLSConfig names the files of an https connection; an empty field is Go's default.
type TLSConfig struct {
	CAFile             string // PEM certificates of the authorities to trust; "" = the system's
	CertFile           string // PEM client certificate, with KeyFile
	KeyFile            string
	ServerName         string // expected in the agent's certificate; "" = the host of Address
	InsecureSkipVerify bool   // accept any certificate
}

func (t *TLSConfig) empty() bool { return *t == TLSConfig{} }

// DefaultConfig is the configuration that the environment asks for: DEBROS_HTTP_ADDR,
// DEBROS_HTTP_TOKEN, DEBROS_HTTP_TOKEN_FILE, DEBROS_NAMESPACE, DEBROS_DATACENTER, DEBROS_CACERT,
// DEBROS_CLIENT_CERT, DEBROS_CLIENT_KEY, DEBROS_TLS_SERVER_NAME, DEBROS_HTTP_SSL and
// DEBROS_HTTP_SSL_VERIFY. Where one is not set, its CONSUL_ twin counts (for files,
// CONSUL_CACERT, CONSUL_CLIENT_CERT, CONSUL_CLIENT_KEY). A boolean that is none is ignored.
func DefaultConfig() Config { return configFrom(os.Getenv) }

func configFrom(getenv func(string) string) Config {
	env := func(name string) string {
		if v := getenv("DEBROS_" + name); v != "" {
			return v
		}
		return getenv("CONSUL_" + name)
	}
	cfg := Config{
		Address:    env("HTTP_ADDR"),
		Token:      env("HTTP_TOKEN"),
		TokenFile:  env("HTTP_TOKEN_FILE"),
		Namespace:  env("NAMESPACE"),
		Datacenter: env("DATACENTER"),
	}
	if cfg.Address == "" {
		cfg.Address = DefaultAddress
	}
	t := TLSConfig{
		CAFile:     env("CACERT"),
		CertFile:   env("CLIENT_CERT"),
		KeyFile:    env("CLIENT_KEY"),
		ServerName: env("TLS_SERVER_NAME"),
	}
	ssl, err := strconv.ParseBool(env("HTTP_SSL"))
	if ssl || err != nil && !t.empty() { // files alone mean https too, unless HTTP_SSL says no
		cfg.TLS = &t
	}
	if verify, err := strconv.ParseBool(env("HTTP_SSL_VERIFY")); err == nil && cfg.TLS != nil {
		cfg.TLS.InsecureSkipVerify = !verify
	}
	return cfg
}

// parseAddress splits an address into the base URL and, for unix sockets, the path.
func parseAddress(addr string, useTLS bool) (base url.URL, unixPath string, err error) {
	if addr == "" {
		addr = DefaultAddress
	}
	scheme := "http"
	if useTLS {
		scheme = "https"
	}
	if path, ok := strings.CutPrefix(addr, "unix://"); ok {
		if path == "" {
			return base, "", errors.New("parse address \"unix://\": no path")
		}
		return url.URL{Scheme: scheme, Host: "localhost"}, path, nil
	}
	if s, rest, ok := strings.Cut(addr, "://"); ok {
		if s != "http" && s != "https" {
			return base, "", fmt.Errorf("parse address %q: scheme %q is not http, https or unix", addr, s)
		}
		scheme, addr = s, strings.TrimSuffix(rest, "/")
	}
	if addr == "" || strings.ContainsAny(addr, "/?#@ ") {
		return base, "", fmt.Errorf("parse address %q: want host:port", addr)
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		if strings.Count(addr, ":") > 1 && !strings.HasPrefix(addr, "[") {
			addr = "[" + addr + "]" // a bare IPv6 address
		}
		addr += ":5001"
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return base, "", fmt.Errorf("parse address: %w", err)
		}
	}
	return url.URL{Scheme: scheme, Host: addr}, "", nil
}

// newTransport is http.DefaultTransport's settings with cfg's dialer and certificates.
func newTransport(cfg Config, unixPath string) (*http.Transport, error) {
	d := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           d.DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          100,
		MaxIdleConnsPerHost:   64, // programs call one agent from many goroutines
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
	if unixPath != "" {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", unixPath)
		}
	}
	if cfg.Dialer != nil {
		t.Proxy = nil
		t.DialContext = cfg.Dialer
	}
	if cfg.TLS == nil {
		return t, nil
	}
	tc := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         cfg.TLS.ServerName,
		InsecureSkipVerify: cfg.TLS.InsecureSkipVerify,
	}
	if f := cfg.TLS.CAFile; f != "" {
		pem, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("read CA file: %w", err)
		}
		tc.RootCAs = x509.NewCertPool()
		if !tc.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read CA file %q: no PEM certificate in it", f)
		}
	}
	if cfg.TLS.CertFile != "" || cfg.TLS.KeyFile != "" {
		cert, err := tls.LoadX509KeyPair(cfg.TLS.CertFile, cfg.TLS.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read client certificate: %w", err)
		}
		tc.Certificates = []tls.Certificate{cert}
	}
	t.TLSClientConfig = tc
	return t, nil
}
