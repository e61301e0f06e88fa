package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Client talks to one agent. It is safe for concurrent use and is never modified after New.
type Client struct {
	base       url.URL // scheme and host only
	token      string
	namespace  string
	datacenter string
	retry      RetryPolicy
	timeout    time.Duration
	http       *http.Client
}

// New checks cfg and makes a client. It reads the token and certificate files that cfg names, and
// dials nothing.
func New(cfg Config) (*Client, error) {
	base, unixPath, err := parseAddress(cfg.Address, cfg.TLS != nil)
	if err != nil {
		return nil, err
	}
	c := &Client{
		base:       base,
		token:      cfg.Token,
		namespace:  cfg.Namespace,
		datacenter: cfg.Datacenter,
		retry:      cfg.Retry.withDefaults(),
		timeout:    cfg.Timeout,
		http:       cfg.HTTPClient,
	}
	if c.timeout == 0 {
		c.timeout = DefaultTimeout
	}
	if c.token == "" && cfg.TokenFile != "" {
		data, err := os.ReadFile(cfg.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("read token file: %w", err)
		}
		c.token = strings.TrimSpace(string(data))
	}
	if c.http == nil {
		t, err := newTransport(cfg, unixPath)
		if err != nil {
			return nil, err
		}
		c.http = &http.Client{Transport: t}
	} else {
		if cfg.Dialer != nil || cfg.TLS != nil && !cfg.TLS.empty() {
			return nil, errors.New("configure client: HTTPClient excludes Dialer and TLS")
		}
		own := *c.http
		c.http = &own
	}
	// A redirect of the agent means "this is not the canonical form of the key"; to follow it would
	// read or write another key than the caller named.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// Address is the URL of the agent, e.g. "http://127.0.0.1:5001".
func (c *Client) Address() string { return c.base.String() }

// Close closes idle connections. Calls under way go on.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// KV reads and writes keys.
func (c *Client) KV() *KV { return &KV{c} }

// Session makes and ends the sessions that locks hang on.
func (c *Client) Session() *Session { return &Session{c} }

// SQL reads and writes the namespace's default database; SQL().Database(name) another.
func (c *Client) SQL() *SQL { return &SQL{c: c} }

// Namespaces makes and deletes namespaces.
func (c *Client) Namespaces() *Namespaces { return &Namespaces{c} }

// Agent asks the agent itself: members, logs, metrics, leaving.
func (c *Client) Agent() *Agent { return &Agent{c} }

// Catalog lists the nodes that the cluster's state knows.
func (c *Client) Catalog() *Catalog { return &Catalog{c} }

// Coordinates gives the network coordinates from which round trips are estimated.
func (c *Client) Coordinates() *Coordinates { return &Coordinates{c} }

// Network asks the agent about the overlay.
func (c *Client) Network() *Network { return &Network{c} }

// Status names the leader and the servers.
func (c *Client) Status() *Status { return &Status{c} }

// Operator looks after Raft, autopilot and the gossip keys.
func (c *Client) Operator() *Operator { return &Operator{c} }

// Snapshot saves and restores the state of the whole cluster.
func (c *Client) Snapshot() *Snapshot { return &Snapshot{c} }
