package api

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"
)

// KVOp is what an operation of a transaction does.
type KVOp string

// The operations of a transaction.
const (
	KVSet            KVOp = "set"
	KVCAS            KVOp = "cas"              // set if the key's index is Index; 0 = must not exist
	KVLock           KVOp = "lock"             // acquire for Session
	KVUnlock         KVOp = "unlock"           // release by Session
	KVDelete         KVOp = "delete"           //
	KVDeleteCAS      KVOp = "delete-cas"       // delete if the key's index is Index
	KVDeleteTree     KVOp = "delete-tree"      // delete all keys that begin with Key
	KVGet            KVOp = "get"              // the transaction fails if the key does not exist
	KVGetTree        KVOp = "get-tree"         // all pairs whose keys begin with Key
	KVGetOrEmpty     KVOp = "get-or-empty"     // no result if the key does not exist
	KVCheckIndex     KVOp = "check-index"      // the key's index must be Index
	KVCheckSession   KVOp = "check-session"    // the key must be locked by Session
	KVCheckNotExists KVOp = "check-not-exists" // the key must not exist
)

// TxnOp is one operation; exactly one member is set.
type TxnOp struct {
	KV  *KVTxnOp  `json:",omitempty"`
	SQL *SQLTxnOp `json:",omitempty"`
	// Publish adds a message to the stream that keeps its topic.
	Publish *Message `json:",omitempty"`
}

// KVTxnOp is an operation on a key.
type KVTxnOp struct {
	Verb    KVOp
	Key     string
	Value   []byte   `json:",omitempty"`
	Flags   uint64   `json:",omitempty"`
	Index   uint64   `json:",omitempty"`
	Session string   `json:",omitempty"`
	TTL     Duration `json:",omitempty"` // of set, cas, lock and unlock, as in WriteOptions
}

// TxnResult is the pair an operation wrote (without its value) or read, or what its statements gave.
type TxnResult struct {
	KV      *KVPair       `json:",omitempty"`
	SQL     *SQLTxnResult `json:",omitempty"`
	Publish *TxnPublished `json:",omitempty"`
}

// TxnPublished is a message that a transaction published.
type TxnPublished struct {
	Stream    string
	Seq       uint64
	Duplicate bool // it was there already
}

// TxnError says which operation failed and why.
type TxnError struct {
	OpIndex int
	What    string
}

// TxnReply has Results when everything was done, and Errors when nothing was.
type TxnReply struct {
	Results []TxnResult
	Errors  []TxnError
	// Replayed: the transaction had been done before, by its RequestID; this is the reply of then.
	Replayed bool      `json:",omitempty"`
	Meta     WriteMeta `json:"-"`
}

// Txn does all operations or none, be they on keys, on databases or messages to publish, and does them once: when the answer is lost it
// asks again under the same RequestID. ok is false, without an error, when an operation
// failed; the reply then says which. A transaction that only reads keys is a consistent read.
func (c *Client) Txn(ctx context.Context, ops []TxnOp, o *WriteOptions) (ok bool, reply *TxnReply, err error) {
	r := c.newRequest(http.MethodPut, "/v1/txn")
	if err := r.json(ops); err != nil {
		return false, nil, err
	}
	r.write(o)
	r.repeatable = true
	if !readOnly(ops) {
		id := rand.Text()
		if o != nil && o.RequestID != "" {
			id = o.RequestID
		}
		r.params.Set("request_id", id)
	}
	start := time.Now()
	res, err := c.send(ctx, r, http.StatusConflict)
	if errors.Is(err, ErrUnsupported) && r.repeatable && (o == nil || o.RequestID == "") { // a server is older than request ids
		r.params.Del("request_id")
		r.repeatable = false
		res, err = c.send(ctx, r, http.StatusConflict)
	}
	if err != nil {
		return false, nil, err
	}
	defer res.Body.Close()
	reply = &TxnReply{}
	if err := c.decode(res, reply, KindUnknownResult); err != nil {
		return false, nil, err
	}
	reply.Meta = WriteMeta{Index: replyIndex(res.Header), RequestTime: time.Since(start)}
	return res.StatusCode == http.StatusOK, reply, nil
}

func readOnly(ops []TxnOp) bool {
	for _, op := range ops {
		if op.KV == nil {
			return false
		}
		switch op.KV.Verb {
		case KVGet, KVGetTree, KVGetOrEmpty, KVCheckIndex, KVCheckSession, KVCheckNotExists:
		default:
			return false
		}
	}
	return true
}
