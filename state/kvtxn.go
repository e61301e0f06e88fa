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

// opFuncs do one operation; failure says why it did not hold, err is a fault of this server's own.
type opFuncs struct {
	kv      func(op *structs.TxnKVOp) (results []structs.TxnResult, failure string)
	sql     func(op *structs.TxnSQLOp) (result *structs.TxnSQLResult, failure string, err error)
	publish func(m *structs.StreamMessage) (result structs.StreamPublished, failure string)
}

// Txn does all operations or none, and reports every one that failed. An operation sees what those
// before it did. SQL that comes after a failure is not run: it would be work in vain. An error is a fault of this
// server's own, as in SQL.
//
// One that was done already, by its RequestID, is not done again. The refusals are those of repeated.
func (t *Txn) Txn(r *structs.TxnRequest) (reply *structs.TxnReply, refusal *structs.Error, err error) {
	if refusal := t.needNamespace(r.Namespace); refusal != nil {
		reply = &structs.TxnReply{Errors: []structs.TxnError{{What: refusal.Message}}}
		reply.Index = t.index
		return reply, nil, nil
	}
	if r.RequestID != "" {
		reply, refusal, err = t.repeated(r)
		if reply != nil || refusal != nil || err != nil {
			t.txns++
			return reply, refusal, err
		}
	}
	if reply, err = t.allOps(r); err != nil {
		return nil, nil, err
	}
	reply.Index = t.index
	return reply, nil, nil
}

func (t *Txn) allOps(r *structs.TxnRequest) (reply *structs.TxnReply, err error) {
	defer func() { t.txns++ }()
	var databases []string // of the operations of SQL
	err = t.atomically(func() (keep bool, err error) {
		reply, err = runOps(r.Ops, opFuncs{
			kv: func(op *structs.TxnKVOp) ([]structs.TxnResult, string) { return t.txnOp(r.Namespace, op) },
			sql: func(op *structs.TxnSQLOp) (*structs.TxnSQLResult, string, error) {
				id := ""
				if r.RequestID != "" {
					id = sqlReplyID(t.index, t.txns, len(databases))
					databases = append(databases, databaseName(op.Database))
				}
				return t.txnSQL(r.Namespace, op, id)
			},
			publish: func(m *structs.StreamMessage) (structs.StreamPublished, string) { return t.txnPublish(r.Namespace, m) },
		})
		done := err == nil && len(reply.Errors) == 0
		if done && r.RequestID != "" {
			t.storeReply(r, reply, databases)
		}
		return done, err
	})
	if err == nil && len(reply.Errors) > 0 {
		err = t.noteFailed(r)
	}
	return reply, err
}

// TxnRead does a transaction of reading verbs on one consistent view; a writing verb or SQL in it is an error
// of that operation.
func (s *Store) TxnRead(ops []structs.TxnOp, ns structs.Namespace) *structs.TxnReply {
	v := s.view(nil)
	reply, _ := runOps(ops, opFuncs{ // neither of them meets a fault
		kv: func(op *structs.TxnKVOp) ([]structs.TxnResult, string) {
			results, failure, isRead := readOp(v, ns, op)
			switch {
			case isRead:
			case isWriteVerb(op.Verb):
				failure = fmt.Sprintf("KV verb %q writes, which a transaction of reads may not", op.Verb)
			default:
				failure = unknownVerb(op.Verb)
			}
			return results, failure
		},
		sql: func(*structs.TxnSQLOp) (*structs.TxnSQLResult, string, error) {
			return nil, "a transaction of reads has no SQL: databases are files apart from the tables", nil
		},
		publish: func(*structs.StreamMessage) (structs.StreamPublished, string) {
			return structs.StreamPublished{}, "publishing writes, which a transaction of reads may not"
		},
	})
	reply.Index = v.tableIndex(tableKV, ns)
	return reply
}

func runOps(ops []structs.TxnOp, do opFuncs) (*structs.TxnReply, error) {
	reply := &structs.TxnReply{}
	for i := range ops {
		var results []structs.TxnResult
		var failure string
		switch op := &ops[i]; {
		case op.KV == nil && op.SQL == nil && op.Publish == nil:
			failure = "no operation specified"
		case op.Kinds() > 1:
			failure = structs.TxnOneKind
		case op.Publish != nil:
			var published structs.StreamPublished
			published, failure = do.publish(op.Publish)
			results = []structs.TxnResult{{Publish: &published}}
		case op.SQL != nil && len(reply.Errors) > 0:
			continue
		case op.SQL != nil:
			var result *structs.TxnSQLResult
			var err error
			if result, failure, err = do.sql(op.SQL); err != nil {
				return nil, err
			}
			results = []structs.TxnResult{{SQL: result}}
		case op.KV.Pair.Key == "" && op.KV.Verb != structs.KVDeleteTree:
			failure = "Must provide key" // Consul's words, as all that txn clients may look for
		default:
			results, failure = do.kv(op.KV)
		}
		if failure != "" {
			reply.Errors = append(reply.Errors, structs.TxnError{OpIndex: i, What: failure})
		}
		reply.Results = append(reply.Results, results...)
	}
	if len(reply.Errors) > 0 {
		reply.Results = nil
	}
	return reply, nil
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

// txnPublish publishes one message.
func (t *Txn) txnPublish(ns structs.Namespace, m *structs.StreamMessage) (structs.StreamPublished, string) {
	r := &structs.StreamPublishRequest{Messages: []structs.StreamMessage{*m}}
	r.Namespace = ns
	reply, err := t.Publish(r)
	if err != nil {
		return structs.StreamPublished{}, err.Message
	}
	return reply.Published[0], ""
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
