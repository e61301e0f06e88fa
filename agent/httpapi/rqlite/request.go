package rqlite

import (
	"github.com/debros/debros/agent/httpapi/sqljson"
	"github.com/debros/debros/structs"
)

const statementsMax = 100_000 // as the endpoints have it

// DecodeStatements reads a list of statements, each a string or a list of the SQL and its arguments:
//
//	["sql", ["sql", 1, "x", [104, 105]], ["sql", {"name": 1}]]
//
// A list of numbers is a blob, an object has named arguments.
func DecodeStatements(body []byte) ([]structs.SQLStatement, error) {
	r := &reader{sqljson.NewReader(body)}
	var out []structs.SQLStatement
	err := r.Array(func() error {
		if len(out) == statementsMax {
			return structs.Errorf(structs.KindTooLarge, "the request has more than %d statements", statementsMax).WithHint("send it in parts")
		}
		st, err := r.statement()
		out = append(out, st)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, structs.Errorf(structs.KindInvalid, "no statements")
	}
	return out, nil
}

type reader struct{ *sqljson.Reader }

func (r *reader) statement() (st structs.SQLStatement, err error) {
	if r.Next() == '"' {
		text, err := r.Text()
		return structs.SQLStatement{SQL: string(text)}, err
	}
	r.BeginArgs(&st)
	first := true
	err = r.Array(func() error {
		switch {
		case first:
			first = false
			text, err := r.Text()
			st.SQL = string(text)
			return err
		case r.Next() == '{':
			return r.NamedArgs(&st, r.value)
		}
		return r.Arg(&st, "", r.value)
	})
	if err == nil && first {
		err = r.Errorf("a statement is missing its SQL")
	}
	return st, err
}

func (r *reader) value(row structs.SQLRow) (structs.SQLRow, error) {
	if r.Next() != '[' {
		return r.Scalar(row)
	}
	blob := []byte{}
	err := r.Array(func() error {
		one, err := r.Scalar(nil)
		if err != nil {
			return err
		}
		v, _, err := one.NextRaw()
		if err != nil || v.Kind != structs.SQLInteger || v.Integer() < 0 || v.Integer() > 255 {
			return r.Errorf("a blob is a list of whole numbers from 0 to 255")
		}
		blob = append(blob, byte(v.Integer()))
		return nil
	})
	return row.AppendBlob(blob), err
}
