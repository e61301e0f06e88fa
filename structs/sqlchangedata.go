package structs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// SQLChanges.Data is a version byte and then records, each a kind byte and
//
//	T  a table that later records of the same data name by its number, counted from 0:
//	   name, flags (bit 0: without rowids), number of columns, their names, number of key columns, which they are
//	I  insert: table, rowid, values
//	D  delete: table, rowid, values
//	U  update: table, rowid before, rowid after, values before, values after, where sameValue stands for one that stayed
//	S  schema: table, statement
//
// A number is a uvarint, a text its length and its bytes, a rowid a zigzag varint that tables without rowids
// lack, a value as in SQLRow. It is in databases and snapshots: records are only ever added.
const (
	sqlChangesVersion = 1

	recordTable  = 'T'
	recordInsert = 'I'
	recordDelete = 'D'
	recordUpdate = 'U'
	recordSchema = 'S'
	sameValue    = 0xff
)

// ErrSQLChanges is in the chain of the errors of SQLChanges.Each that are about the data.
var ErrSQLChanges = errors.New("undecodable changes")

// BeginSQLChanges begins a run's data.
func BeginSQLChanges(b []byte) []byte { return append(b, sqlChangesVersion) }

// AppendSQLChangeTable appends a table.
func AppendSQLChangeTable(b []byte, t *SQLChangeTable) []byte {
	b = appendSized(append(b, recordTable), t.Name)
	flags := byte(0)
	if t.WithoutRowID {
		flags = 1
	}
	b = binary.AppendUvarint(append(b, flags), uint64(len(t.Columns)))
	for _, c := range t.Columns {
		b = appendSized(b, c)
	}
	b = binary.AppendUvarint(b, uint64(len(t.Key)))
	for _, k := range t.Key {
		b = binary.AppendUvarint(b, uint64(k))
	}
	return b
}

// AppendSQLRowChange appends an insert (before is nil), a delete (after is nil) or an update of a row; table is its number, t
// the table.
func AppendSQLRowChange(b []byte, t *SQLChangeTable, table int, rowid, newRowID int64, before, after SQLRow) []byte {
	kind := byte(recordUpdate)
	switch {
	case before == nil:
		kind = recordInsert
	case after == nil:
		kind = recordDelete
	}
	b = binary.AppendUvarint(append(b, kind), uint64(table))
	if !t.WithoutRowID {
		b = binary.AppendVarint(b, rowid)
		if kind == recordUpdate {
			b = binary.AppendVarint(b, newRowID)
		}
	}
	b = append(b, before...)
	if kind != recordUpdate {
		return append(b, after...)
	}
	for len(after) > 0 {
		_, oldRest, oldErr := before.NextRaw()
		_, newRest, newErr := after.NextRaw()
		if oldErr != nil || newErr != nil {
			panic("structs: a row that was encoded here cannot be read")
		}
		value := after[:len(after)-len(newRest)]
		if bytes.Equal(before[:len(before)-len(oldRest)], value) {
			b = append(b, sameValue)
		} else {
			b = append(b, value...)
		}
		before, after = oldRest, newRest
	}
	return b
}

// AppendSQLSchemaChange appends a change of the schema.
func AppendSQLSchemaChange(b []byte, table, sql string) []byte {
	return appendSized(appendSized(append(b, recordSchema), table), sql)
}

