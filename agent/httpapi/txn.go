package httpapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/debros/debros/agent/httpapi/sqljson"
	"github.com/debros/debros/structs"
)

// txnKnobs bound the body together.
const txnKnobs = "limits.txn_bytes_max and " + sqlKnob

func txnRoutes() []route {
	return []route{{
		method: "PUT", pattern: "/v1/txn", handle: txn, errors: textErrors,
		doc:    "Do several operations on keys, databases and durable topics, all or none. With reads of keys only, nothing is written to the log.",
		params: "`request_id` (at most 128 bytes): the same one within a day gives the stored reply, with `Replayed`, and does nothing; the consistency parameters, for transactions of reads only",
		body: "a JSON list of `{\"KV\": {\"Verb\", \"Key\", \"Value\" (base64), \"Flags\", \"Index\", \"Session\", \"TTL\" (duration)}}`; verbs: set cas lock unlock get get-tree get-or-empty check-index check-session check-not-exists delete delete-tree delete-cas; " +
			"or of `{\"SQL\": {\"Database\", \"Statements\": [{\"SQL\", \"Args\"}], \"Guards\": [{\"SQL\", \"Args\", \"Rows\", \"First\", \"Digest\"}]}}`, values as at /v1/sql/execute; " +
			"or of `{\"Publish\": {\"topic\", \"data\" (base64), \"headers\", \"id\"}}`, to a topic that a stream keeps",
		reply: "`{\"Results\", \"Errors\"}`, of SQL `{\"SQL\": {\"Results\"}}` as at /v1/sql/execute, of Publish `{\"Publish\": {\"Stream\", \"Seq\", \"Duplicate\"}}`; 409 with every failing operation in Errors when nothing was done",
	}}
}

// txnOp is one operation as Consul's clients send it. encoding/json matches names in any case.
type txnOp struct {
	KV      *txnKV
	SQL     json.RawMessage
	Publish *structs.MessageBody
	// Of Consul's catalog, refused by name rather than taken for an empty operation.
	Node, Service, Check, Session json.RawMessage
}

type txnKV struct {
	Verb      structs.KVOp
	Key       string
	Value     *string // base64
	Flags     uint64
	Index     uint64
	Session   string
	Namespace structs.Namespace
	TTL       structs.ReadableDuration
}

func txn(c *call) error {
	o, err := c.query()
	if err != nil {
		return err
	}
	limit := c.h.limits().txnBodyBytesMax() + c.h.limits().sqlBodyBytesMax()
	if err := c.refuseLong(limit, txnKnobs); err != nil {
		return err
	}
	ops, err := decodeTxn(http.MaxBytesReader(c.w, c.r.Body, limit), c.h.limits().TxnOpsMax, &c.ns)
	if err != nil {
		return c.txnBodyError(err, limit)
	}
	var rep structs.TxnReply
	if readOnly(ops) {
		o.Index, o.PerPage, o.NextToken = 0, 0, "" // a transaction neither blocks nor pages
		o.Namespace = c.ns
		err = c.rpc("Txn.Read", &structs.TxnReadRequest{QueryOptions: o, Ops: ops}, &rep)
	} else {
		err = c.rpc("Txn.Apply", &structs.TxnRequest{WriteOptions: c.write(), Ops: ops, RequestID: c.params.Get("request_id")}, &rep)
	}
	if err != nil {
		return err
	}
	c.meta(&rep.QueryMeta)
	status := http.StatusOK
	if len(rep.Errors) > 0 {
		status, rep.Results = http.StatusConflict, nil
	}
	results, err := shownResults(rep.Results)
	if err != nil {
		return err
	}
	return c.json(status, structs.TxnResponse{Results: results, Errors: rep.Errors, Replayed: rep.Replayed})
}

// shownResults is shown for each result; the reply's own rows are left alone.
func shownResults(in []structs.TxnResult) ([]structs.TxnResponseResult, error) {
	var out []structs.TxnResponseResult // null when empty, as in Consul
	for _, r := range in {
		var one structs.TxnResponseResult
		if r.KV != nil {
			kv := shown(r.KV)
			one.KV = &kv
		}
		if r.SQL != nil {
			var err error
			if one.SQL, err = sqljson.AppendTxnResult(nil, r.SQL); err != nil {
				return nil, err
			}
		}
		if p := r.Publish; p != nil {
			one.Publish = &structs.TxnPublished{Stream: p.Stream, Seq: p.Seq, Duplicate: p.Duplicate}
		}
		out = append(out, one)
	}
	return out, nil
}

// txnBodyError tells a body that is too long from one that makes no sense.
func (c *call) txnBodyError(err error, limit int64) error {
	if kind := structs.KindOf(err); kind == structs.KindInvalid || kind == structs.KindTooLarge {
		return err
	}
	return c.bodyError(err, limit, txnKnobs)
}

