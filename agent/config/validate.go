package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/debros/debros/agent/config/settings"
	"github.com/debros/debros/internal/creds"
)

// Validate finds everything that a start with c would refuse, and what deserves a warning. It looks at
// this host: files that c names, addresses it may bind. Load has done it already for its result.
func Validate(c *Config) []Problem { return validate(c).problems }

type validator struct {
	c        *Config
	env      environment
	addrs    Addresses
	problems []Problem
}

func validate(c *Config) *validator {
	v := &validator{c: c, env: c.env}
	if v.env.route == nil {
		v.env = host()
	}
	v.names()
	v.mode()
	v.addresses()
	v.ports()
	for _, j := range c.RetryJoin {
		v.join(j)
	}
	v.secrets()
	v.tls()
	v.overlay()
	v.files()
	for key, message := range schema().OutOfBounds(c) {
		v.refuse(key, "", "%s", message)
	}
	v.choices()
	return v
}

// refuse reports an error about a key, unless that would only follow from another error.
func (v *validator) refuse(key, hint, format string, args ...any) {
	if !v.c.origins.Unsure(key) {
		v.problems = append(v.problems, v.c.origins.Problem(key, hint, format, args...))
	}
}

func (v *validator) warn(key, hint, format string, args ...any) {
	if v.c.origins.Unsure(key) {
		return
	}
	p := v.c.origins.Problem(key, hint, format, args...)
	p.Warning = true
	v.problems = append(v.problems, p)
}

// Bounds of names. serf allows node names that; Consul has the same limits on node metadata.
const (
	nodeNameMax       = 128
	metaPairsMax      = 64
	metaKeyMax        = 128
	metaValueBytesMax = 512
)

var (
	nodeNameRE   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]*$`)
	datacenterRE = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	metaKeyRE    = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	metricRE     = regexp.MustCompile(`^[+-][A-Za-z_][A-Za-z0-9_.]*$`)
	hostRE       = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,253})$`)
)

func (v *validator) names() {
	c := v.c
	switch {
	case c.NodeName == "": // no host name: complete has said so
	case len(c.NodeName) > nodeNameMax:
		v.refuse("node_name", "", "is longer than %d characters", nodeNameMax)
	case !nodeNameRE.MatchString(c.NodeName):
		hint := "letters, digits, '-' and '.', beginning with a letter or digit"
		if !c.origins.IsSet("node_name") {
			hint = "it is this host's name: set node_name to one of " + hint
		}
		v.refuse("node_name", hint, "%s is not a node name", settings.Quote(c.NodeName))
	}
	if !datacenterRE.MatchString(c.Datacenter) {
		v.refuse("datacenter", "lower-case letters, digits, '-' and '_', at most 63", "%s is not a name of a datacenter", settings.Quote(c.Datacenter))
	}
	if n := len(c.NodeMeta); n > metaPairsMax {
		v.refuse("node_meta", "", "%d pairs are more than %d", n, metaPairsMax)
	}
	metaKeys := make([]string, 0, len(c.NodeMeta))
	for k := range c.NodeMeta {
		metaKeys = append(metaKeys, k)
	}
	slices.Sort(metaKeys)
	for _, k := range metaKeys {
		if len(k) > metaKeyMax || !metaKeyRE.MatchString(k) {
			v.refuse("node_meta", fmt.Sprintf("letters, digits, '-' and '_', at most %d", metaKeyMax), "%s is not a key", settings.Quote(k))
		}
		if n := len(c.NodeMeta[k]); n > metaValueBytesMax {
			v.refuse("node_meta", "", "the value of %s has %d bytes, more than %d", settings.Quote(k), n, metaValueBytesMax)
		}
	}
}

// mode checks what the agent is to be: development, server or client.
func (v *validator) mode() {
	c := v.c
	if c.Dev {
		const hint = "remove it, or dev"
		if c.DataDir != "" {
			v.refuse("data_dir", hint, "dev keeps everything in memory")
		}
		if c.BootstrapExpect != 0 {
			v.refuse("bootstrap_expect", hint, "dev is a cluster of one server at once")
		}
		if len(c.RetryJoin) > 0 {
			v.refuse("retry_join", hint, "dev is a cluster of its own and joins no other")
		}
		return
	}
	if c.Server && c.DataDir == "" {
		v.refuse("data_dir", "set data_dir, or dev for a server that keeps nothing", "a server needs a data directory")
	}
	n := c.BootstrapExpect
	switch {
	case n == 0:
	case n < 0 || n > math.MaxUint8:
		v.refuse("bootstrap_expect", "1, 3 or 5", "%d is not a number of servers", n)
	case !c.Server:
		v.refuse("bootstrap_expect", "set server = true, or remove it", "only servers elect a leader, and this agent is a client")
	case n == 2:
		v.warn("bootstrap_expect", "use 3", "with 2 servers, the loss of either stops the cluster")
	case n%2 == 0:
		v.warn("bootstrap_expect", fmt.Sprintf("use %d or %d", n-1, n+1), "%d servers survive no more failures than %d", n, n-1)
	}
}

// clusterKeyBytes is what debros keygen makes.
const clusterKeyBytes = 32

