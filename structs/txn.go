package structs

import "slices"

// TxnOp is one operation of a transaction; exactly one member is set.
type TxnOp struct {
	KV  *TxnKVOp  `codec:",omitempty"`
	SQL *TxnSQLOp `codec:",omitempty"` // only where every server has FSMVersionSQL
	// Publish adds a message to a stream; Topic, ID, Headers and Data are set. Only where every server has FSMVersionStreams.
	Publish *StreamMessage `codec:",omitempty"`
}

// TxnOneKind says what is wrong with an operation of more than one kind.
const TxnOneKind = "an operation is one of KV, SQL and Publish, not more"

// Kinds is how many members are set.
func (op *TxnOp) Kinds() (n int) {
	for _, set := range []bool{op.KV != nil, op.SQL != nil, op.Publish != nil} {
		if set {
			n++
		}
	}
	return n
}

// TxnKVOp is a KV verb with its pair: Key always; Value, Flags, Session, ModifyIndex as the verb needs.
type TxnKVOp struct {
	Verb KVOp
	Pair KVPair
	TTL  int64 `codec:",omitempty"` // nanoseconds, as in KVRequest
}

// TxnSQLOp runs statements on a database, all or none. It may have guards only.
type TxnSQLOp struct {
	Database   string
	Statements []SQLStatement
	// Guards must all hold before the first statement, or the operation has failed.
	Guards []SQLGuard `codec:",omitempty"`
	// WorkMax, BytesPerStep, TempBytesMax, RowsMax and BytesMax are as in SQLRequest. The leader sets them.
	WorkMax      int64 `codec:",omitempty"`
	BytesPerStep int64 `codec:",omitempty"`
	TempBytesMax int64 `codec:",omitempty"`
	RowsMax      int   `codec:",omitempty"`
	BytesMax     int   `codec:",omitempty"`
}

// TxnRequest applies all operations or none ("Txn.Apply"; CommandTxn). The FSM's Reply is TxnReply.
type TxnRequest struct {
	WriteOptions
	Ops []TxnOp
	// RequestID, chosen by the caller, makes a repetition harmless: within a day the same id in the same namespace answers with the
	// stored reply and does nothing. A transaction that failed did nothing, and is tried again. Only where the cluster has
	// FSMVersionOfCluster.
	RequestID string `codec:",omitempty"`
	Digest    []byte `codec:",omitempty"` // of Ops as they came, with RequestID: another one is another transaction. The leader sets it.
}

// StoredTxn is the reply to a transaction with a RequestID: a replicated row.
type StoredTxn struct {
	Namespace Namespace
	RequestID string
	Digest    []byte
	Number    int      // transactions of its entry before it
	Time      int64    // Unix nanoseconds
	Seq       uint64   // grows by one in a namespace
	Sum       int64    // bytes of all replies of the namespace up to and with this one
	Reply     TxnReply // without what SQL gave
	Databases []string // of the operations of SQL, in order: each keeps what it gave
}

// ConflictKeys implements Conflicter: a transaction may touch trees, so it has an entry of its own.
func (r *TxnRequest) ConflictKeys() []string { return nil }

// HasSQL reports whether an operation is one of SQL.
func (r *TxnRequest) HasSQL() bool {
	return slices.ContainsFunc(r.Ops, func(op TxnOp) bool { return op.SQL != nil })
}

// Publishes reports whether an operation publishes.
func (r *TxnRequest) Publishes() bool {
	return slices.ContainsFunc(r.Ops, func(op TxnOp) bool { return op.Publish != nil })
}

// TxnReadRequest is a transaction of reads only ("Txn.Read"), answered without the log.
type TxnReadRequest struct {
	QueryOptions
	Ops []TxnOp
}

// TxnResult is the row an operation wrote or read, or what its statements gave.
type TxnResult struct {
	KV      *KVPair          `codec:",omitempty"`
	SQL     *TxnSQLResult    `codec:",omitempty"`
	Publish *StreamPublished `codec:",omitempty"`
}

// TxnSQLResult has one result per statement, in order. None has Err.
type TxnSQLResult struct {
	Results []SQLResult
}

// TxnError says which operation failed and why.
type TxnError struct {
	OpIndex int
	What    string
}

// TxnReply: Results when everything held, Errors (every failing operation) when nothing was done.
type TxnReply struct {
	QueryMeta
	Results []TxnResult
	Errors  []TxnError
	// Replayed: the reply was stored by an earlier request of the same RequestID.
	Replayed bool `codec:",omitempty"`
}
