package command

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/debros/debros/api"
	"github.com/debros/debros/command/sqlrun"
)

// txnSQLTables shows what the statements of a transaction gave, in order.
func txnSQLTables(c *call, results []*api.SQLTxnResult) error {
	for _, op := range results {
		for i := range op.Results {
			if err := sqlrun.Table.Result(c.Stdout, &op.Results[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// hclSQLOp reads one block of SQL.
func hclSQLOp(b *hcl.Block) (*api.SQLTxnOp, error) {
	content, diags := b.Body.Content(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "guard"}, {Type: "statement"}}})
	if diags.HasErrors() {
		return nil, diags
	}
	op := &api.SQLTxnOp{Database: b.Labels[0]}
	for _, inner := range content.Blocks {
		g, err := hclStatement(inner)
		if err != nil {
			return nil, err
		}
		if inner.Type == "guard" {
			op.Guards = append(op.Guards, *g)
		} else {
			op.Statements = append(op.Statements, g.SQLStatement)
		}
	}
	return op, nil
}

// hclStatement reads a statement or a guard.
func hclStatement(b *hcl.Block) (*api.SQLGuard, error) {
	attrs, diags := b.Body.JustAttributes()
	if diags.HasErrors() {
		return nil, diags
	}
	g := &api.SQLGuard{}
	for _, name := range sortedKeys(attrs) {
		v, diags := attrs[name].Expr.Value(nil)
		if diags.HasErrors() {
			return nil, diags
		}
		var err error
		switch {
		case name == "sql":
			g.SQL, err = hclText(v)
		case name == "args":
			g.Args, err = hclArgs(v)
		case name == "rows" && b.Type == "guard":
			var n any
			n, err = hclValue(v)
			rows, whole := n.(int64)
			if err == nil && !whole {
				err = errors.New("want a whole number")
			}
			g.Rows = &rows
		case name == "first" && b.Type == "guard":
			g.First, err = hclArgs(v)
		case b.Type == "guard":
			err = errors.New("there is no such attribute; there are sql, args, rows and first")
		default:
			err = errors.New("there is no such attribute; there are sql and args")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", attrs[name].Range, name, err)
		}
	}
	if g.SQL == "" {
		return nil, fmt.Errorf("%s: there is no sql in it", b.DefRange)
	}
	return g, nil
}

func hclText(v cty.Value) (string, error) {
	if v.IsNull() || v.Type() != cty.String {
		return "", errors.New("want text")
	}
	return v.AsString(), nil
}

// hclArgs reads a list of values, or an object of values by their names.
func hclArgs(v cty.Value) (args []any, err error) {
	named := !v.IsNull() && v.Type().IsObjectType()
	if v.IsNull() || !named && !v.Type().IsTupleType() {
		return nil, errors.New("want a list or an object")
	}
	args = []any{}
	for it := v.ElementIterator(); it.Next(); {
		key, element := it.Element()
		arg, err := hclValue(element)
		if err != nil {
			return nil, err
		}
		if named {
			arg = api.Named(key.AsString(), arg)
		}
		args = append(args, arg)
	}
	return args, nil
}

// hclValue is a value as an argument. HCL has one kind of number: a whole one is an INTEGER.
func hclValue(v cty.Value) (any, error) {
	if v.IsNull() {
		return nil, nil
	}
	switch v.Type() {
	case cty.String:
		return v.AsString(), nil
	case cty.Bool:
		return v.True(), nil
	case cty.Number:
		n := v.AsBigFloat()
		if i, accuracy := n.Int64(); accuracy == big.Exact {
			return i, nil
		}
		f, _ := n.Float64()
		return f, nil
	}
	return nil, errors.New("want text, a number, true, false or null")
}