// secrets checks what keeps strangers out. Messages never quote a secret.
func (v *validator) secrets() {
	c := v.c
	key := strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(c.ClusterKey.Reveal()), "=")
	if c.ClusterKeyFile != "" && c.ClusterKey != "" && c.origins.Source("cluster_key") != c.origins.Source("cluster_key_file") {
		v.refuse("cluster_key_file", "remove one of them", "cluster_key is set too (%s)", c.origins.Source("cluster_key"))
	}
	if raw, err := base64.RawStdEncoding.DecodeString(key); key != "" && (err != nil || len(raw) != clusterKeyBytes) {
		v.refuse("cluster_key", "make one with: debros keygen", "must be %d bytes in base64", clusterKeyBytes)
	}
	if c.origins.Source("cluster_key").Kind == settings.FromFlag && c.ClusterKeyFile == "" {
		v.warn("cluster_key", "use -cluster-key-file", "other users of this machine can see it among the processes")
	}
	if key != "" && c.Insecure {
		v.warn("insecure", "remove it", "has no effect beside a cluster key")
	}
	open := v.addrs.Bind.IsValid() && !v.addrs.Bind.IsLoopback()
	switch {
	case key != "" || !open || c.origins.Refused("cluster_key"):
	case c.Insecure:
		v.warn("insecure", "", "gossip and RPC on %s are not encrypted, and anybody who reaches them may join", v.addrs.Bind)
	default:
		v.refuse("cluster_key", `make one with "debros keygen" for all agents, or bind to 127.0.0.1, or set insecure = true`,
			"needed to listen on %s, which is not loopback", v.addrs.Bind)
	}
}

// files checks paths that a start would create or open.
func (v *validator) files() {
	if d := v.c.DataDir; d != "" && !v.c.Dev {
		v.directory("data_dir", d)
		if _, err := creds.ReadNodeKey(filepath.Join(d, "node.key")); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			v.refuse("data_dir", "", "%v", err)
		}
	}
	if f := v.c.LogFile; f != "" {
		if fi, err := os.Stat(f); err == nil && fi.IsDir() {
			v.refuse("log_file", "name a file in it", "%s is a directory", f)
		}
		v.directory("log_file", filepath.Dir(f))
	}
}

// directory checks that path is a directory or can become one, and that something can be made in it.
func (v *validator) directory(key, path string) {
	for p := filepath.Clean(path); ; p = filepath.Dir(p) {
		fi, err := os.Stat(p)
		if err == nil {
			if !fi.IsDir() {
				v.refuse(key, "", "%s is not a directory", p)
			} else if err := canCreate(p); errors.Is(err, fs.ErrPermission) { // the agent may be another user
				v.warn(key, "", "this user may create nothing in %s", p)
			} else if err != nil {
				v.refuse(key, "", "nothing can be created in %s: %v", p, cause(err))
			}
			return
		}
		if !os.IsNotExist(err) {
			// ENOTDIR names the whole path: its parent, which is the file, comes next.
			if parent := filepath.Dir(p); parent != p && !os.IsPermission(err) {
				continue
			}
			v.refuse(key, "", "%v", err)
			return
		}
		if p == filepath.Dir(p) || p == "." {
			return
		}
	}
}

// canCreate tries, since a file system may refuse whatever its permissions say: it is read-only, or proc.
func canCreate(dir string) error {
	probe, err := os.MkdirTemp(dir, ".debros-")
	if err != nil {
		return err
	}
	return os.Remove(probe)
}

// choices checks keys that hold one of a few words, and pairs of keys.
func (v *validator) choices() {
	c := v.c
	if !slices.Contains([]string{"trace", "debug", "info", "warn", "warning", "error", "err"}, strings.ToLower(c.LogLevel)) {
		v.refuse("log_level", "one of trace, debug, info, warn, error", "%s is not a level", settings.Quote(c.LogLevel))
	}
	if b := c.RaftLogStore.Backend; b != "wal" && b != "boltdb" {
		v.refuse("raft_logstore.backend", "wal or boltdb", "%s is not a log store", settings.Quote(b))
	}
	for _, p := range c.Telemetry.PrefixFilter {
		if !metricRE.MatchString(p) {
			v.refuse("telemetry.prefix_filter", "\"+debros.raft\" or \"-debros.raft\"", "%s is not + or - and the beginning of a metric's name", settings.Quote(p))
		}
	}
	if g := c.GossipLAN; g.ProbeTimeout >= g.ProbeInterval {
		v.refuse("gossip_lan.probe_timeout", "", "%v is not below probe_interval, %v", g.ProbeTimeout, g.ProbeInterval)
	}
	if b := c.LogRotateBytes; b > 0 && b < logRotateBytesMin {
		v.refuse("log_rotate_bytes", "", "%d is below %d", b, logRotateBytesMin)
	}
	l := c.Limits
	if l.TxnBytesMax < l.KVValueBytesMax {
		v.refuse("limits.txn_bytes_max", "", "%d is below limits.kv_value_bytes_max, %d: such a value could be put but not by a transaction", l.TxnBytesMax, l.KVValueBytesMax)
	}
}

// logRotateBytesMin: rotated files are told apart by the millisecond.
const logRotateBytesMin = 64 << 10

// loopback reports whether all of them are.
func loopback(as []netip.Addr) bool {
	return !slices.ContainsFunc(as, func(a netip.Addr) bool { return !a.IsLoopback() })
}
