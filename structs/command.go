package structs

import "time"

// CommandType selects what the FSM does with a committed command. Append only: the number is in the log.
type CommandType uint8

const (
	CommandNone          CommandType = iota // does nothing; a new leader commits one to know where the log stands
	CommandKV                               // KVRequest
	CommandKVExpire                         // KVExpireRequest: delete the keys whose TTL has passed
	CommandTxn                              // TxnRequest
	CommandSession                          // SessionRequest
	CommandNamespace                        // NamespaceRequest
	CommandNode                             // NodeRequest
	CommandTombstoneReap                    // TombstoneReapRequest
	CommandAutopilot                        // AutopilotRequest
	CommandCluster                          // ClusterRequest; only where every server has FSMVersionCluster
	CommandSQL                              // SQLRequest; only where every server has FSMVersionSQL
	CommandSQLDatabase                      // SQLDatabaseRequest; as CommandSQL
	CommandSQLUpload                        // SQLUploadRequest; only where every server has FSMVersionUpload
	CommandVerify                           // VerifyRequest; only where every server has FSMVersionVerify
	CommandStream                           // StreamRequest; only where every server has FSMVersionStreams
	CommandPublish                          // StreamPublishRequest; as CommandStream
)

// Command is one write, as an endpoint hands it to the batcher and as the FSM gets it back.
type Command struct {
	Type CommandType
	Body []byte // the request, msgpack
}

// Entry is one Raft log entry: the commands that one leader packed together, with everything that
// makes applying them the same on every replica.
type Entry struct {
	Time     int64  // leader's clock, Unix nanoseconds; the FSM never lets it go backwards
	Seed     uint64 // random, for whatever a command wants to draw
	Commands []Command
}

// Stamp is what the FSM tells a command about the entry it is in.
type Stamp struct {
	Index uint64
	Time  time.Time
	Seed  uint64
}

// CommandResult is what a command gave: exactly one of Reply and Err, or neither.
type CommandResult struct {
	Reply any    // the reply type named beside each request
	Err   *Error // a deterministic refusal: the same on every replica
}

// Conflicter is a command body that knows which rows it writes. Two commands that write the same
// row never share an entry: rows carry the entry's Raft index as ModifyIndex, and compare-and-set
// is only sound while an index names one version of a row.
type Conflicter interface {
	// ConflictKeys names the rows written; nil means "unknown or many": the command gets an entry of its own.
	ConflictKeys() []string
}

// LockDelayMax is the longest lock-delay a session may ask for.
const LockDelayMax = 60 * time.Second