// readOnly reports whether no operation writes. SQL counts as a write, and so does an unknown verb: the endpoint
// then reports it among the failing operations.
func readOnly(ops []structs.TxnOp) bool {
	for _, op := range ops {
		if op.KV == nil {
			return false
		}
		switch op.KV.Verb {
		case structs.KVGet, structs.KVGetTree, structs.KVGetOrEmpty,
			structs.KVCheckIndex, structs.KVCheckSession, structs.KVCheckNotExists:
		default:
			return false
		}
	}
	return true
}

// decodeTxn reads a JSON list of operations, at most opsMax: it stops reading at the one too many,
// so that a body of a million empty operations never becomes a million structs. ns is the request's
// namespace; operations may name it, and one that names another is refused.
func decodeTxn(r io.Reader, opsMax int, ns *structs.Namespace) ([]structs.TxnOp, error) {
	dec := json.NewDecoder(r)
	var ops []structs.TxnOp
	t, err := dec.Token()
	switch {
	case err == nil && t == nil: // null, which Go's clients send for no operations
		return nil, txnEnd(dec, r)
	case err != nil || t != json.Delim('['):
		return nil, txnSyntax(err)
	}
	for dec.More() {
		if len(ops) == opsMax {
			return nil, structs.Errorf(structs.KindTooLarge, "Transaction contains too many operations: the limit is %d", opsMax).
				WithHint("the limit is limits.txn_ops_max in the agent's configuration")
		}
		var op txnOp
		if err := dec.Decode(&op); err != nil {
			return nil, txnSyntax(err)
		}
		out, err := op.decode(len(ops), ns)
		if err != nil {
			return nil, err
		}
		ops = append(ops, out)
	}
	if _, err := dec.Token(); err != nil {
		return nil, txnSyntax(err)
	}
	return ops, txnEnd(dec, r)
}

// txnEnd reads on to the end of the body; only blanks may be left, or the client meant something else.
func txnEnd(dec *json.Decoder, r io.Reader) error {
	rest, err := io.ReadAll(io.MultiReader(dec.Buffered(), r))
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return invalid("the request body goes on after the list of operations")
	}
	return nil
}

// txnSyntax keeps errors of the reader (too long, cut off by the network) as they are.
func txnSyntax(err error) error {
	switch err.(type) {
	case nil:
		return invalid("the request body is not a JSON list of operations")
	case *http.MaxBytesError:
		return err
	}
	return invalid("the request body is not a JSON list of operations: %v", err)
}

// decode is the operation as the endpoint wants it; i is its place.
func (op *txnOp) decode(i int, ns *structs.Namespace) (out structs.TxnOp, err error) {
	if m := op.Publish; m != nil {
		out.Publish = &structs.StreamMessage{Topic: m.Topic, ID: m.ID, Headers: m.Headers, Data: m.Data}
	}
	if len(op.SQL) > 0 && string(op.SQL) != "null" {
		out.SQL = &structs.TxnSQLOp{}
		if err := sqljson.DecodeTxnOp(op.SQL, fmt.Sprintf("the SQL of operation %d", i), out.SQL); err != nil {
			return out, err
		}
	}
	if op.KV == nil && out.Kinds() > 0 {
		return out, nil // that it is one of them only is the endpoint's to say
	}
	if out.KV, err = op.kv(ns); err != nil {
		return out, invalid("operation %d: %v", i, err)
	}
	return out, nil
}

// kv is the operation as the endpoint wants it. Verbs and keys are the endpoint's to judge.
func (op *txnOp) kv(ns *structs.Namespace) (*structs.TxnKVOp, error) {
	if op.KV == nil {
		for name, raw := range map[string]json.RawMessage{"Node": op.Node, "Service": op.Service, "Check": op.Check, "Session": op.Session} {
			if len(raw) > 0 && string(raw) != "null" {
				return nil, fmt.Errorf("operations on %s are not supported here", name)
			}
		}
		return nil, fmt.Errorf("no KV, SQL or Publish in it")
	}
	in := op.KV
	if in.Namespace != "" && in.Namespace != *ns {
		if *ns != "" || !structs.ValidNamespace(in.Namespace) {
			return nil, fmt.Errorf("namespace %q is not the request's: a transaction stays in one", shorten(string(in.Namespace)))
		}
		*ns = in.Namespace // the request named none: the first operation's counts
	}
	out := &structs.TxnKVOp{
		Verb: in.Verb,
		Pair: structs.KVPair{Key: in.Key, Flags: in.Flags, Session: in.Session, ModifyIndex: in.Index},
		TTL:  int64(in.TTL),
	}
	if in.Value != nil && *in.Value != "" {
		v, err := base64.StdEncoding.DecodeString(*in.Value)
		if err != nil {
			return nil, fmt.Errorf("the Value is not base64")
		}
		out.Pair.Value = v
	}
	return out, nil
}
