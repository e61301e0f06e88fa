package command

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/debros/debros/api"
)

// commonFlags are those of every command that asks an agent.
type commonFlags struct {
	addr, token, tokenFile        string
	namespace, datacenter         string
	caFile, clientCert, clientKey string
	tlsServerName                 string
	consistency                   string // "" = linearizable; the word of the flag that said it
	via                           string
	timeout                       time.Duration // 0 = none
}

func (f *commonFlags) add(fs *flag.FlagSet) {
	fs.StringVar(&f.addr, "http-addr", "", "`address` of the agent: host:port, http(s)://host:port or unix:///path; else DEBROS_HTTP_ADDR, else "+api.DefaultAddress)
	fs.StringVar(&f.via, "via", "", "multiaddr of an `agent`, /ip4/…/tcp/4001/p2p/<id>, to reach through libp2p instead of -http-addr (several addresses of it with commas); else DEBROS_VIA")
	fs.StringVar(&f.token, "token", "", "ACL `token`; else DEBROS_HTTP_TOKEN")
	fs.StringVar(&f.tokenFile, "token-file", "", "`file` that holds the ACL token; else DEBROS_HTTP_TOKEN_FILE")
	fs.StringVar(&f.namespace, "ns", "", "`namespace`; else DEBROS_NAMESPACE, else the token's own, else default")
	fs.StringVar(&f.datacenter, "datacenter", "", "`datacenter`; else DEBROS_DATACENTER, else the agent's")
	fs.BoolFunc("stale", "let any server answer a read from what it has", f.setFlag("stale"))
	fs.BoolFunc("leader", "let the leader answer a read, without a check that it still leads", f.setFlag("leader"))
	fs.Func("consistency", "how fresh a read must be, as a `word`: linearizable (the default), leader or stale; rqlite's none, weak, auto and strong mean these too", f.setConsistency)
	if fs.Lookup("timeout") == nil { // some commands have one of their own
		fs.DurationVar(&f.timeout, "timeout", 0, "give up after this `duration`; 0 = the command takes what it takes")
	}
	fs.StringVar(&f.caFile, "ca-file", "", "PEM `file` of the authorities that may vouch for the agent; else DEBROS_CACERT")
	fs.StringVar(&f.clientCert, "client-cert", "", "PEM `file` of the client certificate; else DEBROS_CLIENT_CERT")
	fs.StringVar(&f.clientKey, "client-key", "", "PEM `file` of the client certificate's key; else DEBROS_CLIENT_KEY")
	fs.StringVar(&f.tlsServerName, "tls-server-name", "", "`name` expected in the agent's certificate; else DEBROS_TLS_SERVER_NAME")
}

// setFlag is setConsistency for a flag that is the word itself.
func (f *commonFlags) setFlag(word string) func(string) error {
	return func(value string) error {
		on, err := strconv.ParseBool(value)
		if err != nil || !on {
			return err
		}
		return f.setConsistency(word)
	}
}

// setConsistency takes the word for how fresh reads must be; there may be one only.
func (f *commonFlags) setConsistency(word string) error {
	level, err := api.ParseConsistency(word)
	if err != nil {
		return err
	}
	if f.consistency != "" {
		if before, _ := api.ParseConsistency(f.consistency); before != level {
			return fmt.Errorf("%s and %s cannot both hold: give one", f.consistency, word)
		}
	}
	f.consistency = word
	return nil
}

const (
	// repetitions of a call that failed without having done a thing: somebody waits for the answer.
	repetitions = 1
	// repeatWithin leaves out those that failed late: an agent itself waits for a leader (7 s), and
	// nobody wants to wait for that twice to read that there is none.
	repeatWithin = 3 * time.Second
)

// config is the environment's configuration with the flags on top.
func (f *commonFlags) config() api.Config {
	cfg := api.DefaultConfig()
	cfg.Retry.Max, cfg.Retry.Within = repetitions, repeatWithin
	override(&cfg.Address, f.addr)
	override(&cfg.Namespace, f.namespace)
	override(&cfg.Datacenter, f.datacenter)
	if f.token != "" || f.tokenFile != "" { // a flag counts more than either variable
		cfg.Token, cfg.TokenFile = f.token, f.tokenFile
	}
	var t api.TLSConfig
	if cfg.TLS != nil {
		t = *cfg.TLS
	}
	override(&t.CAFile, f.caFile)
	override(&t.CertFile, f.clientCert)
	override(&t.KeyFile, f.clientKey)
	override(&t.ServerName, f.tlsServerName)
	if cfg.TLS != nil || t != (api.TLSConfig{}) {
		cfg.TLS = &t
	}
	return cfg
}

// viaAddr is the agent to reach through libp2p, "" for none. An -http-addr on the command line is nearer to
// the person than DEBROS_VIA.
func (f *commonFlags) viaAddr() string {
	if f.via != "" || f.addr != "" {
		return f.via
	}
	return os.Getenv("DEBROS_VIA")
}

func override(to *string, value string) {
	if value != "" {
		*to = value
	}
}

// query are the options of a read.
func (c *call) query() *api.QueryOptions {
	o := &api.QueryOptions{}
	if c.common.consistency != "" {
		o.Consistency, _ = api.ParseConsistency(c.common.consistency) // it was known when the flag was read
	}
	return o
}

// pairs is a flag that may be given many times, as name=value.
type pairs map[string]string

func (p pairs) String() string { return "" }

// Set implements flag.Value.
func (p pairs) Set(s string) error {
	name, value, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return errors.New("want name=value")
	}
	p[name] = value
	return nil
}
