package rqlite

import (
	"strconv"
	"time"

	"github.com/debros/debros/agent/httpapi/sqljson"
	"github.com/debros/debros/structs"
)

// Form is how the client wants its results.
type Form struct {
	Associative bool // a row is an object of its columns
	BlobArray   bool // a blob is a list of numbers, not base64
	Timings     bool
}

// AppendWrite encodes the result of a statement that gave no rows: what is zero is left out.
func (f Form) AppendWrite(b []byte, res *structs.SQLResult, took time.Duration) []byte {
	o := object{b: append(b, '{')}
	if res.LastInsertID != 0 {
		o.field("last_insert_id")
		o.b = strconv.AppendInt(o.b, res.LastInsertID, 10)
	}
	if res.RowsAffected != 0 {
		o.field("rows_affected")
		o.b = strconv.AppendInt(o.b, res.RowsAffected, 10)
	}
	if res.Err != nil {
		o.field("error")
		o.b = sqljson.AppendString(o.b, ErrorText(res.Err))
	}
	f.time(&o, took)
	if f.Associative {
		o.field("rows")
		o.b = append(o.b, "null"...)
	}
	return append(o.b, '}')
}

// ErrorText is an error in the one string that rqlite has for it.
func ErrorText(e *structs.Error) string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + " (" + e.Hint + ")"
}

// AppendText encodes a string.
func AppendText(b []byte, s string) []byte { return sqljson.AppendString(b, s) }

func (f Form) time(o *object, took time.Duration) {
	if f.Timings {
		o.field("time")
		o.b = sqljson.AppendFloat(o.b, took.Seconds())
	}
}

// AppendTook ends a list of results with the time of the whole request, where the client wants it.
func (f Form) AppendTook(b []byte, took time.Duration) []byte {
	if !f.Timings {
		return b
	}
	return sqljson.AppendFloat(append(b, `,"time":`...), took.Seconds())
}

// object writes the fields of an object.
type object struct {
	b    []byte
	some bool
}

func (o *object) field(name string) {
	if o.some {
		o.b = append(o.b, ',')
	}
	o.some = true
	o.b = append(append(append(o.b, '"'), name...), `":`...)
}

// Rows encodes a result that has rows, as they come.
type Rows struct {
	f       Form
	columns []string
	types   []string
	hidden  []bool // of an associative result: not shown
	begun   bool
	any     bool // a row was written
}

// Rows begins a result with these columns. types are the declared ones, "" without one.
func (f Form) Rows(columns, types []string) *Rows { return &Rows{f: f, columns: columns, types: types} }

// Append encodes rows behind b.
func (r *Rows) Append(b []byte, rows []structs.SQLRow) ([]byte, error) {
	for _, row := range rows {
		if !r.begun {
			b = r.begin(b, row)
		}
		switch {
		case r.any:
			b = append(b, ',')
		case !r.f.Associative:
			b = append(b, `,"values":[`...)
		}
		r.any = true
		var err error
		if b, err = r.row(b, row); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// End ends the result; e tells why there are no rows, or no more.
func (r *Rows) End(b []byte, e *structs.Error, took time.Duration) []byte {
	if !r.begun {
		b = r.begin(b, nil)
	}
	if r.any || r.f.Associative {
		b = append(b, ']')
	}
	o := object{b: b, some: r.any || r.f.Associative || len(r.columns) > 0}
	if e != nil {
		o.field("error")
		o.b = sqljson.AppendString(o.b, ErrorText(e))
	}
	r.f.time(&o, took)
	return append(o.b, '}')
}

// begin writes what comes before the rows. A column without a declared type has that of its first value.
func (r *Rows) begin(b []byte, first structs.SQLRow) []byte {
	r.begun = true
	types := make([]string, len(r.columns))
	copy(types, r.types)
	for i := range types {
		v, rest, err := first.NextRaw()
		if err != nil { // no row
			break
		}
		if first = rest; types[i] == "" && v.Kind != structs.SQLNull {
			types[i] = v.Kind.String()
		}
	}
	if !r.f.Associative {
		b = append(b, '{')
		if len(r.columns) > 0 {
			b = sqljson.AppendStrings(append(b, `"columns":`...), r.columns)
			b = sqljson.AppendStrings(append(b, `,"types":`...), types)
		}
		return b
	}
	b = append(b, '{')
	if len(r.columns) > 0 {
		r.hidden = overshadowed(r.columns)
		o := object{b: append(b, `"types":{`...)}
		for i, name := range r.columns {
			if r.hidden[i] {
				continue
			}
			o.name(name)
			o.b = sqljson.AppendString(o.b, types[i])
		}
		b = append(o.b, "},"...)
	}
	return append(b, `"rows":[`...)
}

// name is field for a name that is not ours.
func (o *object) name(name string) {
	if o.some {
		o.b = append(o.b, ',')
	}
	o.some = true
	o.b = append(sqljson.AppendString(o.b, name), ':')
}

// overshadowed marks the columns of whose name there is a later one: an object has one field of a name, the last.
func overshadowed(columns []string) []bool {
	out := make([]bool, len(columns))
	seen := make(map[string]bool, len(columns))
	for i := len(columns) - 1; i >= 0; i-- {
		out[i] = seen[columns[i]]
		seen[columns[i]] = true
	}
	return out
}

func (r *Rows) row(b []byte, row structs.SQLRow) ([]byte, error) {
	open, end := byte('['), byte(']')
	if r.f.Associative {
		open, end = '{', '}'
	}
	o := object{b: append(b, open)}
	for i := 0; len(row) > 0; i++ {
		v, rest, err := row.NextRaw()
		if err != nil {
			return nil, err
		}
		row = rest
		declared := ""
		if i < len(r.types) {
			declared = r.types[i]
		}
		switch {
		case !r.f.Associative:
			if i > 0 {
				o.b = append(o.b, ',')
			}
		case i >= len(r.columns) || r.hidden[i]:
			continue
		default:
			o.name(r.columns[i])
		}
		o.b = r.f.value(o.b, v, declared)
	}
	return append(o.b, end), nil
}
