// Package config makes an agent's configuration: what settings come from files, environment and flags is
// completed, checked against itself and this host, and handed out as one Config that nobody changes.
//
// Contract: Config's struct tags are the only list of keys, and package settings reads them; what a key
// may be beside the others is checked here. The bounds of single keys are in their tags.
//
// Files are read, but nothing is dialled, and no socket stays open: the only network calls ask the
// kernel for its addresses and whether an address can be bound.
package config

import (
	"sync"
	"time"

	"github.com/debros/debros/agent/config/settings"
	"github.com/debros/debros/structs"
)

// Config is an agent's whole configuration. Load makes it; treat it as immutable.
type Config struct {
	NodeName   string            `hcl:"node_name" flag:"node" unset:"host name" doc:"Name of this node, unique in the cluster: letters, digits, '-' and '.', at most 128."`
	NodeMeta   map[string]string `hcl:"node_meta" flag:"node-meta" doc:"Pairs that others see beside the node (flag: key:value, repeatable). At most 64; keys of 128 characters (letters, digits, '-', '_'), values of 512 bytes."`
	Datacenter string            `hcl:"datacenter" flag:"datacenter" default:"dc1" doc:"Datacenter of this node: lower-case letters, digits, '-' and '_', at most 63."`
	DataDir    string            `hcl:"data_dir" flag:"data-dir" doc:"Directory of everything that outlives the process, for one agent at a time. Servers need one; a client without one is a new node after each start. Not with dev."`

	Server          bool `hcl:"server" flag:"server" doc:"Run as a server: vote in Raft and hold the state. Otherwise a client, which forwards to servers."`
	Dev             bool `hcl:"dev" flag:"dev" doc:"One server with everything in memory, bound to loopback: for development only."`
	BootstrapExpect int  `hcl:"bootstrap_expect" flag:"bootstrap-expect" doc:"Number of servers to wait for before the first election of a new cluster; the same on all of them. 0 = join an existing cluster."`

	BindAddr      string `hcl:"bind_addr" flag:"bind" unset:"the address of the default route's interface; 127.0.0.1 with dev" doc:"IP address to listen on for other agents; a go-sockaddr template may give it."`
	AdvertiseAddr string `hcl:"advertise_addr" flag:"advertise" unset:"bind_addr" doc:"IP address that others are told to reach this agent at; a go-sockaddr template may give it."`
	ClientAddr    string `hcl:"client_addr" flag:"client" default:"127.0.0.1" doc:"IP addresses for the HTTP API, separated by spaces; go-sockaddr templates may give them."`
	Ports         Ports  `hcl:"ports" doc:"Ports to listen on. 0 takes any free one, -1 switches http or overlay off."`

	RetryJoin     []string      `hcl:"retry_join" flag:"retry-join" doc:"Agents to join at start, tried until one answers: host, host:port, or exec=/path of a program that prints such addresses. DNS names are resolved again at every attempt."`
	RetryInterval time.Duration `hcl:"retry_interval" flag:"retry-interval" default:"30s" min:"100ms" doc:"Time between two attempts of retry_join."`
	RetryMax      int           `hcl:"retry_max" flag:"retry-max" min:"0" doc:"Attempts of retry_join before the agent gives up and exits with 1. 0 = never gives up."`

	ClusterKey     settings.Secret `hcl:"cluster_key" flag:"cluster-key" doc:"The secret that makes a cluster: 32 bytes in base64, from 'debros keygen'. Encrypts gossip and authenticates nodes. Prefer cluster_key_file to the flag, which other users of the machine can see."`
	ClusterKeyFile string          `hcl:"cluster_key_file" flag:"cluster-key-file" doc:"File that holds cluster_key."`
	Insecure       bool            `hcl:"insecure" flag:"insecure" doc:"Allow a bind address beyond loopback without cluster_key: unencrypted, and anybody may join."`
	TLS            TLS             `hcl:"tls" doc:"Certificates of your own between agents, instead of those derived from cluster_key."`

	Overlay Overlay `hcl:"overlay" doc:"Peers across networks and NAT."`

	ReconnectTimeout     time.Duration `hcl:"reconnect_timeout" flag:"reconnect-timeout" default:"72h" min:"1s" doc:"How long a failed member is kept before it is forgotten."`
	LeaveOnTerminate     bool          `hcl:"leave_on_terminate" flag:"leave-on-terminate" unset:"false on servers, true on clients" reload:"true" doc:"Leave the cluster on SIGTERM rather than only stop."`
	SkipLeaveOnInterrupt bool          `hcl:"skip_leave_on_interrupt" flag:"skip-leave-on-interrupt" unset:"true on servers, false on clients" reload:"true" doc:"Only stop on SIGINT rather than leave the cluster."`

	RaftLogStore          RaftLogStore  `hcl:"raft_logstore" doc:"Where a server keeps its Raft log."`
	RaftSnapshotThreshold uint64        `hcl:"raft_snapshot_threshold" default:"16384" min:"1" reload:"true" doc:"Log entries between two snapshots, at least; larger ones count once for each 16 KiB. With the state grows what a snapshot waits for: it writes at most twice what the entries since the last one cost."`
	RaftSnapshotInterval  time.Duration `hcl:"raft_snapshot_interval" default:"5s" min:"100ms" reload:"true" doc:"How often a server looks whether a snapshot is due."`
	RaftTrailingLogs      uint64        `hcl:"raft_trailing_logs" default:"10240" min:"1" reload:"true" doc:"Log entries kept behind a snapshot, for followers that lag, up to 256 MiB of them."`

	VerifyInterval time.Duration `hcl:"verify_interval" default:"1h" min:"0s" doc:"How often the servers compare what they hold, by the leader's setting. A server that differs from the majority answers no reads until it has taken another's state. 0s = only when 'debros operator verify' asks for it."`

	Limits      Limits      `hcl:"limits" doc:"What one request or one client may take."`
	HTTPConfig  HTTPConfig  `hcl:"http_config" doc:"Who may call the HTTP API from a browser."`
	Performance Performance `hcl:"performance" doc:"Timing."`
	Autopilot   Autopilot   `hcl:"autopilot" doc:"What a new cluster starts with; later 'debros operator autopilot set-config' rules."`
	GossipLAN   GossipLAN   `hcl:"gossip_lan" doc:"Gossip within the datacenter. The same on all agents; the defaults suit nearly everybody."`

	LogLevel          string        `hcl:"log_level" flag:"log-level" env:"LOG_LEVEL" default:"info" reload:"true" doc:"trace, debug, info, warn or error."`
	LogJSON           bool          `hcl:"log_json" flag:"log-json" doc:"Log lines as JSON objects."`
	LogFile           string        `hcl:"log_file" flag:"log-file" doc:"File to log to, beside standard error."`
	LogRotateBytes    int64         `hcl:"log_rotate_bytes" flag:"log-rotate-bytes" default:"104857600" min:"0" doc:"Begin a new log file before it grows beyond this many bytes. 0 = no limit."`
	LogRotateDuration time.Duration `hcl:"log_rotate_duration" flag:"log-rotate-duration" default:"24h" min:"0s" doc:"Begin a new log file after this time. 0s = never."`
	LogRotateMaxFiles int           `hcl:"log_rotate_max_files" flag:"log-rotate-max-files" default:"10" min:"0" doc:"Older log files kept. 0 = all."`
	LogRotateMaxAge   time.Duration `hcl:"log_rotate_max_age" flag:"log-rotate-max-age" min:"0s" doc:"Remove older log files after this time, in whole days. 0s = never."`
	Telemetry         Telemetry     `hcl:"telemetry" doc:"Metrics."`

	// Addrs are the addresses that bind_addr, advertise_addr and client_addr came to.
	Addrs Addresses `hcl:"-"`

	origins settings.Origins
	env     environment
}

