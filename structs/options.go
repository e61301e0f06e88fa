package structs

import "time"

// Consistency is how fresh a read must be.
type Consistency uint8

const (
	// Linearizable (the default) sees every write acknowledged before the read began, on any server.
	Linearizable Consistency = iota
	// Stale answers at once from the answering server's own state.
	Stale
	// Leader answers from the leader without checking that it still leads.
	Leader
)

// MaxWait bounds a blocking query.
const MaxWait = 10 * time.Minute

// DefaultWait is a blocking query's wait when the caller gave none.
const DefaultWait = 5 * time.Minute

// QueryOptions come with every read.
type QueryOptions struct {
	Token       string        `codec:",omitempty"`
	Namespace   Namespace     `codec:",omitempty"`
	Datacenter  string        `codec:",omitempty"` // "" = this one
	Consistency Consistency   `codec:",omitempty"`
	Index       uint64        `codec:",omitempty"` // >0: block until the result is newer than this
	Wait        time.Duration `codec:",omitempty"` // longest block; 0 = DefaultWait when Index is set
	MinIndex    uint64        `codec:",omitempty"` // >0: first wait until this index is applied here
	MinWait     time.Duration `codec:",omitempty"` // longest wait for MinIndex; 0 = 10 s
	PerPage     int           `codec:",omitempty"` // 0 = everything
	NextToken   string        `codec:",omitempty"` // from the previous page's QueryMeta
	Forwarded   bool          `codec:",omitempty"` // set by a server that passed this on; never forwarded twice
}

// Query returns the options themselves; embedded, it lets the RPC layer reach them in any request.
func (o *QueryOptions) Query() *QueryOptions { return o }

// QueryMeta comes with every read's reply.
type QueryMeta struct {
	Index       uint64        // of the newest change to what was read; never 0
	KnownLeader bool          // the answering server knows a leader
	LastContact time.Duration // since the answering server last heard from the leader; 0 on the leader
	NextToken   string        `codec:",omitempty"` // more pages follow
}

// Meta returns the meta itself; see QueryOptions.Query.
func (m *QueryMeta) Meta() *QueryMeta { return m }

// WriteOptions come with every write.
type WriteOptions struct {
	Token      string    `codec:",omitempty"`
	Namespace  Namespace `codec:",omitempty"`
	Datacenter string    `codec:",omitempty"`
	Forwarded  bool      `codec:",omitempty"`
}

// Write returns the options themselves; see QueryOptions.Query.
func (o *WriteOptions) Write() *WriteOptions { return o }

// WriteMeta comes with every write's reply.
type WriteMeta struct {
	Index uint64 // Raft index at which the write was applied
}
