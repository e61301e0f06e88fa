package structs

import "time"

// VerifyRequest has the servers compare their states ("Operator.Verify", and CommandVerify, which carries no more than
// the fact). The FSM changes nothing but the cluster's row, which notes it; each server then hashes its state as it
// is right after the entry.
type VerifyRequest struct {
	WriteOptions
	// Reinstall names a server that takes the leader's state in the place of its own, whatever a comparison says; ""
	// compares. It is not in the log.
	Reinstall NodeID `codec:",omitempty"`
}

// VerifyReply: Index is the entry at which the states are compared.
type VerifyReply struct{ WriteMeta }

// VerifyReportRequest asks the leader what came of a comparison ("Operator.VerifyReport").
type VerifyReportRequest struct {
	QueryOptions
	At uint64 // the entry; 0 = the newest comparison
}

// VerifyReportReply answers "Operator.VerifyReport".
type VerifyReportReply struct {
	QueryMeta
	Report VerifyReport
}

// VerifyOutcome is what a comparison found.
type VerifyOutcome string

const (
	VerifyNone       VerifyOutcome = "none"       // they were never compared
	VerifyRunning    VerifyOutcome = "running"    // answers are missing yet
	VerifyEqual      VerifyOutcome = "equal"      // all servers hold the same
	VerifyDifferent  VerifyOutcome = "different"  // some differ from the majority, or are damaged
	VerifyUndecided  VerifyOutcome = "undecided"  // they differ, and no majority says which are right
	VerifyIncomplete VerifyOutcome = "incomplete" // those that could be compared agree, others could not
)

// VerifyVerdict is what a comparison says of one server.
type VerifyVerdict string

const (
	VerdictWaiting     VerifyVerdict = "waiting"      // it has not answered yet
	VerdictRight       VerifyVerdict = "right"        // it holds what the majority holds
	VerdictDifferent   VerifyVerdict = "different"    // it holds something else
	VerdictDamaged     VerifyVerdict = "damaged"      // it cannot read what it holds
	VerdictUndecided   VerifyVerdict = "undecided"    // it differs from others, without a majority
	VerdictNotCompared VerifyVerdict = "not compared" // Error says why
)

// VerifyReport is /v1/operator/verify.
type VerifyReport struct {
	Index       uint64 // the entry after which the states were compared; 0 = none ever was
	Outcome     VerifyOutcome
	Time        time.Time // of the entry
	Servers     []*VerifyServer
	Differences []*VerifyDifference `json:",omitempty"`
}

// VerifyServer is one server in a VerifyReport.
type VerifyServer struct {
	ID      NodeID
	Node    string
	Address string
	Leader  bool
	Voter   bool
	Verdict VerifyVerdict
	Hash    string // SHA-256 of the whole state in hexadecimal; "" while there is none
	// Databases is how many databases are in the hash, DatabasesDone how many are read so far.
	Databases     int
	DatabasesDone int
	Took          ReadableDuration // of the reading
	Build         string
	Error         string `json:",omitempty"`
	// Quarantine is why it answers no reads now; "" when it does.
	Quarantine string `json:",omitempty"`
}

// VerifyDifference is a part of the state that is not the same on all servers.
type VerifyDifference struct {
	Part   string            // "table kv", "database orders of namespace default"
	Right  string            // the hash of the majority; "" = there is none, "absent" = such a part should not be
	Hashes map[NodeID]string // by server; "absent" = it has no such part, "damaged" = it cannot be read
}

// ReplicaHashRequest asks one server for its own result ("Replica.Hash"; servers only).
type ReplicaHashRequest struct {
	At    uint64
	Wait  time.Duration // longest wait for it to be done
	Parts bool          // with the hash of each part
}

// ReplicaState says how far a server is with a hash.
type ReplicaState string

const (
	ReplicaAbsent  ReplicaState = "absent"  // it has not met the entry, or no longer knows of it
	ReplicaWaiting ReplicaState = "waiting" // an earlier one is being worked on
	ReplicaHashing ReplicaState = "hashing"
	ReplicaDone    ReplicaState = "done"
	ReplicaFailed  ReplicaState = "failed" // Error says why; it says nothing of the state itself
)

// ReplicaHash is what one server holds after an entry.
type ReplicaHash struct {
	At            uint64
	Time          time.Time // of the entry
	State         ReplicaState
	Applied       uint64 // where the server stands now; with ReplicaAbsent
	Hash          string // of all parts; with ReplicaDone
	Parts         []ReplicaPart
	Databases     int
	DatabasesDone int
	Took          time.Duration
	Format        string // only hashes of one format can be compared
	Build         string
	Damaged       bool // a part could not be read
	Error         string
	Quarantine    string // why the server answers no reads; "" = it does
}

// ReplicaPart is a part of the state with its hash.
type ReplicaPart struct {
	Name   string
	Hash   string
	Damage string `codec:",omitempty"` // why it could not be read; Hash is "" then
}

// Quarantine says why a server answers no reads until it has taken another's state. It is sent to the server
// ("Replica.Quarantine"; servers only) and kept in its data directory.
type Quarantine struct {
	Index  uint64 // the entry after which it was found to differ
	Reason string
	Since  time.Time
	Right  []NodeID // whose state may be taken
}

// QuarantineReply is empty.
type QuarantineReply struct{}

// ReinstallRequest asks the leader for its state ("Replica.Reinstall"; servers only).
type ReinstallRequest struct {
	ID         NodeID // who asks
	Quarantine Quarantine
}

// ReinstallReply comes when the state was installed.
type ReinstallReply struct{ Index uint64 }
