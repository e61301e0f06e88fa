package rpc

import (
	"context"
	"io"
	"time"

	"github.com/debros/debros/internal/acl"
	"github.com/debros/debros/state"
	"github.com/debros/debros/structs"
)

// Backend is what the endpoints need of the server they run in. Every error it returns that a
// user is to understand is a *structs.Error; any other error becomes KindInternal on the way out.
// All methods may be called from many goroutines.
type Backend interface {
	// Apply commits one command through the leader's batcher and waits until this server applied
	// it. body is the request type named beside t in structs; reply is the type named there as the
	// FSM's Reply (nil where it names none), index the Raft index of the entry. A deterministic
	// refusal by the FSM comes back as err. Off the leader: KindNoLeader, and nothing was written.
	// Leadership lost midway, or ctx done after the command was handed to Raft: KindUnknownResult.
	Apply(ctx context.Context, t structs.CommandType, body any) (reply any, index uint64, err error)

	// Forward passes a request on if it is not for this server. done false (and err nil) means
	// that this server is the one meant: the caller goes on. done true means that reply and err
	// are final. req already carries Forwarded = true; to.Forwarded says whether it arrived so.
	//   - another datacenter: KindNoPath when there is no way to it;
	//   - to.Leader: waits for a leader to be known, at most the hold time; KindNoLeader then, and
	//     at once when to.Forwarded is set and this server does not lead (two servers that each
	//     believe the other leads must not play ping-pong). A connection lost after the request
	//     was sent is KindUnknownResult, before that KindUnavailable.
	Forward(ctx context.Context, method string, to ForwardTo, req, reply any) (done bool, err error)

	// ForwardStream is Forward for the stream methods.
	ForwardStream(ctx context.Context, method string, to ForwardTo, req any, in io.Reader, out io.Writer) (done bool, err error)

	// State is the store that reads are answered from. The pointer never changes; a restore
	// replaces what is in it.
	State() *state.Store

	// ReadReady waits until a read with these options may be answered from State: for
	// o.Linearizable it gets a read index from the leader and waits until that is applied here;
	// o.MinIndex > 0 waits, at most o.MinWait, until that index is applied here (KindUnavailable
	// when it is not by then). Stale waits for nothing but MinIndex; so does Leader, which the
	// endpoint has forwarded already. No leader within the hold time: KindNoLeader.
	ReadReady(ctx context.Context, o *structs.QueryOptions) error

	// Sound is nil while State may be shown. KindUnavailable: it is known to differ from that of the other servers.
	// ReadReady asks it too.
	Sound() error

	// LeaderInfo says whether a leader is known and how long ago it was last heard; 0 on the leader.
	LeaderInfo() (known bool, lastContact time.Duration)

	// CaughtUp is true while no entry that this server knows to be committed is missing from State.
	CaughtUp() bool

	// Authorize turns a token into what it may do; KindDenied for an unknown one. "" is the anonymous token.
	Authorize(token string) (acl.Authorizer, error)

	// Raft is the consensus below, for the Status, Operator and Snapshot endpoints.
	Raft() RaftOps

	// Limits are the sizes in force now (they may change on a reload). A zero field means its default.
	Limits() Limits

	// RenewSession restarts a session's TTL timer on the leader, by the leader's own clock; for a
	// session without a TTL it does nothing. Off the leader: KindNoLeader. The endpoint has checked
	// that the session exists.
	RenewSession(ctx context.Context, s *structs.Session) error

	// RegisterEdge makes the row of an agent that only the overlay tells of, on the leader, or keeps it alive; leaves takes it away.
	// KindConflict: another node has the name.
	RegisterEdge(ctx context.Context, n structs.Node, leaves bool) (index uint64, err error)

	// ForgetEdge takes away the row of an edge agent that failed, on the leader. KindConflict while it lives.
	ForgetEdge(ctx context.Context, name string) (index uint64, err error)

	// Datacenter is the name of this server's own datacenter.
	Datacenter() string

	// Datacenters are the names of others that are reached now.
	Datacenters() []string

	// ShutdownCh is closed when the server begins to stop: blocked queries end with KindUnavailable.
	ShutdownCh() <-chan struct{}
}

