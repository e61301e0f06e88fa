package httpapi

import (
	"context"
	"io"
	"net/http"

	"github.com/debros/debros/structs"
)

// Backend is all that the HTTP API asks of the agent that it runs in. Errors are *structs.Error
// (anywhere in the chain) or are shown as internal ones. Methods are safe for concurrent use.
type Backend interface {
	Cluster
	Local
	Network
	Messages
}

// Cluster reaches the servers: on a server its own endpoints, on a client agent one of the servers.
type Cluster interface {
	// RPC calls an endpoint by the name written beside its request in structs ("KV.Get"). req and
	// reply are pointers to the structs types.
	RPC(ctx context.Context, method string, req, reply any) error
	// Stream calls "Snapshot.Save" (out gets the archive's bytes and nothing else), "Snapshot.Restore" (in is
	// the archive; it is proposed only after the whole of it was verified), both with a
	// *structs.SnapshotRequest, "SQL.Query" (out gets frames of structs.SQLChunk), "SQL.Changes" (of structs.SQLChangesChunk),
	// "SQL.Backup" (out gets the bytes of a SQLite file) or "SQL.Restore" (in is such a file, out gets a frame of
	// structs.SQLDatabaseReply).
	Stream(ctx context.Context, method string, req any, in io.Reader, out io.Writer) error
}

// Local is the agent itself.
type Local interface {
	// Self describes this agent; its configuration has no secrets in it.
	Self() Self
	// Members are the debros nodes as gossip sees them now, this one included; on an edge agent, as its servers know them.
	// What it asks servers, it asks with the caller's token; so do the others that take one.
	Members(ctx context.Context, token string) ([]structs.Member, error)
	// MembersWAN are the servers and edge agents of every datacenter that is reached by the overlay. Tags say how: via (direct,
	// punched or relay), transport, rtt_ms where this agent is connected to it.
	MembersWAN(ctx context.Context, token string) ([]structs.Member, error)
	// Join contacts the addresses (host or host:port) and returns how many answered. wan asks for the
	// pool between datacenters.
	Join(ctx context.Context, addrs []string, wan bool) (n int, err error)
	// Leave takes the agent out of the cluster and then stops it. It returns when the node has left,
	// before the process ends. A server whose departure would lose quorum answers KindConflict unless
	// force is set.
	Leave(ctx context.Context, force bool) error
	// ForceLeave makes a failed node a left one; prune also forgets it at once.
	ForceLeave(ctx context.Context, token, node string, prune bool) error
	// Reload reads the configuration again and says what changed and what cannot without a restart.
	Reload(ctx context.Context) (ReloadReport, error)
	// Monitor writes the agent's log from now on to w, a line at a time, until ctx ends or a write
	// fails. level is one of debug, info, warn, error.
	Monitor(ctx context.Context, level string, json bool, w io.Writer) error
	// Metrics serves both forms of /v1/agent/metrics: JSON, and Prometheus with ?format=prometheus.
	Metrics() http.Handler
	// Host describes the machine; any value fit for JSON.
	Host(ctx context.Context) (any, error)
	// Maintenance takes the node out of service, or back in, with a reason for people.
	Maintenance(ctx context.Context, enable bool, reason string) error
	// Coordinates are the network coordinates that gossip knows, of all members.
	Coordinates() []structs.Coordinate
	// Keyring does op to the gossip keys of every member; key is base64, "" for a list. The reply
	// counts keys; some members failing is no error as long as the reply's Messages name them.
	Keyring(ctx context.Context, op structs.KeyringOp, key string) (*structs.KeyringResponse, error)
	// Authorize asks whether the token may do op to this agent. The answer is nil or KindDenied.
	Authorize(ctx context.Context, token string, op AgentOp) error
	// Version names this build.
	Version() Version
}

// AgentOp is a right over the agent itself, which no endpoint of the servers asks about.
type AgentOp string

// What a request does to the agent.
const (
	AgentRead     AgentOp = "agent:read"
	AgentWrite    AgentOp = "agent:write"
	NodeRead      AgentOp = "node:read"
	NodeWrite     AgentOp = "node:write"
	KeyringRead   AgentOp = "keyring:read"
	KeyringWrite  AgentOp = "keyring:write"
	OperatorRead  AgentOp = "operator:read"
	OperatorWrite AgentOp = "operator:write"
)

// Self is what /v1/agent/self says.
type Self struct {
	Config SelfConfig
	// DebugConfig is the whole effective configuration, secrets redacted; any value fit for JSON.
	DebugConfig any
	Member      structs.Member
	// Stats are groups of named figures ("raft": {"state": "Leader", …}), strings as in Consul.
	Stats map[string]map[string]string
	Coord *structs.Coordinate // nil before the first round trip
	Meta  map[string]string   // node meta
}

// SelfConfig is the short configuration that Consul's clients read. JSON is Consul's.
type SelfConfig struct {
	Datacenter        string
	PrimaryDatacenter string
	NodeName          string
	NodeID            structs.NodeID
	Revision          string
	Server            bool
	Version           string
	BuildDate         string `json:",omitempty"`
}

// ReloadReport says what a reload did.
type ReloadReport struct {
	Changed      []string // keys now in force
	NeedsRestart []string // keys that differ from what runs and were left alone
}

// Version is what /v1/agent/version says.
type Version struct {
	SHA            string
	BuildDate      string
	HumanVersion   string
	FIPS           string
	Protocol       int
	FSM            int
	GoVersion      string
	GoOS           string
	GoArch         string
	ConsulAPILevel string // version of the Consul API that the compatible routes follow
}
