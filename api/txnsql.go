package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// SQLTxnOp runs statements on a database within a transaction: all of them, or the operation has failed. What comes
// before it in the transaction is done already, and seen. Guards must hold before the first statement; there may be
// guards only.
type SQLTxnOp struct {
	Database   string // "" = the default database
	Statements []SQLStatement
	Guards     []SQLGuard
}

// Op is an operation of a transaction on this database: client.SQL().Op(api.Stmt(…), …).
func (s *SQL) Op(statements ...SQLStatement) TxnOp {
	return TxnOp{SQL: &SQLTxnOp{Database: s.database, Statements: statements}}
}

// SQLTxnResult has one result for each statement of an operation, in order.
type SQLTxnResult struct {
	Results []SQLResult
}

// The JSON of an operation and its result.
type (
	sqlTxnBody struct {
		Database   string          `json:",omitempty"`
		Statements []statementBody `json:",omitempty"`
		Guards     []guardBody     `json:",omitempty"`
	}
	sqlTxnResultBody struct {
		Results []resultBody
	}
	// statementText is a statement with arguments or its text alone.
	statementText struct{ statementBody }
)

// MarshalJSON implements json.Marshaler.
func (op SQLTxnOp) MarshalJSON() ([]byte, error) {
	body := sqlTxnBody{Database: op.Database}
	var err error
	if body.Statements, err = statementBodies(op.Statements); err != nil {
		return nil, err
	}
	if body.Guards, err = guardBodies(op.Guards); err != nil {
		return nil, err
	}
	return json.Marshal(body)
}

// UnmarshalJSON implements json.Unmarshaler: it reads the form of /v1/txn, for programs that keep transactions in files.
func (op *SQLTxnOp) UnmarshalJSON(data []byte) error {
	var body struct {
		Database   string
		Statements []statementText
		Guards     []guardBody
	}
	if err := strict(data, &body); err != nil {
		return err
	}
	*op = SQLTxnOp{Database: body.Database}
	for i, b := range body.Statements {
		st, err := b.statement()
		if err != nil {
			return fmt.Errorf("statement %d: %w", i+1, err)
		}
		op.Statements = append(op.Statements, st)
	}
	for i, b := range body.Guards {
		g := SQLGuard{Rows: b.Rows, Digest: b.Digest}
		var err error
		if g.SQLStatement, err = b.statement(); err == nil && len(b.First) > 0 {
			g.First, err = parseArgs(b.First)
		}
		if err != nil {
			return fmt.Errorf("guard %d: %w", i+1, err)
		}
		op.Guards = append(op.Guards, g)
	}
	return nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (st *statementText) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		return json.Unmarshal(data, &st.SQL)
	}
	return strict(data, &st.statementBody)
}

// strict refuses fields that it does not know, as the agent does.
func strict(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}

func (b *statementBody) statement() (SQLStatement, error) {
	st := SQLStatement{SQL: b.SQL}
	if len(b.Args) == 0 {
		return st, nil
	}
	var err error
	st.Args, err = parseArgs(b.Args)
	return st, err
}

// parseArgs reads what appendArgs wrote, and true and false.
func parseArgs(data json.RawMessage) (args []any, err error) {
	if data[0] == '{' {
		var named map[string]json.RawMessage
		if err := json.Unmarshal(data, &named); err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(named)) {
			v, err := parseArg(named[name])
			if err != nil {
				return nil, fmt.Errorf("argument %s: %w", name, err)
			}
			args = append(args, Named(name, v))
		}
		return args, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, err
	}
	for i, raw := range list {
		v, err := parseArg(raw)
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
		args = append(args, v)
	}
	return args, nil
}

func parseArg(data json.RawMessage) (any, error) {
	switch string(data) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	v, rest, err := parseValue(data)
	if err != nil || len(rest) > 0 {
		return nil, errors.New(`want null, a number, a string, true, false, or {"blob": base64}`)
	}
	return v, nil
}

// MarshalJSON implements json.Marshaler.
func (r SQLTxnResult) MarshalJSON() ([]byte, error) {
	body := sqlTxnResultBody{Results: make([]resultBody, 0, len(r.Results))}
	for _, x := range r.Results {
		b := resultBody{RowsAffected: x.RowsAffected, LastInsertID: x.LastInsertID, Columns: x.Columns, Types: x.Types}
		for _, row := range x.Rows {
			b.Rows = append(b.Rows, row.values)
		}
		body.Results = append(body.Results, b)
	}
	return json.Marshal(body)
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *SQLTxnResult) UnmarshalJSON(data []byte) error {
	var body sqlTxnResultBody
	if err := json.Unmarshal(data, &body); err != nil {
		return err
	}
	r.Results = make([]SQLResult, 0, len(body.Results))
	for i := range body.Results {
		r.Results = append(r.Results, body.Results[i].result())
	}
	return nil
}
