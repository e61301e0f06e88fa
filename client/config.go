package client

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"
)

// ClientConfig says which application this is and where its network is.
type ClientConfig struct {
	// AppName names the application. Its namespace is the name in lower case, with - for whatever is not a letter or a digit: two
	// applications whose names differ in that only share their data.
	AppName string
	// DatabaseName is a database of the namespace; "" = AppName + "_db", in the form of names.
	DatabaseName string
	// BootstrapPeers are agents to talk to, "/ip4/…/tcp/4001/p2p/<id>" or "/dns4/…". The first that answers is used; the others stand in.
	BootstrapPeers []string
	ConnectTimeout time.Duration // of one attempt; 0 = 30 s
	RetryAttempts  int           // 0 = 3
	RetryDelay     time.Duration // between attempts; 0 = 5 s
	// QuietMode keeps the client from logging.
	QuietMode bool

	// Token is the ACL secret sent with every call.
	Token string
	// Logger is told of retries and of handlers that fail; nil = slog.Default.
	Logger *slog.Logger
}

// The defaults of ClientConfig (N48, N60).
const (
	DefaultConnectTimeout = 30 * time.Second
	DefaultRetryAttempts  = 3
	DefaultRetryDelay     = 5 * time.Second
)

// DefaultClientConfig is the configuration of an application that knows no peer yet.
func DefaultClientConfig(appName string) *ClientConfig {
	return &ClientConfig{
		AppName: appName, DatabaseName: appName + "_db", BootstrapPeers: []string{},
		ConnectTimeout: DefaultConnectTimeout, RetryAttempts: DefaultRetryAttempts, RetryDelay: DefaultRetryDelay,
	}
}

// withDefaults is a copy with every field set.
func (c *ClientConfig) withDefaults() ClientConfig {
	out := *c
	out.BootstrapPeers = append([]string(nil), c.BootstrapPeers...)
	if out.DatabaseName == "" {
		out.DatabaseName = out.AppName + "_db"
	}
	if out.ConnectTimeout == 0 {
		out.ConnectTimeout = DefaultConnectTimeout
	}
	if out.RetryAttempts == 0 {
		out.RetryAttempts = DefaultRetryAttempts
	}
	if out.RetryDelay == 0 {
		out.RetryDelay = DefaultRetryDelay
	}
	out.DatabaseName = foldName(out.DatabaseName, "_-")
	return out
}

func (c *ClientConfig) logger() *slog.Logger {
	if c.Logger != nil {
		return c.Logger
	}
	return slog.Default()
}

var (
	namespaceForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	databaseForm  = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
)

// check returns the namespace of the application.
func (c *ClientConfig) check() (namespace string, err error) {
	if strings.TrimSpace(c.AppName) == "" {
		return "", errors.New("app name is required")
	}
	namespace = foldName(c.AppName, "-")
	switch {
	case !namespaceForm.MatchString(namespace):
		return "", fmt.Errorf("app name %q makes no namespace: it needs a letter or digit first, and at most 63 in all", c.AppName)
	case !databaseForm.MatchString(c.DatabaseName):
		return "", fmt.Errorf("database name %q is none: it needs a letter or digit first, and at most 63 in all", c.DatabaseName)
	case c.ConnectTimeout < 0 || c.RetryDelay < 0 || c.RetryAttempts < 0:
		return "", errors.New("timeouts, delays and attempts are not negative")
	}
	return namespace, nil
}

// foldName makes a name of what is free text: lower case, with - for what may not be in it.
func foldName(name, also string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', strings.ContainsRune(also, r):
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, name)
}
