package sqljson

import (
	"slices"
	"strings"

	"github.com/debros/debros/structs"
)

// Bounds of what a body may say, so that one of a few bytes per item does not become many times its size in memory.
const (
	statementsMax = 100_000 // as the endpoints have it
	argsMax       = 32_766  // of one statement: SQLite's own bound
)

// DecodeExecute reads the body of /v1/sql/execute into req:
//
//	{"statements": [{"sql": …, "args": …} or "sql"], "transaction": …, "request_id": …, "database": …, "guards": […]}
func DecodeExecute(body []byte, req *structs.SQLRequest) error {
	r := NewReader(body)
	return r.whole(func(name string) (err error) {
		switch name {
		case "statements":
			return r.statements(&req.Statements)
		case "transaction":
			req.Transaction, err = r.Bool()
		case "request_id":
			req.RequestID, err = r.text()
		case "database":
			req.Database, err = r.text()
		case "guards":
			return r.Array(func() error { return r.guard(&req.Guards) })
		case "guard": // one, or a list
			if r.Next() == '[' {
				return r.Array(func() error { return r.guard(&req.Guards) })
			}
			return r.guard(&req.Guards)
		default:
			return r.unknown(name)
		}
		return err
	})
}

// DecodeTxnOp reads the SQL of an operation of /v1/txn into op; of says which it is. Names of fields are matched in any
// case, as are those of the operations on keys beside it.
//
//	{"Database": …, "Statements": [{"SQL": …, "Args": …} or "sql"], "Guards": […]}
func DecodeTxnOp(body []byte, of string, op *structs.TxnSQLOp) error {
	r := NewReader(body)
	r.of, r.anyCase = of, true
	return r.whole(func(name string) (err error) {
		switch name {
		case "database":
			op.Database, err = r.text()
		case "statements":
			return r.statements(&op.Statements)
		case "guards":
			return r.Array(func() error { return r.guard(&op.Guards) })
		default:
			return r.unknown(name)
		}
		return err
	})
}

// DecodeQuery reads the body of /v1/sql/query into req: {"sql": …, "args": …, "database": …}
func DecodeQuery(body []byte, req *structs.SQLQueryRequest) error {
	r := NewReader(body)
	return r.whole(func(name string) (err error) {
		if name == "database" {
			req.Database, err = r.text()
			return err
		}
		return r.statementField(name, &req.SQLStatement)
	})
}

// DecodeDatabaseChange reads the body of PATCH /v1/sql/databases/{name}: {"changes_bytes": …}
func DecodeDatabaseChange(body []byte) (changesBytes int64, err error) {
	r := NewReader(body)
	given := false
	err = r.whole(func(name string) (err error) {
		if name != "changes_bytes" {
			return r.unknown(name)
		}
		given = true
		changesBytes, err = r.integer()
		return err
	})
	if err == nil && !given {
		err = structs.Errorf(structs.KindInvalid, "the body changes nothing: changes_bytes is missing")
	}
	return changesBytes, err
}

// DecodeDatabase reads the body of POST /v1/sql/databases:
// {"name": …, "page_bytes": …, "double_quoted_strings": …, "changes_bytes": …}
func DecodeDatabase(body []byte) (d structs.SQLDatabase, err error) {
	r := NewReader(body)
	return d, r.whole(func(name string) (err error) {
		switch name {
		case "name":
			d.Name, err = r.text()
		case "page_bytes":
			var n int64
			n, err = r.integer()
			d.PageBytes = int(n)
		case "double_quoted_strings":
			d.DoubleQuotedStrings, err = r.Bool()
		case "changes_bytes":
			d.ChangesBytes, err = r.integer()
		default:
			return r.unknown(name)
		}
		return err
	})
}

// whole reads an object that is the whole body.
func (r *Reader) whole(field func(name string) error) error {
	if err := r.fields(field); err != nil {
		return err
	}
	return r.End()
}

// fieldsMax is as many as no object has that fields reads: the one too many cannot be known.
const fieldsMax = 8

// fields is Object for one whose fields may all be null, which counts as absent. None may be there twice: which of them
// counts is for each reader of JSON to say, so that a gateway and we would not see the same request.
func (r *Reader) fields(field func(name string) error) error {
	var room [fieldsMax]string
	seen := room[:0]
	return r.Object(func(name string) error {
		if r.anyCase {
			name = strings.ToLower(name)
		}
		switch {
		case slices.Contains(seen, name):
			return r.Errorf("the field %q is there twice", name)
		case len(seen) == fieldsMax:
			return r.unknown(name)
		}
		seen = append(seen, name)
		if r.Null() {
			return nil
		}
		return field(name)
	})
}