// ForwardTo says for which server a request is meant.
type ForwardTo struct {
	Datacenter string // "" = this one
	Leader     bool   // only the leader may answer
	Forwarded  bool   // the request came from another server: it is not passed on again
}

// Limits bound what one request may carry. Over one of them: KindTooLarge, with the limit in the message.
type Limits struct {
	ValueBytesMax int // of one value; 0 = structs.ValueBytesMaxDefault
	TxnOpsMax     int // operations of one transaction; 0 = TxnOpsMaxDefault
	TxnBytesMax   int // keys and values of one transaction together; 0 = TxnBytesMaxDefault
	SQLBytesMax   int // statements and arguments of one SQL request together; 0 = SQLBytesMaxDefault
}

// Defaults of Limits.
const (
	TxnOpsMaxDefault   = 128     // Consul's clients split at 64 or 128
	TxnBytesMaxDefault = 1 << 20 // what the batcher puts into one log entry
	SQLBytesMaxDefault = 4 << 20 // a request that is larger than the batcher's bound has an entry to itself
)

// withDefaults fills the fields that are zero.
func (l Limits) withDefaults() Limits {
	if l.ValueBytesMax <= 0 {
		l.ValueBytesMax = structs.ValueBytesMaxDefault
	}
	if l.TxnOpsMax <= 0 {
		l.TxnOpsMax = TxnOpsMaxDefault
	}
	if l.TxnBytesMax <= 0 {
		l.TxnBytesMax = TxnBytesMaxDefault
	}
	if l.SQLBytesMax <= 0 {
		l.SQLBytesMax = SQLBytesMaxDefault
	}
	return l
}

// RaftOps is the consensus as operators see it.
type RaftOps interface {
	// Leader is the leader's id and the "host:port" of its server port; both "" when none is known.
	Leader() (id structs.NodeID, address string)

	// Peers are the "host:port" of every server in the Raft configuration, in its order.
	Peers() ([]string, error)

	// Stats are this server's own figures, for autopilot and for bootstrap. Never blocks.
	Stats() structs.ServerStatsReply

	// ReadIndex is the index that a linearizable read must have applied. Only the leader gives one,
	// after a check with a quorum that it still leads (one check may serve many callers); KindNoLeader otherwise.
	ReadIndex(ctx context.Context) (uint64, error)

	// Configuration lists the servers, with names from membership and, as far as they answer, their
	// last index, and whom the leader keeps out. It leaves QueryMeta alone.
	Configuration(ctx context.Context) (*structs.RaftConfigReply, error)

	// RemovePeer takes a server out of the configuration, by id or, where id is "", by address;
	// leader only. An unknown server is KindNotFound. index is the one of the configuration entry.
	RemovePeer(ctx context.Context, id structs.NodeID, address string) (index uint64, err error)

	// TransferLeadership hands leadership to a voter (both "": the leader chooses) and returns when
	// it is handed over; leader only. An unknown server is KindNotFound, a non-voter KindInvalid.
	TransferLeadership(ctx context.Context, id structs.NodeID, address string) error

	// AutopilotDefault is the configuration in force while none was ever stored.
	AutopilotDefault() structs.AutopilotConfig

	// AutopilotHealth is the leader's view of the servers; it leaves QueryMeta alone. Leader only.
	AutopilotHealth(ctx context.Context) (*structs.AutopilotHealthReply, error)

	// Verify has all servers compare their states at one entry, whose index it returns, and does not wait for what they
	// find; leader only. With a server's id it has that server take the leader's state: an unknown one is KindNotFound, the leader
	// itself KindInvalid.
	Verify(ctx context.Context, reinstall structs.NodeID) (index uint64, err error)

	// VerifyReport is what came of the comparison at an entry, 0 = the newest; leader only. KindNotFound: there was none, or
	// a later one has taken its place.
	VerifyReport(at uint64) (*structs.VerifyReport, error)

	// SnapshotSave writes an archive of this server's state to w. An error before the first byte
	// leaves w untouched.
	SnapshotSave(ctx context.Context, w io.Writer) error

	// SnapshotRestore reads an archive to its end, decodes all of it, and only then replaces the
	// state of the whole cluster with it; leader only. A damaged archive is KindInvalid and changes
	// nothing. index is the one the restored state stands at.
	SnapshotRestore(ctx context.Context, r io.Reader) (index uint64, err error)
}
