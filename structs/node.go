package structs

import "github.com/hashicorp/serf/coordinate"

// NodeStatus is a node's health as the leader last reconciled it from membership.
type NodeStatus string

const (
	NodeAlive  NodeStatus = "alive"
	NodeFailed NodeStatus = "failed"
	NodeLeft   NodeStatus = "left"
)

// Node is a row of the nodes table: the leader writes it from what membership says.
type Node struct {
	ID          NodeID
	Name        string // node name, unique among living nodes
	Address     string // IP or host the node advertises
	Datacenter  string
	Role        Role
	Status      NodeStatus
	Meta        map[string]string
	Ports       map[string]int // "http", "server", "serf_lan", "overlay"
	Version     string         // build version
	CreateIndex uint64
	ModifyIndex uint64
}

// Names of the ports that a node advertises.
const (
	PortHTTP    = "http"
	PortServer  = "server" // Raft and RPC
	PortSerfLAN = "serf_lan"
	PortOverlay = "overlay"
)

// NodeOp is what a NodeRequest does.
type NodeOp string

const (
	NodeUpsert NodeOp = "upsert" // no new ModifyIndex when nothing changed
	NodeDelete NodeOp = "delete"
	// NodeMeta replaces the Meta of the row with this name and id, and nothing else.
	NodeMeta NodeOp = "meta"
)

// MetaMaintenance is the key of node meta that holds the reason while a node is in maintenance.
const MetaMaintenance = "debros-maintenance"

// NodeRegisterRequest is what a node says of itself beyond its gossip tags ("Catalog.Register";
// replied to with WriteReply). The row itself comes from membership: KindUnavailable until it is there.
type NodeRegisterRequest struct {
	WriteOptions
	ID   NodeID
	Name string
	Meta map[string]string
	// Edge is set by an agent that no gossip tells of: then the row is what it says, and alive while it says so.
	Edge *EdgeNode `codec:",omitempty"`
}

// NodeForgetRequest takes away the row of an edge agent that failed ("Catalog.Forget"; replied to with WriteReply). KindConflict
// while it lives, KindNotFound for no such node.
type NodeForgetRequest struct {
	WriteOptions
	Name string
}

// EdgeNode is what gossip says of other nodes.
type EdgeNode struct {
	Address string // the way to it, as it sees it
	Version string
	Ports   map[string]int
	Leaves  bool // it takes its row away
}

// MetaVia is the key of node meta that says how an edge agent reaches the servers: "direct", "punched" or "relay", and by which transport.
const MetaVia = "debros-via"

// NodeRequest writes the nodes table (CommandNode): the leader's reconciler proposes upsert and
// delete, Catalog.Register proposes meta. An upsert without Meta keeps the row's. A node that becomes
// failed, left or deleted loses its sessions. No Reply.
type NodeRequest struct {
	Op   NodeOp
	Node Node
}

// ConflictKeys implements Conflicter.
func (r *NodeRequest) ConflictKeys() []string { return nil }

// NodeListRequest reads the nodes table ("Catalog.Nodes"); with Name, one node ("Catalog.Node").
type NodeListRequest struct {
	QueryOptions
	Name string
}

// NodeListReply holds nodes by name.
type NodeListReply struct {
	QueryMeta
	Nodes []*Node
}

// DatacentersReply answers "Catalog.Datacenters" (asked with QueryRequest): sorted, this one included.
type DatacentersReply struct {
	QueryMeta
	Datacenters []string
}

// MemberStatus is a word of serf: alive, leaving, left, failed.
type MemberStatus string

const (
	MemberAlive   MemberStatus = "alive"
	MemberLeaving MemberStatus = "leaving"
	MemberLeft    MemberStatus = "left"
	MemberFailed  MemberStatus = "failed"
)

// Member is one node as this agent's gossip sees it now.
type Member struct {
	ID          NodeID
	Name        string
	Addr        string // gossip address
	Port        int
	Role        Role
	Status      MemberStatus
	Datacenter  string
	Expect      int               // bootstrap_expect, 0 = none
	Ports       map[string]int    // advertised ports by name; "server" is Raft and RPC
	Build       string            // build version
	Protocol    int               // ProtocolVersion
	FSM         int               // FSMVersion
	Tags        map[string]string // all serf tags, as they are
	ProtocolMin uint8
	ProtocolMax uint8
	ProtocolCur uint8
	DelegateMin uint8
	DelegateMax uint8
	DelegateCur uint8
}

// Coordinate is a node's place in the round-trip-time space of Vivaldi.
type Coordinate struct {
	Node  string
	Coord *coordinate.Coordinate
}