// unknown refuses a field rather than to guess that it does not matter: "transactoin" would.
func (r *Reader) unknown(name string) error {
	if len(name) > 64 {
		name = name[:64]
	}
	return r.Errorf("there is no field %q here", name)
}

func (r *Reader) text() (string, error) {
	b, err := r.Text()
	return string(b), err
}

func (r *Reader) integer() (int64, error) {
	row, err := r.number(nil)
	if err != nil {
		return 0, err
	}
	v, _, err := row.NextRaw()
	if err != nil || v.Kind != structs.SQLInteger {
		return 0, r.Errorf("a whole number of at most 64 bits should stand here")
	}
	return v.Integer(), nil
}

func (r *Reader) statements(to *[]structs.SQLStatement) error {
	return r.Array(func() error {
		if len(*to) == statementsMax {
			return structs.Errorf(structs.KindTooLarge, "the request has more than %d statements", statementsMax).WithHint("send it in parts")
		}
		var st structs.SQLStatement
		var err error
		if r.Next() == '"' {
			st.SQL, err = r.text()
		} else {
			err = r.fields(func(name string) error { return r.statementField(name, &st) })
		}
		*to = append(*to, st)
		return err
	})
}

func (r *Reader) statementField(name string, st *structs.SQLStatement) (err error) {
	switch name {
	case "sql":
		st.SQL, err = r.text()
	case "args":
		r.BeginArgs(st)
		if r.Next() == '{' {
			return r.NamedArgs(st, r.Value)
		}
		return r.Array(func() error { return r.Arg(st, "", r.Value) })
	default:
		return r.unknown(name)
	}
	return err
}

// BeginArgs comes before the first Arg or NamedArgs of a statement.
func (r *Reader) BeginArgs(st *structs.SQLStatement) { st.Args, st.Names, r.args = nil, nil, 0 }

// Arg reads one argument of a statement by value; name is "" for a positional one.
func (r *Reader) Arg(st *structs.SQLStatement, name string, value func(structs.SQLRow) (structs.SQLRow, error)) error {
	if r.args == argsMax {
		return r.Errorf("a statement has at most %d arguments", argsMax)
	}
	args, err := value(st.Args)
	if err != nil {
		return err
	}
	st.Args = args
	if name != "" && st.Names == nil { // without any there is no list
		st.Names = make([]string, r.args)
	}
	r.args++
	if st.Names != nil {
		st.Names = append(st.Names, name)
	}
	return nil
}

// NamedArgs reads an object of arguments by their names, with or without the ":", "@" or "$".
func (r *Reader) NamedArgs(st *structs.SQLStatement, value func(structs.SQLRow) (structs.SQLRow, error)) error {
	seen := map[string]bool{}
	return r.Object(func(name string) error {
		name = strings.TrimLeft(name[:min(1, len(name))], ":@$") + name[min(1, len(name)):]
		switch {
		case name == "":
			return r.Errorf("an argument has no name")
		case seen[name]:
			return r.Errorf("the argument %q is there twice", name[:min(len(name), 64)])
		}
		seen[name] = true
		return r.Arg(st, name, value)
	})
}

// guard reads {"sql": …, "args": …, "rows": …, "first": […], "digest": base64}.
func (r *Reader) guard(to *[]structs.SQLGuard) error {
	if len(*to) == statementsMax {
		return structs.Errorf(structs.KindTooLarge, "the request has more than %d guards", statementsMax)
	}
	var g structs.SQLGuard
	err := r.fields(func(name string) error {
		switch name {
		case "rows":
			n, err := r.integer()
			g.Rows = &n
			return err
		case "first":
			g.First = nil
			return r.Array(func() (err error) {
				g.First, err = r.Value(g.First)
				return err
			})
		case "digest":
			row, err := r.base64()
			g.Digest = row
			return err
		}
		return r.statementField(name, &g.SQLStatement)
	})
	*to = append(*to, g)
	return err
}

func (r *Reader) base64() ([]byte, error) {
	r.Next()
	start := r.pos
	text, err := r.Text()
	if err != nil {
		return nil, err
	}
	row, err := r.special(nil, start, "blob", text)
	if err != nil {
		return nil, err
	}
	v, _, err := row.NextRaw()
	return v.Bytes, err
}
