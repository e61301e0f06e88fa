package structs

// TxnOp is one operation of a transaction; exactly one member is set (SQL and Publish come with their issues).
type TxnOp struct {
	KV *TxnKVOp `codec:",omitempty"`
}

// TxnKVOp is a KV verb with its pair: Key always; Value, Flags, Session, ModifyIndex as the verb needs.
type TxnKVOp struct {
	Verb KVOp
	Pair KVPair
	TTL  int64 `codec:",omitempty"` // nanoseconds, as in KVRequest
}

// TxnRequest applies all operations or none ("Txn.Apply"; CommandTxn). The FSM's Reply is TxnReply.
type TxnRequest struct {
	WriteOptions
	Ops []TxnOp
}

// ConflictKeys implements Conflicter: a transaction may touch trees, so it has an entry of its own.
func (r *TxnRequest) ConflictKeys() []string { return nil }

// TxnReadRequest is a transaction of reads only ("Txn.Read"), answered without the log.
type TxnReadRequest struct {
	QueryOptions
	Ops []TxnOp
}

// TxnResult is the row an operation wrote or read.
type TxnResult struct {
	KV *KVPair `codec:",omitempty" json:",omitempty"`
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
}
