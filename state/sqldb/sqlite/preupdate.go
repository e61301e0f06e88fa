package sqlite

import (
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// RowChange is a row that is about to change, as OnChange tells it. It and its values are valid until the callback returns.
type RowChange struct {
	c     *Conn
	table uintptr
	Op    int32 // OpInsert, OpUpdate, OpDelete
	// Of a table with rowids; an insert has NewRowID only, a delete OldRowID only.
	OldRowID, NewRowID int64
}

// OnChange has f called before each row of an ordinary table changes, by whatever cause: a statement, a trigger, a
// foreign key, a conflict resolution, a virtual table's own statements. f must not use the connection. nil ends it.
// Statements compiled before keep what they were compiled for: DELETE without WHERE does not look at rows while nobody listens.
func (c *Conn) OnChange(f func(*RowChange)) {
	if f == nil {
		lib.Xsqlite3_preupdate_hook(c.tls, c.db, 0, 0)
		return
	}
	r := &RowChange{c: c}
	cb := func(_ *libc.TLS, _, _ uintptr, op int32, _, table uintptr, before, after lib.Tsqlite_int64) {
		r.table, r.Op, r.OldRowID, r.NewRowID = table, op, before, after
		f(r)
	}
	c.keep = append(c.keep, cb)
	lib.Xsqlite3_preupdate_hook(c.tls, c.db, fp(cb), 0)
}

// Table is the name of the row's table, in SQLite's memory.
func (r *RowChange) Table() []byte {
	n := 0
	for *(*byte)(ptr(r.table + uintptr(n))) != 0 {
		n++
	}
	return unsafe.Slice((*byte)(ptr(r.table)), n)
}

// Old is the value of column i before the change.
func (r *RowChange) Old(i int) (Value, error) {
	rc := lib.Xsqlite3_preupdate_old(r.c.tls, r.c.db, int32(i), r.c.out)
	return Value{r.c.tls, *(*uintptr)(ptr(r.c.out))}, r.c.check(rc)
}

// New is the value of column i after the change.
func (r *RowChange) New(i int) (Value, error) {
	rc := lib.Xsqlite3_preupdate_new(r.c.tls, r.c.db, int32(i), r.c.out)
	return Value{r.c.tls, *(*uintptr)(ptr(r.c.out))}, r.c.check(rc)
}

// Value is a value of SQLite's.
type Value struct {
	tls *libc.TLS
	p   uintptr
}

// Type is its storage class.
func (v Value) Type() int32 { return lib.Xsqlite3_value_type(v.tls, v.p) }

// Int64 is an integer's.
func (v Value) Int64() int64 { return lib.Xsqlite3_value_int64(v.tls, v.p) }

// Float is a number's.
func (v Value) Float() float64 { return lib.Xsqlite3_value_double(v.tls, v.p) }

// Bytes is a text's or a blob's.
func (v Value) Bytes() []byte {
	p := lib.Xsqlite3_value_blob(v.tls, v.p)
	n := lib.Xsqlite3_value_bytes(v.tls, v.p)
	if p == 0 || n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(ptr(p)), n)
}

// KeptRows reports, after a Step that failed and before Reset, that the rows which the statement had changed stay changed:
// it failed by OR FAIL or RAISE(FAIL).
func (s *Stmt) KeptRows() bool { return (*lib.TVdbe)(ptr(s.stmt)).FerrorAction == lib.OE_Fail }