// schema is made once: the type does not change.
var schema = sync.OnceValue(func() *settings.Schema {
	return settings.New[Config]("DEBROS_", map[string]string{ // names that people know from Consul
		"encrypt":                  "cluster_key",
		"start_join":               "retry_join",
		"retry_join_wan":           "retry_join",
		"bootstrap":                "bootstrap_expect",
		"node":                     "node_name",
		"server_name":              "node_name",
		"bind":                     "bind_addr",
		"advertise":                "advertise_addr",
		"client":                   "client_addr",
		"addresses":                "client_addr",
		"ports.serf":               "ports.serf_lan",
		"ports.rpc":                "ports.server",
		"ports.https":              "tls.http.cert_file",
		"limits.kv_max_value_size": "limits.kv_value_bytes_max",
		"limits.txn_max_req_len":   "limits.txn_bytes_max",
	})
})

// Role is what this agent is in the cluster.
func (c *Config) Role() structs.Role {
	if c.Server {
		return structs.RoleServer
	}
	return structs.RoleClient
}

// Source is where the key was last set.
func (c *Config) Source(key string) settings.Source { return c.origins.Source(key) }

// Sanitized is the configuration as people see it: nested by block, durations as text, secrets set
// replaced by "hidden". It marshals to JSON.
func (c *Config) Sanitized() map[string]any { return schema().Plain(c) }

// Diff names the keys whose values differ, in the order of the reference: those that a reload applies
// and those that need a restart.
func Diff(before, after *Config) (reloadable, needsRestart []string) {
	return schema().Diff(before, after)
}

// Reloaded is before with those keys of after that take effect on a reload; the other keys keep
// their values, so that what the agent shows is what it does.
func Reloaded(before, after *Config) *Config {
	next := *before
	schema().CopyReloadable(&next, after)
	return &next
}
