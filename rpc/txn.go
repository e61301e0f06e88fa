package rpc

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/debros/debros/rpc/transport"
	"github.com/debros/debros/structs"
)

func (s *service) txnMethods() []transport.Method {
	return []transport.Method{
		write(s, "Txn.Apply", s.txnApply),
		read(s, "Txn.Read", s.txnRead),
	}
}

func (s *service) txnApply(ctx context.Context, c call, req *structs.TxnRequest, rep *structs.TxnReply) error {
	ops, refused, err := s.checkTxn(c, req.Ops)
	if err != nil {
		return err
	}
	if err := checkRequestID(req.RequestID); err != nil {
		return err
	}
	if len(ops) == 0 && len(refused) == 0 {
		return structs.Errorf(structs.KindInvalid, "the transaction has no operations to write")
	}
	if len(refused) > 0 {
		rep.Errors = refused
		rep.Index = s.b.State().Index()
		s.stamp(&rep.QueryMeta)
		return nil
	}
	proposed := &structs.TxnRequest{WriteOptions: logged(c), Ops: ops, RequestID: req.RequestID}
	if req.RequestID != "" {
		if proposed.Digest, err = txnDigest(req); err != nil {
			return err
		}
	}
	r, index, err := propose[structs.TxnReply](ctx, s, structs.CommandTxn, proposed)
	if err != nil {
		return err
	}
	*rep = structs.TxnReply{Results: visible(c, r.Results), Errors: r.Errors, Replayed: r.Replayed}
	rep.Index = index
	if r.Replayed {
		rep.Index = r.Index
	}
	s.stamp(&rep.QueryMeta)
	return nil
}

// txnDigest tells transactions of one RequestID apart, by their operations as they came: with the bounds that a leader adds, the same
// one might look like another to the next leader.
func txnDigest(req *structs.TxnRequest) ([]byte, error) {
	b, err := structs.Encode(req.Ops)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	return sum[:], nil
}

// txnRead answers at once: a transaction is not a thing to block on, so Index is ignored. One without
// operations succeeds, as in Consul: a client that builds lists need not treat the empty one apart.
func (s *service) txnRead(ctx context.Context, c call, req *structs.TxnReadRequest, rep *structs.TxnReply) error {
	ops, refused, err := s.checkTxn(c, req.Ops)
	if err != nil {
		return err
	}
	for i, op := range ops {
		if op.SQL != nil {
			return structs.Errorf(structs.KindInvalid, "operation %d is SQL; a transaction of reads has none", i).
				WithHint("read by SQL.Query, or send it with the operations that write")
		}
		if op.Publish != nil {
			return structs.Errorf(structs.KindInvalid, "operation %d publishes; this transaction only reads", i)
		}
		if !readVerb(op.KV.Verb) {
			return structs.Errorf(structs.KindInvalid, "operation %d (%s) writes; this transaction only reads", i, op.KV.Verb)
		}
	}
	if err := s.b.ReadReady(ctx, &req.QueryOptions); err != nil {
		return err
	}
	rep.Errors = refused
	if len(refused) == 0 {
		r := s.b.State().TxnRead(ops, c.ns)
		*rep = structs.TxnReply{QueryMeta: r.QueryMeta, Results: visible(c, r.Results), Errors: r.Errors}
	}
	if rep.Index == 0 {
		rep.Index = s.b.State().Index()
	}
	s.stamp(&rep.QueryMeta)
	return nil
}

