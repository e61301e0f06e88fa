package sqlite

import (
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// Storage classes as Stmt.Type gives them.
const (
	Integer = lib.SQLITE_INTEGER
	Float   = lib.SQLITE_FLOAT
	Text    = lib.SQLITE_TEXT
	Blob    = lib.SQLITE_BLOB
	Null    = lib.SQLITE_NULL
)

// Stmt is a prepared statement.
type Stmt struct {
	c    *Conn
	stmt uintptr
}

// Prepare compiles the first statement of sql. tail is the number of bytes that follow it; the statement
// is nil when there was only space and comments.
func (c *Conn) Prepare(sql string) (s *Stmt, tail int, err error) {
	if !c.text.reset(c.tls, len(sql)+1) {
		return nil, 0, &Error{Code: lib.SQLITE_NOMEM, Message: "out of memory", Offset: -1}
	}
	z := c.text.add(sql)
	c.text.add("\x00")
	rc := lib.Xsqlite3_prepare_v3(c.tls, c.db, z, int32(len(sql)+1), lib.SQLITE_PREPARE_PERSISTENT, c.out, c.out+8)
	if rc != lib.SQLITE_OK {
		return nil, 0, c.fail(rc)
	}
	stmt, end := *(*uintptr)(ptr(c.out)), *(*uintptr)(ptr(c.out + 8))
	tail = max(len(sql)-int(end-z), 0)
	if stmt == 0 {
		return nil, tail, nil
	}
	return &Stmt{c: c, stmt: stmt}, tail, nil
}

// Finalize frees the statement; twice is fine.
func (s *Stmt) Finalize() {
	if s.stmt != 0 {
		lib.Xsqlite3_finalize(s.c.tls, s.stmt)
		s.stmt = 0
	}
}

// Step goes to the next row.
func (s *Stmt) Step() (row bool, err error) {
	switch rc := lib.Xsqlite3_step(s.c.tls, s.stmt); rc {
	case lib.SQLITE_ROW:
		return true, nil
	case lib.SQLITE_DONE:
		return false, nil
	default:
		return false, s.c.fail(rc)
	}
}

// Reset ends the execution. Bound values stay.
func (s *Stmt) Reset() { lib.Xsqlite3_reset(s.c.tls, s.stmt) }

// ReadOnly reports that the statement does not write to the database by itself.
func (s *Stmt) ReadOnly() bool { return lib.Xsqlite3_stmt_readonly(s.c.tls, s.stmt) != 0 }

// What Explain gives.
const (
	NoExplain      = iota
	ExplainProgram // EXPLAIN
	ExplainPlan    // EXPLAIN QUERY PLAN
)

// Explain tells how the statement begins.
func (s *Stmt) Explain() int { return int(lib.Xsqlite3_stmt_isexplain(s.c.tls, s.stmt)) }

// Steps is the number of virtual machine steps since it was last asked. Those of statements that SQLite
// runs inside this one, for a virtual table, are not in it; those of triggers are.
func (s *Stmt) Steps() int64 {
	return int64(uint32(lib.Xsqlite3_stmt_status(s.c.tls, s.stmt, lib.SQLITE_STMTSTATUS_VM_STEP, 1)))
}

// Reprepared is how often SQLite compiled the statement again by itself.
func (s *Stmt) Reprepared() int {
	return int(lib.Xsqlite3_stmt_status(s.c.tls, s.stmt, lib.SQLITE_STMTSTATUS_REPREPARE, 0))
}

// Params is the number of parameters.
func (s *Stmt) Params() int { return int(lib.Xsqlite3_bind_parameter_count(s.c.tls, s.stmt)) }

// ParamName is the name of parameter i, from 1, with its prefix; "" for "?".
func (s *Stmt) ParamName(i int) string {
	return gostring(lib.Xsqlite3_bind_parameter_name(s.c.tls, s.stmt, int32(i)))
}

// BindRoom makes room for the texts and blobs of one execution. What was bound to this connection's
// statements before must not be used again.
func (s *Stmt) BindRoom(bytes int) error {
	if !s.c.args.reset(s.c.tls, bytes+1) {
		return &Error{Code: lib.SQLITE_NOMEM, Message: "out of memory", Offset: -1}
	}
	return nil
}

// BindText binds a text; BindRoom has made room for it.
func (s *Stmt) BindText(i int, v string) error {
	return s.c.check(lib.Xsqlite3_bind_text(s.c.tls, s.stmt, int32(i), s.c.args.add(v), int32(len(v)), 0))
}

// BindBlob binds a blob; BindRoom has made room for it.
func (s *Stmt) BindBlob(i int, v string) error {
	return s.c.check(lib.Xsqlite3_bind_blob(s.c.tls, s.stmt, int32(i), s.c.args.add(v), int32(len(v)), 0))
}

// BindInt64 binds an integer.
func (s *Stmt) BindInt64(i int, v int64) error {
	return s.c.check(lib.Xsqlite3_bind_int64(s.c.tls, s.stmt, int32(i), v))
}

// BindFloat binds a real.
func (s *Stmt) BindFloat(i int, v float64) error {
	return s.c.check(lib.Xsqlite3_bind_double(s.c.tls, s.stmt, int32(i), v))
}

// BindNull binds NULL.
func (s *Stmt) BindNull(i int) error {
	return s.c.check(lib.Xsqlite3_bind_null(s.c.tls, s.stmt, int32(i)))
}

// Unbind sets every parameter to NULL.
func (s *Stmt) Unbind() { lib.Xsqlite3_clear_bindings(s.c.tls, s.stmt) }

// Columns is the number of result columns.
func (s *Stmt) Columns() int { return int(lib.Xsqlite3_column_count(s.c.tls, s.stmt)) }

// ColumnName is the name of column i, from 0.
func (s *Stmt) ColumnName(i int) string {
	return gostring(lib.Xsqlite3_column_name(s.c.tls, s.stmt, int32(i)))
}

// ColumnDecl is the declared type of column i; "" for an expression.
func (s *Stmt) ColumnDecl(i int) string {
	return gostring(lib.Xsqlite3_column_decltype(s.c.tls, s.stmt, int32(i)))
}

// Type is the storage class of column i in this row.
func (s *Stmt) Type(i int) int32 { return lib.Xsqlite3_column_type(s.c.tls, s.stmt, int32(i)) }

// Int64 is column i as an integer.
func (s *Stmt) Int64(i int) int64 { return lib.Xsqlite3_column_int64(s.c.tls, s.stmt, int32(i)) }

// Float is column i as a real.
func (s *Stmt) Float(i int) float64 { return lib.Xsqlite3_column_double(s.c.tls, s.stmt, int32(i)) }

// Bytes is column i as a text or a blob, whichever it is. It is valid until the next Step or Reset.
func (s *Stmt) Bytes(i int) []byte {
	p := lib.Xsqlite3_column_blob(s.c.tls, s.stmt, int32(i))
	n := lib.Xsqlite3_column_bytes(s.c.tls, s.stmt, int32(i))
	if p == 0 || n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(ptr(p)), n)
}

func gostring(p uintptr) string {
	if p == 0 {
		return ""
	}
	return libc.GoString(p)
}
