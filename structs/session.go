package structs

import "time"

// SessionBehavior is what happens to keys held by a session that ends.
type SessionBehavior string

const (
	SessionRelease SessionBehavior = "release"
	SessionDelete  SessionBehavior = "delete"
)

// Bounds of a session's TTL, as Consul has them.
const (
	SessionTTLMin         = 10 * time.Second
	SessionTTLMax         = 24 * time.Hour
	SessionLockDelayUnset = 15 * time.Second // when the caller names none
)

// NodeHealthCheck is the one check that a session can have: its node is alive in the membership. The
// name is Consul's.
const NodeHealthCheck = "serfHealth"

// Session is a lease that locks hang on. JSON is Consul's (LockDelay in nanoseconds, TTL a duration string).
type Session struct {
	ID          string
	Name        string
	Node        string // node name; the session ends when the node leaves, and when it fails unless NodeChecks is empty
	LockDelay   time.Duration
	Behavior    SessionBehavior
	TTL         string    // "" = no TTL
	NodeChecks  []string  // [NodeHealthCheck], or empty: then the session outlives a failure of its node
	Namespace   Namespace `codec:",omitempty" json:",omitempty"`
	CreateIndex uint64
	ModifyIndex uint64
}

// EndsWithNode reports whether the session ends when its node fails.
func (s *Session) EndsWithNode() bool { return len(s.NodeChecks) > 0 }

// TTLDuration is the TTL as a duration, 0 for none.
func (s *Session) TTLDuration() time.Duration {
	d, _ := time.ParseDuration(s.TTL)
	return d
}

// SessionOp is what a SessionRequest does.
type SessionOp string

const (
	SessionCreate  SessionOp = "create"
	SessionDestroy SessionOp = "destroy"
)

// SessionRequest creates or destroys a session ("Session.Apply"; CommandSession). The id is chosen
// by the endpoint before the request is proposed. The FSM's Reply is SessionReply.
type SessionRequest struct {
	WriteOptions
	Op      SessionOp
	Session Session
	// NodeID is the agent that asks, for a session of its own name: that may be another node's, which keeps this one out. "" = not
	// told. It is not in the command.
	NodeID NodeID `codec:",omitempty"`
	// Why ends in the log and in metrics: "api", "ttl", "node".
	Why string `codec:",omitempty"`
}

// ConflictKeys implements Conflicter: destroying a session writes the rows it holds.
func (r *SessionRequest) ConflictKeys() []string {
	if r.Op == SessionCreate {
		return []string{"session/" + r.Session.ID}
	}
	return nil
}

// SessionReply answers a SessionRequest.
type SessionReply struct {
	WriteMeta
	ID string
}

// SessionRenewRequest restarts a session's TTL on the leader ("Session.Renew"); nothing is logged.
// The reply is a SessionListReply with the session in it; KindNotFound when there is no such session.
type SessionRenewRequest struct {
	WriteOptions
	ID string
}

// SessionGetRequest reads one session ("Session.Get") or, by node name, a node's ("Session.Node").
type SessionGetRequest struct {
	QueryOptions
	ID   string
	Node string
}

// SessionListRequest reads all sessions of a namespace ("Session.List").
type SessionListRequest struct {
	QueryOptions
}

// SessionListReply is empty when nothing was found.
type SessionListReply struct {
	QueryMeta
	Sessions []*Session
}
