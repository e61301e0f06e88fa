package structs

import "time"

// RaftServer is one server of the Raft configuration.
type RaftServer struct {
	ID              NodeID
	Node            string // name; "(unknown)" when gossip does not know it
	Address         string
	Leader          bool
	Voter           bool
	ProtocolVersion string
	LastIndex       uint64 // 0 when the server did not answer
	Quarantine      string `json:",omitempty"` // why it answers no reads; "" = it does
}

// RefusedServer is a server in the gossip pool that the leader keeps out of the Raft configuration.
type RefusedServer struct {
	ID        NodeID
	Node      string
	Address   string    // "host:port" of its server port
	ClusterID ClusterID // the cluster it belongs to; "" when it cannot say
	Reason    string
}

// RaftConfigReply answers "Operator.RaftConfiguration" (asked with QueryRequest).
type RaftConfigReply struct {
	QueryMeta
	Servers     []*RaftServer
	ConfigIndex uint64           // index of the newest configuration entry that the server has applied; 0 before the first
	ClusterID   ClusterID        // "" while the cluster has none
	Refused     []*RefusedServer // as the leader knows it; others know of none
}

// QueryRequest is a read that needs no more than its options.
type QueryRequest struct{ QueryOptions }

// WriteRequest is a write that needs no more than its options.
type WriteRequest struct{ WriteOptions }

// WriteReply is a reply that says no more than the index.
type WriteReply struct{ WriteMeta }

// RaftPeerRequest removes a server ("Operator.RaftRemovePeer") or hands leadership to it
// ("Operator.RaftTransferLeader"); by ID, or by Address where ID is "". Both "" in a transfer: the
// leader chooses.
type RaftPeerRequest struct {
	WriteOptions
	ID      NodeID
	Address string
}

// AutopilotConfig is replicated. JSON is Consul's.
type AutopilotConfig struct {
	CleanupDeadServers      bool          // remove failed servers when quorum allows
	LastContactThreshold    time.Duration // a server silent for longer is unhealthy
	MaxTrailingLogs         uint64        // a server further behind is unhealthy
	MinQuorum               uint          // dead servers are not removed below this many
	ServerStabilizationTime time.Duration // a new server stays a non-voter until healthy this long
	CreateIndex             uint64
	ModifyIndex             uint64
}

// AutopilotRequest stores the configuration ("Operator.AutopilotSet"; CommandAutopilot). With CAS,
// only if Config.ModifyIndex is the current one. The FSM's Reply is AutopilotReply.
type AutopilotRequest struct {
	WriteOptions
	Config AutopilotConfig
	CAS    bool
}

// ConflictKeys implements Conflicter.
func (r *AutopilotRequest) ConflictKeys() []string { return []string{"autopilot"} }

// AutopilotReply: OK is false when the CAS index did not match. It also answers "Operator.AutopilotGet".
type AutopilotReply struct {
	QueryMeta
	OK     bool
	Config AutopilotConfig
}

// ServerHealth is one server in autopilot's eyes.
type ServerHealth struct {
	ID          NodeID
	Name        string
	Address     string
	SerfStatus  MemberStatus
	Version     string
	Leader      bool
	Voter       bool
	LastContact time.Duration
	LastTerm    uint64
	LastIndex   uint64
	Healthy     bool
	StableSince time.Time
}

// AutopilotHealthReply answers "Operator.AutopilotHealth".
type AutopilotHealthReply struct {
	QueryMeta
	Healthy          bool
	FailureTolerance int // servers that may fail before quorum is lost
	Leader           NodeID
	Voters           []NodeID
	Servers          []ServerHealth
}

// StatusReply answers "Status.Leader", "Status.Peers" and "Status.Ping" (asked with QueryRequest). A
// ping fills the meta only: it says that the server answers, and whether it knows a leader.
type StatusReply struct {
	QueryMeta
	Leader   string // "host:port" of the leader's server port, "" when none
	LeaderID NodeID
	Peers    []string // "host:port" of every server in the Raft configuration
}

// ReadIndexRequest asks the leader for an index that a linearizable read must have applied ("Status.ReadIndex").
type ReadIndexRequest struct{}

// ReadIndexReply: the leader was leader when it answered and everything acknowledged is at or below Index.
type ReadIndexReply struct{ Index uint64 }

// ServerStatsReply answers "Status.Stats" (asked with QueryRequest), which autopilot and bootstrap
// ask of each server.
type ServerStatsReply struct {
	LastContact time.Duration
	LastTerm    uint64
	LastIndex   uint64
	Quarantine  string // why the server answers no reads; "" = it does
	DiskFree    int64  `codec:",omitempty"` // bytes; 0 = not known
	DiskLow     bool   `codec:",omitempty"` // DiskFree is below limits.disk_free_bytes_min
	// HasConfiguration: the server has a Raft configuration or log, or belongs to a cluster without
	// having them yet, so it must not be bootstrapped.
	HasConfiguration bool
}

// KeyringOp is what a KeyringRequest does to the gossip keys of the whole cluster.
type KeyringOp string

const (
	KeyringList    KeyringOp = "list"
	KeyringInstall KeyringOp = "install"
	KeyringUse     KeyringOp = "use"
	KeyringRemove  KeyringOp = "remove"
)

// SnapshotRequest opens the streams "Snapshot.Save", whose output is the archive and nothing else,
// and "Snapshot.Restore", whose input is the archive and whose output is empty.
type SnapshotRequest struct {
	QueryOptions
}

// SnapshotReply ends a restore, and begins a save.
type SnapshotReply struct {
	QueryMeta
}
