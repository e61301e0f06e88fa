package structs

import (
	"encoding/json"
	"time"

	"github.com/hashicorp/serf/coordinate"
)

// This file holds the bodies of HTTP replies whose JSON, being Consul's, differs from the reply
// that came over RPC. They never travel between nodes.

// AgentMember is a member as /v1/agent/members shows it. JSON is Consul's, with fields of our own after it.
type AgentMember struct {
	Name        string
	Addr        string
	Port        int
	Tags        map[string]string
	Status      int // serf's number: 0 none, 1 alive, 2 leaving, 3 left, 4 failed
	ProtocolMin uint8
	ProtocolMax uint8
	ProtocolCur uint8
	DelegateMin uint8
	DelegateMax uint8
	DelegateCur uint8
	ID          NodeID
	Role        Role
	Datacenter  string
	Build       string
	StatusName  MemberStatus // Status as a word
	Expect      int          // bootstrap_expect
	Ports       map[string]int
}

// CatalogNode is a node as /v1/catalog/nodes shows it. JSON is Consul's, with fields of our own after it.
type CatalogNode struct {
	ID              NodeID
	Node            string
	Address         string
	Datacenter      string
	TaggedAddresses map[string]string
	Meta            map[string]string
	CreateIndex     uint64
	ModifyIndex     uint64
	Role            Role
	Status          NodeStatus
	Version         string
	Ports           map[string]int
}

// CatalogNodeServices is /v1/catalog/node/<name>. Services is empty: nodes carry none.
type CatalogNodeServices struct {
	Node     *CatalogNode
	Services map[string]any
}

// CoordinateEntry is one element of /v1/coordinate/nodes. JSON is Consul's.
type CoordinateEntry struct {
	Node    string
	Segment string
	Coord   *coordinate.Coordinate
}

// RaftConfiguration is /v1/operator/raft/configuration. JSON is Consul's, with fields of our own after it.
type RaftConfiguration struct {
	Servers   []*RaftServer
	Index     uint64 // of the configuration entry
	ClusterID ClusterID
	Refused   []*RefusedServer `json:",omitempty"`
}

// TxnResponse is /v1/txn. JSON is Consul's.
type TxnResponse struct {
	Results  []TxnResponseResult
	Errors   []TxnError
	Replayed bool `json:",omitempty"` // the transaction was done before, by its request_id: this is the reply of then
}

// TxnResponseResult is one element of TxnResponse. JSON is Consul's, with SQL and Publish of our own.
type TxnResponseResult struct {
	KV      *KVPair         `json:",omitempty"`
	SQL     json.RawMessage `json:",omitempty"` // {"Results": […]}, as /v1/sql/execute has them
	Publish *TxnPublished   `json:",omitempty"`
}

// TxnPublished is a message that a transaction published.
type TxnPublished struct {
	Stream    string
	Seq       uint64
	Duplicate bool `json:",omitempty"`
}

// KVCount is /v1/kv/<prefix>?count.
type KVCount struct{ Count int64 }

// AutopilotConfiguration is /v1/operator/autopilot/configuration. JSON is Consul's: durations are
// strings ("200ms"); numbers of nanoseconds are also read.
type AutopilotConfiguration struct {
	CleanupDeadServers      bool
	LastContactThreshold    ReadableDuration
	MaxTrailingLogs         uint64
	MinQuorum               uint
	ServerStabilizationTime ReadableDuration
	CreateIndex             uint64
	ModifyIndex             uint64
}

// AutopilotServerHealth is one server of AutopilotHealth. JSON is Consul's.
type AutopilotServerHealth struct {
	ID          NodeID
	Name        string
	Address     string
	SerfStatus  MemberStatus
	Version     string
	Leader      bool
	LastContact ReadableDuration
	LastTerm    uint64
	LastIndex   uint64
	Healthy     bool
	Voter       bool
	StableSince time.Time
}

// AutopilotHealth is /v1/operator/autopilot/health. JSON is Consul's.
type AutopilotHealth struct {
	Healthy          bool
	FailureTolerance int
	Servers          []AutopilotServerHealth
}

// AutopilotServerState is one server of AutopilotState. JSON is Consul's.
type AutopilotServerState struct {
	ID          NodeID
	Name        string
	Address     string
	NodeStatus  MemberStatus
	Version     string
	LastContact ReadableDuration
	LastTerm    uint64
	LastIndex   uint64
	Healthy     bool
	StableSince time.Time
	ReadReplica bool
	Status      string // leader, voter or non-voter
	Meta        map[string]string
	NodeType    string // voter
}

// AutopilotState is /v1/operator/autopilot/state. JSON is Consul's.
type AutopilotState struct {
	Healthy                    bool
	FailureTolerance           int
	OptimisticFailureTolerance int
	Servers                    map[NodeID]AutopilotServerState
	Leader                     NodeID
	Voters                     []NodeID
}

// KeyringResponse is one element of /v1/operator/keyring. JSON is Consul's.
type KeyringResponse struct {
	WAN         bool
	Datacenter  string
	Segment     string
	Messages    map[string]string `json:",omitempty"`
	Keys        map[string]int    // key (base64) to the number of members that have it
	PrimaryKeys map[string]int    // key to the number of members that encrypt with it
	NumNodes    int
}
