// Package client is debros inside an application: an in-process libp2p peer that holds no cluster key, reaches agents directly, by hole
// punching or through a relay, and offers what they have as one NetworkClient (spec N60 to N67).
//
// Contract: NewClient checks a configuration and opens nothing; Connect reaches one of the bootstrap peers and makes the application's
// namespace and database where they are missing; Disconnect ends everything and waits for it. Between the two, calls go to the agent that
// answered last and, when it is gone, to the next one. All methods are safe for concurrent use. Errors of the cluster are *api.Error below
// what this package adds.
package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/debros/debros/api"
)

// NetworkClient is an application's way to a debros network.
type NetworkClient interface {
	Database() DatabaseClient
	Storage() StorageClient
	PubSub() PubSubClient
	Network() NetworkInfo

	// Connect reaches one of the bootstrap peers. It tries as often as the configuration says, and does nothing when it is connected.
	Connect() error
	// Disconnect ends all subscriptions and connections. It may be called twice, and Connect again after it.
	Disconnect() error
	// Health measures each service now.
	Health() (*HealthStatus, error)
}

// ErrNotConnected is the error of calls before Connect and after Disconnect.
var ErrNotConnected = errors.New("client not connected: no database connection available")

// client is the one NetworkClient.
type client struct {
	cfg       ClientConfig
	namespace string
	subs      *subscriptions

	connect sync.Mutex // held while one Connect or Disconnect runs

	mu      sync.Mutex // protects the following
	session *session   // nil = not connected
	giveUp  func()     // ends a Connect under way; nil when there is none
}

// session is one connected life.
type session struct {
	api    *api.Client
	agents *agents
	since  time.Time
}

// NewClient makes a client that is not connected.
func NewClient(config *ClientConfig) (NetworkClient, error) {
	if config == nil {
		return nil, errors.New("config cannot be nil")
	}
	cfg := config.withDefaults()
	namespace, err := cfg.check()
	if err != nil {
		return nil, err
	}
	return &client{cfg: cfg, namespace: namespace, subs: newSubscriptions()}, nil
}

// current is the session, or ErrNotConnected.
func (c *client) current() (*session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == nil {
		return nil, ErrNotConnected
	}
	return c.session, nil
}

// Connect implements NetworkClient.
func (c *client) Connect() error {
	c.connect.Lock()
	defer c.connect.Unlock()
	if _, err := c.current(); err == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c.set(nil, cancel)
	s, err := c.reach(ctx)
	c.set(s, nil)
	return err
}

func (c *client) set(s *session, giveUp func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session, c.giveUp = s, giveUp
}

// reach tries to connect as often as the configuration says.
func (c *client) reach(ctx context.Context) (*session, error) {
	peers, err := newAgents(c.cfg.BootstrapPeers)
	if err != nil {
		return nil, err
	}
	s := &session{agents: peers, since: time.Now()}
	if s.api, err = api.New(api.Config{
		Address: "http://localhost", Dialer: peers.dial, Token: c.cfg.Token, Namespace: c.namespace, Timeout: c.cfg.ConnectTimeout,
		Retry: api.RetryPolicy{Max: c.cfg.RetryAttempts, WaitMax: c.cfg.RetryDelay},
	}); err != nil {
		return nil, errors.Join(err, peers.close())
	}
	for try := 1; ; try++ {
		if err = c.prepare(ctx, s.api); err == nil {
			return s, nil
		}
		if try >= c.cfg.RetryAttempts || !worthRetry(err) {
			break
		}
		c.say("connect: %v; trying again in %s", err, c.cfg.RetryDelay)
		select {
		case <-time.After(c.cfg.RetryDelay):
			continue
		case <-ctx.Done():
		}
		break
	}
	s.api.Close()
	return nil, errors.Join(&namedError{"Failed to connect to bootstrap peer", err}, peers.close())
}

// namedError has a name by which users of the original system know it (N81).
type namedError struct {
	name  string
	cause error
}

func (e *namedError) Error() string { return e.name + ": " + e.cause.Error() }

func (e *namedError) Unwrap() error { return e.cause }

// worthRetry: what was refused will be refused again.
func worthRetry(err error) bool {
	for _, final := range []error{api.ErrDenied, api.ErrInvalid, api.ErrUnsupported} {
		if errors.Is(err, final) {
			return false
		}
	}
	return true
}

// prepare makes the application's namespace and database where they are missing. That they are there already, or that the token may
// only use them, is fine.
func (c *client) prepare(ctx context.Context, a *api.Client) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.ConnectTimeout)
	defer cancel()
	if have, _, err := a.Namespaces().Read(ctx, c.namespace, nil); err != nil {
		return err
	} else if have == nil {
		_, _, err := a.Namespaces().Create(ctx, &api.Namespace{Name: c.namespace, Description: "application " + c.cfg.AppName}, nil)
		if err != nil && !errors.Is(err, api.ErrConflict) {
			return fmt.Errorf("make namespace %q: %w", c.namespace, err)
		}
	}
	if have, _, err := a.SQL().ReadDatabase(ctx, c.cfg.DatabaseName, nil); err != nil {
		return err
	} else if have == nil {
		_, _, err := a.SQL().CreateDatabase(ctx, &api.SQLDatabase{Name: c.cfg.DatabaseName}, nil)
		if err != nil && !errors.Is(err, api.ErrConflict) {
			return fmt.Errorf("make database %q: %w", c.cfg.DatabaseName, err)
		}
	}
	return nil
}

// Disconnect implements NetworkClient.
func (c *client) Disconnect() error {
	c.mu.Lock()
	if c.giveUp != nil {
		c.giveUp()
	}
	c.mu.Unlock()
	c.connect.Lock()
	defer c.connect.Unlock()
	s, _ := c.current()
	c.set(nil, nil)
	c.subs.clear()
	if s == nil {
		return nil
	}
	s.api.Close()
	return s.agents.close()
}

// Database implements NetworkClient.
func (c *client) Database() DatabaseClient { return database{c} }

// Storage implements NetworkClient.
func (c *client) Storage() StorageClient { return storage{c} }

// PubSub implements NetworkClient.
func (c *client) PubSub() PubSubClient { return pubsub{c} }

// Network implements NetworkClient.
func (c *client) Network() NetworkInfo { return networkInfo{c} }

// say tells the operator of the application what happens, unless it wants quiet.
func (c *client) say(format string, args ...any) {
	if !c.cfg.QuietMode {
		c.cfg.logger().Info(fmt.Sprintf(format, args...), "app", c.cfg.AppName)
	}
}
