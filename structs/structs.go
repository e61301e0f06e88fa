// Package structs says what debros nodes tell each other: one file per noun with its requests,
// replies and log commands, the error kinds, and the msgpack codec that carries them.
//
// Contract: no I/O, no logging, no clock, no import of ours. Types here are wire and log formats:
// fields may be added, never renamed or given another meaning. Fields are encoded by name, so an
// older node skips what it does not know. Where a reply is also an HTTP body, the JSON form is the
// Go field names, as Consul's API has them.
package structs

// NodeID names a node for ever: the libp2p peer id of its Ed25519 node key ("12D3KooW…").
// It is also its Raft server id. The zero value names nobody.
type NodeID string

// Namespace is a tenant's space: KV, sessions, databases and topics of their own. "" on a request
// means "the token's own, else default"; an endpoint resolves it before it reads or writes.
type Namespace string

// DefaultNamespace exists in every cluster and cannot be deleted.
const DefaultNamespace Namespace = "default"

// Role is what a node does in the cluster.
type Role string

const (
	RoleServer Role = "server" // votes in Raft, holds the state
	RoleClient Role = "client" // forwards to servers
	// RoleEdge is a client without a way to the servers but the overlay. It is a role in the nodes table only; everywhere else it is
	// a client.
	RoleEdge Role = "edge"
)

// Build-time versions of formats. A leader gates new command types on the lowest one in the cluster.
const (
	// ProtocolVersion counts changes of the RPC protocol.
	ProtocolVersion = 1
	// FSMVersion counts changes of what the FSM does with a committed entry.
	FSMVersion = 9
	// FSMVersionCluster is the first FSMVersion that knows CommandCluster.
	FSMVersionCluster = 2
	// FSMVersionSQL is the first FSMVersion that knows CommandSQL and CommandSQLDatabase.
	FSMVersionSQL = 3
	// FSMVersionUpload is the first FSMVersion that knows CommandSQLUpload and databases whose file it brought.
	FSMVersionUpload = 4
	// FSMVersionVerify is the first FSMVersion that knows CommandVerify.
	FSMVersionVerify = 5
	// FSMVersionChanges is the first FSMVersion that knows SQLDatabase.ChangesBytes.
	FSMVersionChanges = 6
	// FSMVersionQuota is the first FSMVersion that knows quotas of namespaces.
	FSMVersionQuota = 7
	// FSMVersionStreams is the first FSMVersion that knows streams.
	FSMVersionStreams = 8
	// FSMVersionOfCluster is the first FSMVersion that knows ClusterInfo.FSMVersion, and all that is used only where that says so:
	// SQLRequest.BytesPerStep, TxnRequest.RequestID.
	FSMVersionOfCluster = 9
)
