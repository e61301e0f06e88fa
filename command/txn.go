package command

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/debros/debros/api"
)

func txnCommand() *cmd {
	var requestID string
	return &cmd{
		name: "txn", args: "FILE | -", synopsis: "Do many operations on keys and databases, all or none", min: 1, max: 1,
		help: `FILE is the JSON of Consul's /v1/txn, with values in base64:

  [{"KV": {"Verb": "check-not-exists", "Key": "a"}}, {"KV": {"Verb": "set", "Key": "a", "Value": "eA=="}}]

or HCL, with one block per operation:

  kv "check-index" "config/colour" { index = 42 }
  kv "set" "config/colour" {
    value = "blue"
    ttl   = "1h"
  }

Attributes: value or value_base64, flags, index, session, ttl. Verbs: set, cas, lock, unlock, delete,
delete-cas, delete-tree, get, get-tree, get-or-empty, check-index, check-session, check-not-exists.

Operations may be SQL too, {"SQL": {"Database": "shop", "Statements": ["…", {"SQL": "…", "Args": [1]}]}} or

  sql "shop" {
    guard {
      sql  = "select 1 from stock where item = ? and n > 0"
      args = ["tea"]
      rows = 1
    }
    statement {
      sql  = "update stock set n = n - 1 where item = ?"
      args = ["tea"]
    }
  }

Guards must give that many rows, or first, the values of the first row; then the statements are run.
The exit status is 1, and nothing was done, if an operation failed.

With -request-id the same transaction is done once, however often it is sent within a day: what comes
then is the reply of the first time.`,
		flags: func(fs *flag.FlagSet) {
			fs.StringVar(&requestID, "request-id", "", "`id` of this transaction, by which a repetition does nothing (default: a new one)")
		},
		run: func(ctx context.Context, c *call) error {
			name, arg := c.args[0], c.args[0]
			if arg != "-" {
				arg = "@" + arg
			}
			text, err := c.value(arg)
			if err != nil {
				return err
			}
			ops, err := parseTxn(name, text)
			if err != nil {
				return err
			}
			client, err := c.client()
			if err != nil {
				return err
			}
			ok, reply, err := client.Txn(ctx, ops, &api.WriteOptions{RequestID: requestID})
			if err != nil {
				return err
			}
			if err := c.print(reply, func() error { return txnTable(c, ops, reply) }); err != nil {
				return err
			}
			if !ok {
				return fmt.Errorf("nothing was done: %d of %d operations failed", len(reply.Errors), len(ops))
			}
			return nil
		},
	}
}

func txnTable(c *call, ops []api.TxnOp, reply *api.TxnReply) error {
	if reply.Replayed {
		if err := c.line("The transaction of this request id was done before; this is the reply of then."); err != nil {
			return err
		}
	}
	rows := [][]string{}
	if len(reply.Errors) > 0 {
		for _, e := range reply.Errors {
			verb, key := "", ""
			if e.OpIndex >= 0 && e.OpIndex < len(ops) {
				switch op := ops[e.OpIndex]; {
				case op.KV != nil:
					verb, key = string(op.KV.Verb), op.KV.Key
				case op.SQL != nil:
					verb, key = "sql", op.SQL.Database
				}
			}
			rows = append(rows, []string{fmt.Sprint(e.OpIndex), verb, key, e.What})
		}
		return c.table([]string{"Operation", "Verb", "Key", "Error"}, rows)
	}
	tables := []*api.SQLTxnResult{}
	for _, r := range reply.Results {
		if r.SQL != nil {
			tables = append(tables, r.SQL)
		}
		if r.KV != nil {
			rows = append(rows, []string{r.KV.Key, fmt.Sprint(r.KV.ModifyIndex), r.KV.Session, string(r.KV.Value)})
		}
	}
	if len(rows) > 0 || len(tables) == 0 {
		if err := c.table([]string{"Key", "ModifyIndex", "Session", "Value"}, rows); err != nil {
			return err
		}
	}
	return txnSQLTables(c, tables)
}

// parseTxn reads JSON or HCL, by the first character.
func parseTxn(name string, text []byte) ([]api.TxnOp, error) {
	trimmed := bytes.TrimSpace(text)
	if len(trimmed) == 0 {
		return nil, fmt.Errorf("%s: there is no operation in it", name)
	}
	if trimmed[0] != '[' {
		return parseTxnHCL(name, text)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	var ops []api.TxnOp
	if err := dec.Decode(&ops); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for i, op := range ops {
		if op.KV == nil && op.SQL == nil {
			return nil, fmt.Errorf(`%s: operation %d has no "KV" and no "SQL"`, name, i)
		}
	}
	return ops, nil
}

func parseTxnHCL(name string, text []byte) ([]api.TxnOp, error) {
	if err := shallow(text); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	f, diags := hclsyntax.ParseConfig(text, name, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	content, diags := f.Body.Content(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
		{Type: "kv", LabelNames: []string{"verb", "key"}},
		{Type: "sql", LabelNames: []string{"database"}},
	}})
	if diags.HasErrors() {
		return nil, diags
	}
	ops := []api.TxnOp{}
	for _, b := range content.Blocks {
		var op api.TxnOp
		var err error
		if b.Type == "sql" {
			op.SQL, err = hclSQLOp(b)
		} else {
			op.KV, err = hclOp(b)
		}
		if err != nil {
			return nil, err
		}
		ops = append(ops, op)
	}
	return ops, nil
}

// hclOp reads one block.
func hclOp(b *hcl.Block) (*api.KVTxnOp, error) {
	attrs, diags := b.Body.JustAttributes()
	if diags.HasErrors() {
		return nil, diags
	}
	op := &api.KVTxnOp{Verb: api.KVOp(b.Labels[0]), Key: b.Labels[1]}
	if attrs["value"] != nil && attrs["value_base64"] != nil {
		return nil, fmt.Errorf("%s: give one of value and value_base64", b.DefRange)
	}
	for _, name := range sortedKeys(attrs) {
		v, diags := attrs[name].Expr.Value(nil)
		if diags.HasErrors() {
			return nil, diags
		}
		text, err := convert.Convert(v, cty.String)
		if err != nil || text.IsNull() || !text.IsKnown() {
			return nil, fmt.Errorf("%s: %s: want text or a number", attrs[name].Range, name)
		}
		if err := setTxnAttribute(op, name, text.AsString()); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", attrs[name].Range, name, err)
		}
	}
	return op, nil
}

func setTxnAttribute(op *api.KVTxnOp, name, text string) (err error) {
	switch name {
	case "value":
		op.Value = []byte(text)
	case "value_base64":
		op.Value, err = base64.StdEncoding.DecodeString(text)
	case "flags":
		op.Flags, err = strconv.ParseUint(text, 10, 64)
	case "index":
		op.Index, err = strconv.ParseUint(text, 10, 64)
	case "session":
		op.Session = text
	case "ttl":
		var d time.Duration
		d, err = lifetime(text)
		op.TTL = api.Duration(d)
	default:
		err = errors.New("there is no such attribute; there are value, value_base64, flags, index, session and ttl")
	}
	return err
}

// hclDepthMax bounds nesting: the HCL parser recurses, and a stack that overflows ends the program.
const hclDepthMax = 100

func shallow(text []byte) error {
	depth := 0
	for _, b := range text {
		if strings.IndexByte("{[(", b) >= 0 {
			depth++
		} else if strings.IndexByte("}])", b) >= 0 && depth > 0 {
			depth--
		}
		if depth > hclDepthMax {
			return fmt.Errorf("brackets are nested more than %d deep", hclDepthMax)
		}
	}
	return nil
}
