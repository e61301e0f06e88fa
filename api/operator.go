package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Operator looks after Raft, autopilot and the gossip keys.
type Operator struct{ c *Client }

// RaftServer is one server of the Raft configuration.
type RaftServer struct {
	ID              string
	Node            string // name; "(unknown)" when gossip does not know it
	Address         string
	Leader          bool
	Voter           bool
	ProtocolVersion string
	LastIndex       uint64 // of its log; 0 when it did not answer
	Quarantine      string `json:",omitempty"` // why it answers no reads: its state was found wrong; "" = it answers
}

// RefusedServer is a server that the agents see and that the leader keeps out of the cluster.
type RefusedServer struct {
	ID        string
	Node      string
	Address   string // "host:port" of its server port
	ClusterID string // the cluster it belongs to; "" when it cannot say
	Reason    string
}

// RaftConfiguration is who decides.
type RaftConfiguration struct {
	Servers   []*RaftServer
	Index     uint64           // at which this configuration was committed
	ClusterID string           // of this cluster; "" in one whose servers are not all new enough to have one
	Refused   []*RefusedServer `json:",omitempty"`
}

// RaftConfiguration reads the servers that Raft knows.
func (op *Operator) RaftConfiguration(ctx context.Context, o *QueryOptions) (*RaftConfiguration, error) {
	out := &RaftConfiguration{}
	_, _, err := op.c.get(ctx, "/v1/operator/raft/configuration", o, out)
	return out, err
}

// RaftRemovePeer removes a server from Raft by its id.
func (op *Operator) RaftRemovePeer(ctx context.Context, id string, o *WriteOptions) error {
	r := op.c.newRequest(http.MethodDelete, "/v1/operator/raft/peer")
	r.params.Set("id", id)
	_, err := op.c.put(ctx, r, o, nil)
	return err
}

// RaftRemovePeerByAddress removes a server from Raft by its "host:port".
func (op *Operator) RaftRemovePeerByAddress(ctx context.Context, addr string, o *WriteOptions) error {
	r := op.c.newRequest(http.MethodDelete, "/v1/operator/raft/peer")
	r.params.Set("address", addr)
	_, err := op.c.put(ctx, r, o, nil)
	return err
}

// RaftTransferLeader hands leadership to the server of that id; "" lets the leader choose.
func (op *Operator) RaftTransferLeader(ctx context.Context, id string, o *WriteOptions) error {
	r := op.c.newRequest(http.MethodPost, "/v1/operator/raft/transfer-leader")
	set(r.params, "id", id)
	_, err := op.c.put(ctx, r, o, nil)
	return err
}

// AutopilotConfig says how the leader looks after the servers.
type AutopilotConfig struct {
	CleanupDeadServers      bool     // remove failed servers when quorum allows
	LastContactThreshold    Duration // a server silent for longer is unhealthy
	MaxTrailingLogs         uint64   // a server further behind is unhealthy
	MinQuorum               uint     // dead servers are not removed below this many
	ServerStabilizationTime Duration // a new server gets its vote after so long in health
	CreateIndex             uint64
	ModifyIndex             uint64
}

const autopilotPath = "/v1/operator/autopilot/configuration"

// AutopilotConfig reads the configuration of autopilot.
func (op *Operator) AutopilotConfig(ctx context.Context, o *QueryOptions) (*AutopilotConfig, error) {
	out := &AutopilotConfig{}
	_, _, err := op.c.get(ctx, autopilotPath, o, out)
	return out, err
}

// SetAutopilotConfig stores the configuration of autopilot.
func (op *Operator) SetAutopilotConfig(ctx context.Context, cfg *AutopilotConfig, o *WriteOptions) error {
	_, err := op.setAutopilot(ctx, cfg, o, false)
	return err
}

// CASAutopilotConfig stores it only if its index is cfg.ModifyIndex.
func (op *Operator) CASAutopilotConfig(ctx context.Context, cfg *AutopilotConfig, o *WriteOptions) (bool, error) {
	return op.setAutopilot(ctx, cfg, o, true)
}