// checkTxn bounds a transaction and asks the authorizer about each operation. What is wrong with
// single operations is returned as refused, every one of them, as the store reports conditions that
// do not hold; err is for what concerns the whole.
func (s *service) checkTxn(c call, in []structs.TxnOp) (ops []structs.TxnOp, refused []structs.TxnError, err error) {
	lim := s.b.Limits().withDefaults()
	if len(in) > lim.TxnOpsMax {
		return nil, nil, structs.Errorf(structs.KindTooLarge, "the transaction has %d operations; the limit is %d (limits.txn_ops_max)", len(in), lim.TxnOpsMax)
	}
	size, sqlOps := 0, 0
	for _, op := range in {
		if op.KV != nil {
			size += len(op.KV.Pair.Key) + len(op.KV.Pair.Value) + len(op.KV.Pair.Session)
		}
		if op.SQL != nil {
			sqlOps++
		}
		size += int(op.Publish.Bytes())
	}
	if size > lim.TxnBytesMax {
		return nil, nil, structs.Errorf(structs.KindTooLarge, "the transaction is too large: its keys, values and messages are %d bytes, the limit is %d bytes (limits.txn_bytes_max)", size, lim.TxnBytesMax)
	}
	var sum sqlSize
	ops = make([]structs.TxnOp, 0, len(in))
	for i, op := range in {
		if op.Kinds() > 1 {
			refused = append(refused, structs.TxnError{OpIndex: i, What: structs.TxnOneKind})
			continue
		}
		if op.Publish != nil {
			m, err := proposableMessage(c, op.Publish)
			if err != nil {
				return nil, nil, err
			}
			ops = append(ops, structs.TxnOp{Publish: &m})
			continue
		}
		if op.SQL != nil {
			out, err := checkTxnSQL(c, i, op.SQL, &sum, lim)
			if err != nil {
				return nil, nil, err
			}
			out.BytesPerStep = s.bytesPerStep()
			out.TempBytesMax = structs.SQLTempBytesMax // its statements run one after the other
			out.WorkMax, out.RowsMax, out.BytesMax = int64(structs.SQLWorkMax/sqlOps), max(sqlRowsMax/sqlOps, 1), max(sqlRowBytesMax/sqlOps, 1)
			ops = append(ops, structs.TxnOp{SQL: out})
			continue
		}
		if op.KV == nil {
			refused = append(refused, structs.TxnError{OpIndex: i, What: "no operation specified"})
			continue
		}
		if err := mayTxnKV(c, op.KV); err != nil {
			return nil, nil, err
		}
		if err := checkTxnKV(op.KV, lim); err != nil {
			if structs.KindOf(err) == structs.KindTooLarge {
				return nil, nil, err
			}
			refused = append(refused, structs.TxnError{OpIndex: i, What: err.Error()})
			continue
		}
		ops = append(ops, structs.TxnOp{KV: &structs.TxnKVOp{Verb: op.KV.Verb, Pair: proposable(op.KV.Pair, c.ns), TTL: op.KV.TTL}})
	}
	return ops, refused, nil
}

// checkTxnSQL is an operation of SQL as it may be proposed, but for its bounds; sum is of the operations so far. The
// bounds of a request's statements hold for all of a transaction together, whose operations share its work evenly.
func checkTxnSQL(c call, i int, op *structs.TxnSQLOp, sum *sqlSize, lim Limits) (*structs.TxnSQLOp, error) {
	out := &structs.TxnSQLOp{Database: op.Database, Statements: op.Statements, Guards: op.Guards}
	if err := checkDatabase(&out.Database); err != nil {
		return nil, err
	}
	if !c.may.SQLWrite(c.ns, out.Database) {
		return nil, denied("sql:write", out.Database)
	}
	if len(op.Statements)+len(op.Guards) == 0 {
		return nil, structs.Errorf(structs.KindInvalid, "operation %d has neither statements nor guards", i)
	}
	return out, sum.add(fmt.Sprintf(" of operation %d", i), op.Statements, op.Guards, lim)
}

// readVerb says whether a verb leaves the store as it is.
func readVerb(v structs.KVOp) bool {
	switch v {
	case structs.KVGet, structs.KVGetTree, structs.KVGetOrEmpty, structs.KVCheckIndex, structs.KVCheckSession, structs.KVCheckNotExists:
		return true
	}
	return false
}

func mayTxnKV(c call, op *structs.TxnKVOp) error {
	key := op.Pair.Key
	switch {
	case op.Verb == structs.KVGetTree:
		if !c.may.KVList(c.ns, key) {
			return denied("key_prefix:list", key)
		}
		return nil
	case readVerb(op.Verb):
		if !c.may.KVRead(c.ns, key) {
			return denied("key:read", key)
		}
		return nil
	}
	return mayWriteKV(c, op.Verb, key)
}

// checkTxnKV refuses what the store must never see in its log, a verb above all that an older
// server might not know. The first text is Consul's: its clients may look for it.
func checkTxnKV(op *structs.TxnKVOp, lim Limits) error {
	if op.Pair.Key == "" && op.Verb != structs.KVDeleteTree {
		return structs.Errorf(structs.KindInvalid, "Must provide key")
	}
	if !readVerb(op.Verb) {
		return checkKV(op.Verb, &op.Pair, op.TTL, lim)
	}
	if err := checkKey(op.Pair.Key); err != nil {
		return err
	}
	if op.Verb == structs.KVCheckSession {
		if err := checkID("session", op.Pair.Session); err != nil {
			return err
		}
	}
	return checkTTL(op.Verb, op.TTL)
}

// visible drops from a tree's pairs those that the caller may not read. A pair without a value may
// also be the receipt of a write, which whoever could write may have.
func visible(c call, results []structs.TxnResult) []structs.TxnResult {
	out := results[:0:0]
	for _, r := range results {
		if r.KV != nil && !c.may.KVRead(c.ns, r.KV.Key) && (len(r.KV.Value) > 0 || !c.may.KVWrite(c.ns, r.KV.Key)) {
			continue
		}
		out = append(out, r)
	}
	return out
}
