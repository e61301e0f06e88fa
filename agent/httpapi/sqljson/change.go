package sqljson

import (
	"strconv"
	"time"

	"github.com/debros/debros/structs"
)

// AppendChange encodes a change of /v1/sql/changes behind b:
//
//	{"id", "time", "op": "insert", "table", "rowid", "new": {column: value}}
//	{"id", "time", "op": "update", "table", "rowid", "new_rowid", "old": {…}, "new": {…}}
//	{"id", "time", "op": "delete", "table", "rowid", "old": {…}}
//	{"id", "time", "op": "schema", "table", "sql"}
//
// A table without rowids has "key": {column: value} in the place of "rowid". Both are those of before an update;
// "new_rowid" is there when it is another one.
func AppendChange(b []byte, c *structs.SQLChange) ([]byte, error) {
	b = c.At.AppendTo(append(b, `{"id":"`...))
	b = time.UnixMilli(c.Time).UTC().AppendFormat(append(b, `","time":"`...), "2006-01-02T15:04:05.000Z07:00")
	b = append(append(b, `","op":"`...), c.Op.String()...)
	b = AppendString(append(b, `","table":`...), c.TableName())
	if c.Op == structs.SQLSchema {
		return append(AppendString(append(b, `,"sql":`...), c.SQL), '}'), nil
	}
	var err error
	if c.Table.WithoutRowID {
		identity := c.Old
		if c.Op == structs.SQLInserted {
			identity = c.New
		}
		if b, err = appendKey(append(b, `,"key":`...), c.Table, identity); err != nil {
			return nil, err
		}
	} else {
		b = strconv.AppendInt(append(b, `,"rowid":`...), c.RowID, 10)
		if c.NewRowID != c.RowID {
			b = strconv.AppendInt(append(b, `,"new_rowid":`...), c.NewRowID, 10)
		}
	}
	if c.Op != structs.SQLInserted {
		if b, err = appendNamed(append(b, `,"old":`...), c.Table.Columns, c.Old); err != nil {
			return nil, err
		}
	}
	if c.Op != structs.SQLDeleted {
		if b, err = appendNamed(append(b, `,"new":`...), c.Table.Columns, c.New); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// appendNamed encodes a row as an object.
func appendNamed(b []byte, names []string, row structs.SQLRow) ([]byte, error) {
	b = append(b, '{')
	for i, name := range names {
		v, rest, err := row.NextRaw()
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendValue(append(AppendString(b, name), ':'), v)
		row = rest
	}
	return append(b, '}'), nil
}

func appendKey(b []byte, t *structs.SQLChangeTable, row structs.SQLRow) ([]byte, error) {
	values, err := row.Values()
	if err != nil {
		return nil, err
	}
	var names []string
	var key structs.SQLRow
	for _, k := range t.Key {
		names, key = append(names, t.Columns[k]), key.Append(values[k])
	}
	return appendNamed(b, names, key)
}
