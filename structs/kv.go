package structs

// KVPair is one row of the key-value store. JSON is Consul's.
type KVPair struct {
	LockIndex   uint64    // times the key was locked since it was created
	Key         string    // any printable UTF-8, at most KeyBytesMax
	Flags       uint64    // the caller's own
	Value       []byte    // nil and empty are the same
	Session     string    `codec:",omitempty" json:",omitempty"` // holder of the lock
	Namespace   Namespace `codec:",omitempty" json:",omitempty"`
	CreateIndex uint64
	ModifyIndex uint64
	// FencingToken grows with every acquisition of this key for ever (it is the Raft index of the
	// acquisition): a resource that remembers the highest one seen can refuse a late former holder.
	FencingToken uint64 `codec:",omitempty" json:",omitempty"`
	// ExpiresAt is when the row is to be deleted, Unix nanoseconds; 0 = never.
	ExpiresAt int64 `codec:",omitempty" json:",omitempty"`
}

// Limits of the store.
const (
	KeyBytesMax          = 8 << 10   // a longer key is refused
	ValueBytesMaxDefault = 512 << 10 // limits.kv_value_bytes_max
)

// KVOp is what a KVRequest or one operation of a transaction does.
type KVOp string

const (
	KVSet            KVOp = "set"
	KVCAS            KVOp = "cas"    // set if ModifyIndex matches; 0 = must not exist
	KVLock           KVOp = "lock"   // acquire for Session
	KVUnlock         KVOp = "unlock" // release by Session
	KVDelete         KVOp = "delete"
	KVDeleteCAS      KVOp = "delete-cas"
	KVDeleteTree     KVOp = "delete-tree"
	KVGet            KVOp = "get" // transactions only, from here on
	KVGetTree        KVOp = "get-tree"
	KVGetOrEmpty     KVOp = "get-or-empty"
	KVCheckIndex     KVOp = "check-index"
	KVCheckSession   KVOp = "check-session"
	KVCheckNotExists KVOp = "check-not-exists"
)

// KVRequest writes one key or deletes a tree ("KV.Apply"; CommandKV). The FSM's Reply is KVReply.
type KVRequest struct {
	WriteOptions
	Op  KVOp
	KV  KVPair // Key always; Value, Flags, Session, ModifyIndex as Op needs
	TTL int64  `codec:",omitempty"` // nanoseconds from the entry's time; 0 = none. A set without TTL clears an earlier one
}

// ConflictKeys implements Conflicter.
func (r *KVRequest) ConflictKeys() []string {
	if r.Op == KVDeleteTree {
		return nil
	}
	return []string{"kv/" + string(r.Namespace) + "/" + r.KV.Key}
}

// KVReply answers a KVRequest.
type KVReply struct {
	WriteMeta
	OK           bool   // false: CAS or lock condition did not hold, nothing was written
	FencingToken uint64 `codec:",omitempty"` // of a successful KVLock
}

// KVExpireRequest deletes rows whose ExpiresAt is not after the entry's time (CommandKVExpire).
// The leader proposes it. The FSM's Reply is KVExpireReply.
type KVExpireRequest struct {
	Limit int // rows at most
}

// KVExpireReply says how many went.
type KVExpireReply struct {
	Deleted int
}

// KeyRequest reads one key ("KV.Get").
type KeyRequest struct {
	QueryOptions
	Key string
}

// KVGetReply: Entry is nil when the key does not exist.
type KVGetReply struct {
	QueryMeta
	Entry *KVPair
}

// KVListRequest reads pairs under a prefix ("KV.List"), keys ("KV.Keys") or their number ("KV.Count").
type KVListRequest struct {
	QueryOptions
	Prefix    string
	Separator string `codec:",omitempty"` // Keys only: stop at the first Separator after Prefix
}

// KVListReply holds pairs in key order.
type KVListReply struct {
	QueryMeta
	Entries []*KVPair
}

// KVKeysReply holds keys in order, each group once when a separator was given.
type KVKeysReply struct {
	QueryMeta
	Keys []string
}

// KVCountReply holds the number of keys under the prefix.
type KVCountReply struct {
	QueryMeta
	Count int64
}

// TombstoneReapRequest forgets tombstones up to Index (CommandTombstoneReap). No Reply.
type TombstoneReapRequest struct {
	Index uint64
}