func (op *Operator) setAutopilot(ctx context.Context, cfg *AutopilotConfig, o *WriteOptions, cas bool) (ok bool, err error) {
	r := op.c.newRequest(http.MethodPut, autopilotPath)
	if cas {
		r.params.Set("cas", strconv.FormatUint(cfg.ModifyIndex, 10))
	}
	if err := r.json(cfg); err != nil {
		return false, err
	}
	_, err = op.c.put(ctx, r, o, &ok)
	return ok, err
}

// ServerHealth is a server in autopilot's eyes.
type ServerHealth struct {
	ID          string
	Name        string
	Address     string
	SerfStatus  MemberStatus
	Version     string
	Leader      bool
	Voter       bool
	LastContact Duration // of the leader with it
	LastTerm    uint64
	LastIndex   uint64
	Healthy     bool
	StableSince time.Time
}

// AutopilotHealth is how the servers are.
type AutopilotHealth struct {
	Healthy          bool // all of them
	FailureTolerance int  // how many may fail before nothing can be decided
	Servers          []ServerHealth
}

// ServerState is a server in AutopilotState.
type ServerState struct {
	ID          string
	Name        string
	Address     string
	NodeStatus  MemberStatus
	Version     string
	LastContact Duration
	LastTerm    uint64
	LastIndex   uint64
	Healthy     bool
	StableSince time.Time
	ReadReplica bool
	Status      string // leader, voter or non-voter
	Meta        map[string]string
	NodeType    string
}

// AutopilotState is all that autopilot knows.
type AutopilotState struct {
	Healthy                    bool
	FailureTolerance           int
	OptimisticFailureTolerance int
	Servers                    map[string]ServerState // by id
	Leader                     string                 // id
	Voters                     []string               // ids
}

// AutopilotState reads all that autopilot knows.
func (op *Operator) AutopilotState(ctx context.Context, o *QueryOptions) (*AutopilotState, error) {
	out := &AutopilotState{}
	_, _, err := op.c.get(ctx, "/v1/operator/autopilot/state", o, out)
	return out, err
}

// AutopilotHealth reads how the servers are; an unhealthy cluster is no error.
func (op *Operator) AutopilotHealth(ctx context.Context, o *QueryOptions) (*AutopilotHealth, error) {
	r := op.c.newRequest(http.MethodGet, "/v1/operator/autopilot/health")
	r.query(o)
	// An agent answers 429 with the same body when a server is unhealthy.
	reply, err := op.c.send(ctx, r, http.StatusTooManyRequests)
	if err != nil {
		return nil, err
	}
	defer reply.Body.Close()
	if reply.StatusCode == http.StatusTooManyRequests && !strings.Contains(reply.Header.Get("Content-Type"), "json") {
		return nil, replyError(reply) // a rate limit after all
	}
	out := &AutopilotHealth{}
	return out, op.c.decode(reply, out, KindUnavailable)
}

// Keyring is the gossip keys of a datacenter, base64, each with the number of nodes that have it.
type Keyring struct {
	WAN         bool
	Datacenter  string
	Segment     string
	Messages    map[string]string `json:",omitempty"` // what single nodes complained about
	Keys        map[string]int
	PrimaryKeys map[string]int
	NumNodes    int
}

const keyringPath = "/v1/operator/keyring"

// KeyringList lists the gossip keys of all nodes.
func (op *Operator) KeyringList(ctx context.Context, o *QueryOptions) ([]*Keyring, error) {
	var out []*Keyring
	_, _, err := op.c.get(ctx, keyringPath, o, &out)
	return out, err
}

// KeyringInstall gives every node another key (32 bytes, base64), to read with.
func (op *Operator) KeyringInstall(ctx context.Context, key string) error {
	return op.keyring(ctx, http.MethodPost, key)
}

// KeyringUse makes every node write with an installed key.
func (op *Operator) KeyringUse(ctx context.Context, key string) error {
	return op.keyring(ctx, http.MethodPut, key)
}

// KeyringRemove makes every node forget a key; that it is in use is an error.
func (op *Operator) KeyringRemove(ctx context.Context, key string) error {
	return op.keyring(ctx, http.MethodDelete, key)
}

func (op *Operator) keyring(ctx context.Context, method, key string) error {
	r := op.c.newRequest(method, keyringPath)
	if err := r.json(struct{ Key string }{key}); err != nil {
		return err
	}
	_, err := op.c.put(ctx, r, nil, nil)
	return err
}
