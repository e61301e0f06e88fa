package state

import (
	"bytes"
	"fmt"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/debros/debros/structs"
)

// What is kept of the replies to transactions with a RequestID: those of a day, but no more than these in a namespace.
const (
	txnRepliesAge      = 24 * time.Hour
	txnRepliesMax      = 100_000
	txnRepliesBytesMax = 32 << 20
)

// txnReplyBytes is what a reply costs beside what it holds.
const txnReplyBytes = 256

func txnRepliesSchema() *memdb.TableSchema {
	t := table(tableTxnReplies, func(r *structs.StoredTxn) []byte {
		if r.Namespace == "" || r.RequestID == "" {
			return nil
		}
		return joinKey(string(r.Namespace), r.RequestID)
	})
	secondary(t, indexSeq, true, func(r *structs.StoredTxn) []byte {
		return append(joinKey(string(r.Namespace), ""), numberKey(r.Seq)...)
	})
	return t
}

// repeated answers a transaction whose RequestID has been here; nil: it has not. The refusal says that it was another one, or that
// not all of its reply is left.
func (t *Txn) repeated(r *structs.TxnRequest) (*structs.TxnReply, *structs.Error, error) {
	done := first[structs.StoredTxn](nil, t.tx, tableTxnReplies, indexID, joinKey(string(r.Namespace), r.RequestID))
	if done == nil || done.Time <= t.now-int64(txnRepliesAge) {
		return nil, nil, nil
	}
	if !bytes.Equal(done.Digest, r.Digest) {
		return nil, structs.Errorf(structs.KindInvalid, "the request_id %q is that of another transaction", r.RequestID).
			WithHint("nothing was done: choose another id for each transaction"), nil
	}
	reply := done.Reply
	reply.Replayed = true
	reply.Results = append([]structs.TxnResult(nil), done.Reply.Results...)
	ops := 0
	for i := range reply.Results {
		if reply.Results[i].SQL == nil {
			continue
		}
		result, err := t.storedSQL(done, ops)
		ops++
		if err != nil {
			return nil, nil, err
		}
		if result == nil {
			return nil, structs.Errorf(structs.KindGone, "the transaction of this request_id was done, at index %d; what its SQL gave is not kept any more", done.Reply.Index), nil
		}
		reply.Results[i].SQL = result
	}
	return &reply, nil, nil
}

// storedSQL is what the transaction's nth operation of SQL gave, as its database has it; nil when it has not.
func (t *Txn) storedSQL(done *structs.StoredTxn, n int) (*structs.TxnSQLResult, error) {
	d := t.view().database(nil, done.Namespace, done.Databases[n])
	if d == nil {
		return nil, nil
	}
	w, err := t.openDatabase(d)
	if err != nil {
		return nil, err
	}
	if w.tx == nil {
		return &structs.TxnSQLResult{}, nil // who asked is gone
	}
	reply, err := w.tx.StoredReply(sqlReplyID(done.Reply.Index, done.Number, n))
	if err != nil {
		return nil, w.fault(err)
	}
	if reply == nil {
		return nil, nil
	}
	return &structs.TxnSQLResult{Results: reply.Results}, nil
}

// sqlReplyID is the id under which a database keeps what an operation of a transaction gave: the transaction's entry, its place among
// the transactions there, and the operation's place among those of SQL. No caller can choose such a one: those print.
func sqlReplyID(index uint64, number, op int) string {
	return fmt.Sprintf("\x00txn/%d/%d/%d", index, number, op)
}

// storeReply keeps the reply of a transaction that was done. What SQL gave is left out: after a crash, when entries are applied again to
// databases that have them, nobody knows it. The databases keep it themselves.
func (t *Txn) storeReply(r *structs.TxnRequest, reply *structs.TxnReply, databases []string) {
	row := &structs.StoredTxn{
		Namespace: r.Namespace, RequestID: r.RequestID, Digest: r.Digest, Number: t.txns, Time: t.now, Databases: databases,
		Reply: structs.TxnReply{Results: make([]structs.TxnResult, len(reply.Results))},
	}
	row.Reply.Index = t.index
	size := int64(txnReplyBytes + len(r.RequestID) + len(r.Digest))
	for i, result := range reply.Results {
		switch {
		case result.SQL != nil:
			result.SQL = &structs.TxnSQLResult{}
		case result.KV != nil:
			size += int64(len(result.KV.Key) + len(result.KV.Value))
		}
		size += txnReplyBytes
		row.Reply.Results[i] = result
	}
	within := joinKey(string(r.Namespace), "")
	if raw, err := t.tx.Last(tableTxnReplies, indexSeq+"_prefix", within); raw != nil {
		must(err)
		last := raw.(*structs.StoredTxn)
		row.Seq, row.Sum = last.Seq, last.Sum
	}
	row.Seq, row.Sum = row.Seq+1, row.Sum+size
	replace(t, tableTxnReplies, first[structs.StoredTxn](nil, t.tx, tableTxnReplies, indexID, joinKey(string(r.Namespace), r.RequestID)), row)
	t.forgetReplies(within, row)
}

// forgetReplies forgets the oldest replies of a namespace that are too old or too many; newest has come.
func (t *Txn) forgetReplies(within []byte, newest *structs.StoredTxn) {
	for old := range scan[structs.StoredTxn](nil, t.tx, tableTxnReplies, indexSeq, within) {
		if old.Time > t.now-int64(txnRepliesAge) && old.Seq+txnRepliesMax > newest.Seq && old.Sum+txnRepliesBytesMax > newest.Sum {
			return
		}
		replace(t, tableTxnReplies, old, nil)
	}
}
