package state

import (
	"fmt"

	"github.com/debros/debros/structs"
)

// kvReader is what the reading verbs of a transaction read: the store, or an entry being applied.
type kvReader interface {
	getKV(ns structs.Namespace, key string) *structs.KVPair
	listKV(ns structs.Namespace, prefix string) []*structs.KVPair
}

// listKV makes Txn a kvReader.
func (t *Txn) listKV(ns structs.Namespace, prefix string) []*structs.KVPair {
	return t.view().listKV(ns, prefix)
}

// opFunc does one operation; failure says why it did not hold.
type opFunc func(op *structs.TxnKVOp) (results []structs.TxnResult, failure string)

// Txn does all operations or none, and reports every one that failed. An operation sees what those
// before it did.
func (t *Txn) Txn(r *structs.TxnRequest) *structs.TxnReply {
	var reply *structs.TxnReply
	if err := t.needNamespace(r.Namespace); err != nil {
		reply = &structs.TxnReply{Errors: []structs.TxnError{{What: err.Message}}}
	} else {
		t.atomically(func() bool {
			reply = runOps(r.Ops, func(op *structs.TxnKVOp) ([]structs.TxnResult, string) {
				return t.txnOp(r.Namespace, op)
			})
			return len(reply.Errors) == 0
		})
	}
	reply.Index = t.index
	return reply
}

// TxnRead does a transaction of reading verbs on one consistent view; a writing verb in it is an error
// of that operation.
func (s *Store) TxnRead(ops []structs.TxnOp, ns structs.Namespace) *structs.TxnReply {
	v := s.view(nil)
	reply := runOps(ops, func(op *structs.TxnKVOp) ([]structs.TxnResult, string) {
		results, failure, isRead := readOp(v, ns, op)
		switch {
		case isRead:
		case isWriteVerb(op.Verb):
			failure = fmt.Sprintf("KV verb %q writes, which a transaction of reads may not", op.Verb)
		default:
			failure = unknownVerb(op.Verb)
		}
		return results, failure
	})
	reply.Index = v.tableIndex(tableKV, ns)
	return reply
}

func runOps(ops []structs.TxnOp, do opFunc) *structs.TxnReply {
	reply := &structs.TxnReply{}
	for i := range ops {
		var results []structs.TxnResult
		var failure string
		switch op := ops[i].KV; {
		case op == nil:
			failure = "no operation specified"
		case op.Pair.Key == "" && op.Verb != structs.KVDeleteTree:
			failure = "Must provide key" // Consul's words, as all that txn clients may look for
		default:
			results, failure = do(op)
		}
		if failure != "" {
			reply.Errors = append(reply.Errors, structs.TxnError{OpIndex: i, What: failure})
		}
		reply.Results = append(reply.Results, results...)
	}
	if len(reply.Errors) > 0 {
		reply.Results = nil
	}
	return reply
}

// txnOp does any verb. Writes return their pair without the value; deletes return nothing.
func (t *Txn) txnOp(ns structs.Namespace, op *structs.TxnKVOp) ([]structs.TxnResult, string) {
	if results, failure, isRead := readOp(t, ns, op); isRead {
		return results, failure
	}
	if !isWriteVerb(op.Verb) {
		return nil, unknownVerb(op.Verb)
	}
	row, refusal, err := t.writeKV(ns, op.Verb, &op.Pair, op.TTL)
	if err != nil {
		return nil, err.Message
	}
	if refusal != "" || row == nil {
		return nil, refusal
	}
	return withoutValue(row), ""
}

// readOp does a reading verb; isRead is false when the verb is none.
func readOp(r kvReader, ns structs.Namespace, op *structs.TxnKVOp) (results []structs.TxnResult, failure string, isRead bool) {
	key := op.Pair.Key
	if op.Verb == structs.KVGetTree {
		for _, row := range r.listKV(ns, key) {
			results = append(results, structs.TxnResult{KV: row})
		}
		return results, "", true
	}
	if !isReadVerb(op.Verb) {
		return nil, "", false
	}
	row := r.getKV(ns, key)
	results, failure = readRow(row, ns, op)
	return results, failure, true
}

func readRow(row *structs.KVPair, ns structs.Namespace, op *structs.TxnKVOp) ([]structs.TxnResult, string) {
	key := op.Pair.Key
	switch op.Verb {
	case structs.KVGet:
		if row == nil {
			return nil, fmt.Sprintf("key %q doesn't exist", key)
		}
		return []structs.TxnResult{{KV: row}}, ""
	case structs.KVGetOrEmpty:
		if row == nil {
			row = &structs.KVPair{Namespace: ns, Key: key}
		}
		return []structs.TxnResult{{KV: row}}, ""
	case structs.KVCheckNotExists:
		if row != nil {
			return nil, fmt.Sprintf("key %q exists", key)
		}
		return nil, ""
	case structs.KVCheckIndex:
		if row == nil {
			return nil, fmt.Sprintf("failed to check index, key %q doesn't exist", key)
		}
		if row.ModifyIndex != op.Pair.ModifyIndex {
			return nil, fmt.Sprintf("failed index check for key %q, current modify index %d != %d",
				key, row.ModifyIndex, op.Pair.ModifyIndex)
		}
	case structs.KVCheckSession:
		if row == nil {
			return nil, fmt.Sprintf("failed to check session, key %q doesn't exist", key)
		}
		if row.Session != op.Pair.Session {
			return nil, fmt.Sprintf("failed session check for key %q, current session %q != %q",
				key, row.Session, op.Pair.Session)
		}
	}
	return withoutValue(row), ""
}

func withoutValue(row *structs.KVPair) []structs.TxnResult {
	c := *row
	c.Value = nil
	return []structs.TxnResult{{KV: &c}}
}

func isReadVerb(op structs.KVOp) bool {
	switch op {
	case structs.KVGet, structs.KVGetTree, structs.KVGetOrEmpty, structs.KVCheckIndex,
		structs.KVCheckSession, structs.KVCheckNotExists:
		return true
	}
	return false
}

func isWriteVerb(op structs.KVOp) bool {
	switch op {
	case structs.KVSet, structs.KVCAS, structs.KVLock, structs.KVUnlock, structs.KVDelete,
		structs.KVDeleteCAS, structs.KVDeleteTree:
		return true
	}
	return false
}

func unknownVerb(op structs.KVOp) string { return fmt.Sprintf("unknown KV verb %q", op) }