func appendSized(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Each calls f with each change behind the first Skip. A change, but for its Table, is valid until f returns.
func (c *SQLChanges) Each(f func(*SQLChange) error) error {
	d := changeDecoder{rest: c.Data}
	if d.byte() != sqlChangesVersion && d.err == nil {
		d.fail("a version this build does not know")
	}
	at := SQLPosition{Index: c.Index, Seq: c.First}
	for d.err == nil && len(d.rest) > 0 {
		kind := d.byte()
		if kind == recordTable {
			d.table()
			continue
		}
		change := SQLChange{At: at, Time: c.Time}
		d.change(kind, &change)
		if d.err == nil && at.Seq >= c.First+c.Skip {
			if err := f(&change); err != nil {
				return err
			}
		}
		at.Seq++
	}
	if d.err == nil && at.Seq != c.First+c.Count {
		d.fail("there are not as many as they should be")
	}
	return d.err
}

type changeDecoder struct {
	rest   []byte
	tables []*SQLChangeTable
	row    SQLRow // of values after an update
	err    error
}

func (d *changeDecoder) fail(why string) {
	d.err, d.rest = fmt.Errorf("%w: %s", ErrSQLChanges, why), nil
}

func (d *changeDecoder) byte() byte {
	if len(d.rest) == 0 {
		d.fail("they end early")
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

// number reads a count or a number below limit.
func (d *changeDecoder) number(limit int) int {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 || v >= uint64(limit) {
		d.fail("a number is out of its range")
		return 0
	}
	d.rest = d.rest[n:]
	return int(v)
}

func (d *changeDecoder) text() string {
	n := d.number(len(d.rest) + 1)
	if n > len(d.rest) {
		d.fail("a text is cut short")
		return ""
	}
	s := string(d.rest[:n])
	d.rest = d.rest[n:]
	return s
}

func (d *changeDecoder) rowid() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail("a bad rowid")
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *changeDecoder) table() {
	t := &SQLChangeTable{Name: d.text()}
	t.WithoutRowID = d.byte()&1 != 0
	for n := d.number(len(d.rest) + 1); n > 0 && d.err == nil; n-- {
		t.Columns = append(t.Columns, d.text())
	}
	for n := d.number(len(d.rest) + 1); n > 0 && d.err == nil; n-- {
		t.Key = append(t.Key, d.number(len(t.Columns)))
	}
	d.tables = append(d.tables, t)
}

func (d *changeDecoder) change(kind byte, c *SQLChange) {
	switch kind {
	case recordSchema:
		c.Op, c.Of, c.SQL = SQLSchema, d.text(), d.text()
		return
	case recordInsert:
		c.Op = SQLInserted
	case recordDelete:
		c.Op = SQLDeleted
	case recordUpdate:
		c.Op = SQLUpdated
	default:
		d.fail("an unknown record")
		return
	}
	n := d.number(len(d.tables))
	if d.err != nil {
		return
	}
	c.Table = d.tables[n]
	if !c.Table.WithoutRowID {
		c.RowID = d.rowid()
		c.NewRowID = c.RowID
		if c.Op == SQLUpdated {
			c.NewRowID = d.rowid()
		}
	}
	columns := len(c.Table.Columns)
	switch c.Op {
	case SQLInserted:
		c.New = d.values(columns)
	case SQLDeleted:
		c.Old = d.values(columns)
	default:
		c.Old = d.values(columns)
		c.New = d.after(columns, c.Old)
	}
}

func (d *changeDecoder) value() SQLRow {
	_, rest, err := SQLRow(d.rest).NextRaw()
	if err != nil {
		d.fail("a bad value")
		return nil
	}
	v := d.rest[:len(d.rest)-len(rest)]
	d.rest = rest
	return v
}

func (d *changeDecoder) values(n int) SQLRow {
	all := d.rest
	for ; n > 0 && d.err == nil; n-- {
		d.value()
	}
	return all[: len(all)-len(d.rest) : len(all)-len(d.rest)]
}

// after is the values after an update.
func (d *changeDecoder) after(n int, before SQLRow) SQLRow {
	d.row = d.row[:0]
	for ; n > 0 && d.err == nil; n-- {
		_, rest, err := before.NextRaw()
		if err != nil {
			d.fail("a bad value")
			return nil
		}
		if len(d.rest) > 0 && d.rest[0] == sameValue {
			d.row = append(d.row, before[:len(before)-len(rest)]...)
			d.rest = d.rest[1:]
		} else {
			d.row = append(d.row, d.value()...)
		}
		before = rest
	}
	return d.row
}
