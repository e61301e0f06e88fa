// Package sqlite is the part of SQLite's C interface that sqldb needs, over the Go translation of SQLite in
// modernc.org/sqlite/lib. It adds no policy. All unsafe code of SQL is here.
//
// The ready-made binding (zombiezen.com/go/sqlite) hides what a replicated engine must ask for: whether a
// statement only reads, declared types, counted work per statement, the state of the transaction; it also
// names columns by a map, so two of the same name lose theirs.
//
// A Conn and its Stmts belong to one goroutine at a time; only Interrupt may be called from another.
package sqlite

import (
	"fmt"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// Version is SQLite's version.
const Version = lib.SQLITE_VERSION

// Flags of Open.
const (
	ReadOnly  = lib.SQLITE_OPEN_READONLY
	ReadWrite = lib.SQLITE_OPEN_READWRITE
	Create    = lib.SQLITE_OPEN_CREATE
)

// Error is a result code of SQLite with its message.
type Error struct {
	Code    int32  // extended
	Message string // SQLite's own text
	Offset  int    // byte of the SQL text that it is about, -1 = none
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%d)", e.Message, e.Code) }

// Primary is the code without its extension.
func (e *Error) Primary() int32 { return e.Code & 0xff }

// Conn is a connection to one database file.
type Conn struct {
	tls     *libc.TLS
	db      uintptr
	out     uintptr // 16 bytes for results by pointer
	text    cbuf    // of the SQL text being prepared
	args    cbuf    // of the texts and blobs bound to the statement that runs
	account uintptr // an account
	keep    []any   // callbacks: SQLite holds their addresses, which the collector does not see
}

// Open opens a file through a VFS ("" = the default one).
func Open(path, vfs string, flags int32) (*Conn, error) {
	chargeFunctions()
	return open(path, vfs, flags)
}

func open(path, vfs string, flags int32) (*Conn, error) {
	tls := libc.NewTLS()
	lib.Xsqlite3_initialize(tls)
	c := &Conn{tls: tls, out: libc.Xmalloc(tls, 16), account: libc.Xmalloc(tls, lib.Tsize_t(unsafe.Sizeof(account{})))}
	if c.account != 0 {
		c.Charge(-1)
	}
	name, err := libc.CString(path)
	if err != nil || c.out == 0 || c.account == 0 {
		c.free()
		return nil, &Error{Code: lib.SQLITE_NOMEM, Message: "out of memory", Offset: -1}
	}
	defer libc.Xfree(tls, name)
	var zvfs uintptr
	if vfs != "" {
		if zvfs, err = libc.CString(vfs); err != nil {
			c.free()
			return nil, &Error{Code: lib.SQLITE_NOMEM, Message: "out of memory", Offset: -1}
		}
		defer libc.Xfree(tls, zvfs)
	}
	// Without SQLite's own mutexes: a Conn has one user at a time.
	rc := lib.Xsqlite3_open_v2(tls, name, c.out, flags|lib.SQLITE_OPEN_NOMUTEX|lib.SQLITE_OPEN_EXRESCODE, zvfs)
	c.db = *(*uintptr)(ptr(c.out))
	if rc != lib.SQLITE_OK {
		err := c.fail(rc)
		c.Close()
		return nil, err
	}
	return c, nil
}

// ptr is an address of SQLite's memory, which the collector neither moves nor frees, as a pointer. The
// detour keeps vet from taking it for an address of Go memory that was hidden in a number.
func ptr(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

func (c *Conn) fail(rc int32) *Error {
	e := &Error{Code: rc, Offset: -1}
	if c.db == 0 {
		e.Message = "out of memory"
		return e
	}
	if lib.Xsqlite3_extended_errcode(c.tls, c.db)&0xff == rc&0xff {
		e.Message = libc.GoString(lib.Xsqlite3_errmsg(c.tls, c.db))
		e.Offset = int(lib.Xsqlite3_error_offset(c.tls, c.db))
	} else {
		e.Message = libc.GoString(lib.Xsqlite3_errstr(c.tls, rc))
	}
	return e
}

func (c *Conn) check(rc int32) error {
	if rc == lib.SQLITE_OK {
		return nil
	}
	return c.fail(rc)
}

// Close closes the connection; every Stmt must have been finalized.
func (c *Conn) Close() error {
	if c.tls == nil {
		return nil
	}
	var err error
	if c.db != 0 {
		err = c.check(lib.Xsqlite3_close(c.tls, c.db))
		if err != nil {
			lib.Xsqlite3_close_v2(c.tls, c.db)
		}
	}
	c.free()
	return err
}

// Closed reports whether Close was called.
func (c *Conn) Closed() bool { return c.tls == nil }

func (c *Conn) free() {
	if c.out != 0 {
		libc.Xfree(c.tls, c.out)
	}
	if c.account != 0 {
		libc.Xfree(c.tls, c.account)
	}
	c.text.free(c.tls)
	c.args.free(c.tls)
	c.tls.Close()
	*c = Conn{}
}

// DropModules forgets the kinds of virtual tables: such tables are then not connected, nor checked.
func (c *Conn) DropModules() error { return c.check(lib.Xsqlite3_drop_modules(c.tls, c.db, 0)) }

// Exec runs trusted statements that give no rows one cares for.
func (c *Conn) Exec(sql string) error {
	for sql != "" {
		s, tail, err := c.Prepare(sql)
		if err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
		if s != nil {
			for row := true; row && err == nil; {
				row, err = s.Step()
			}
			s.Finalize()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
		sql = sql[len(sql)-tail:]
	}
	return nil
}

// Int64 is the first column of the first row of a trusted query; 0 when there is no row.
func (c *Conn) Int64(sql string) (int64, error) {
	s, _, err := c.Prepare(sql)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", sql, err)
	}
	defer s.Finalize()
	row, err := s.Step()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", sql, err)
	}
	if !row {
		return 0, nil
	}
	return s.Int64(0), nil
}

// Config sets a switch of sqlite3_db_config.
func (c *Conn) Config(op int32, on bool) error {
	va := libc.NewVaList(libc.BoolInt32(on), uintptr(0))
	defer libc.Xfree(c.tls, va)
	return c.check(lib.Xsqlite3_db_config(c.tls, c.db, op, va))
}

// Limit sets a limit of sqlite3_limit.
func (c *Conn) Limit(id, value int32) { lib.Xsqlite3_limit(c.tls, c.db, id, value) }

// Autocommit reports that no transaction is open.
func (c *Conn) Autocommit() bool { return lib.Xsqlite3_get_autocommit(c.tls, c.db) != 0 }

// Changes is the number of rows that the last statement changed itself.
func (c *Conn) Changes() int64 { return lib.Xsqlite3_changes64(c.tls, c.db) }

// TotalChanges is the number of rows changed since Open.
func (c *Conn) TotalChanges() int64 { return lib.Xsqlite3_total_changes64(c.tls, c.db) }

// LastInsertRowID is the rowid of the last insert.
func (c *Conn) LastInsertRowID() int64 { return lib.Xsqlite3_last_insert_rowid(c.tls, c.db) }

// SetLastInsertRowID says what LastInsertRowID answers until the next insert.
func (c *Conn) SetLastInsertRowID(id int64) { lib.Xsqlite3_set_last_insert_rowid(c.tls, c.db, id) }

// DeferredForeignKeys reports that a commit would fail on a deferred foreign key.
func (c *Conn) DeferredForeignKeys() bool {
	rc := lib.Xsqlite3_db_status(c.tls, c.db, lib.SQLITE_DBSTATUS_DEFERRED_FKS, c.out, c.out+8, 0)
	return rc == lib.SQLITE_OK && *(*int32)(ptr(c.out)) != 0
}

// Interrupt ends what the connection runs, from any goroutine. The caller sees to it that Close waits.
func (c *Conn) Interrupt() { lib.Xsqlite3_interrupt(c.tls, c.db) }

// ZeroSteps sets the counters that Stmt.Steps reads to zero, also those of SQLite's own statements.
func (c *Conn) ZeroSteps() {
	for s := lib.Xsqlite3_next_stmt(c.tls, c.db, 0); s != 0; s = lib.Xsqlite3_next_stmt(c.tls, c.db, s) {
		lib.Xsqlite3_stmt_status(c.tls, s, lib.SQLITE_STMTSTATUS_VM_STEP, 1)
	}
}

// Checkpoint moves the write-ahead log into the file and empties it.
func (c *Conn) Checkpoint() error {
	return c.check(lib.Xsqlite3_wal_checkpoint_v2(c.tls, c.db, 0, lib.SQLITE_CHECKPOINT_TRUNCATE, 0, 0))
}

// CheckpointPassive moves into the file what it can of the write-ahead log without waiting for anybody: of frames in the
// log, moved are in the file then. Another checkpoint that runs is no error, nothing is moved.
func (c *Conn) CheckpointPassive() (frames, moved int, err error) {
	*(*[2]int32)(ptr(c.out)) = [2]int32{}
	rc := lib.Xsqlite3_wal_checkpoint_v2(c.tls, c.db, 0, lib.SQLITE_CHECKPOINT_PASSIVE, c.out, c.out+4)
	if rc&0xff == lib.SQLITE_BUSY {
		return 0, 0, nil
	}
	n := *(*[2]int32)(ptr(c.out))
	return int(n[0]), int(n[1]), c.check(rc)
}

// cbuf is a growing piece of SQLite's memory.
type cbuf struct {
	p         uintptr
	size, cap int
}

const cbufKeepBytes = 64 << 10 // a larger one is given back after use

func (b *cbuf) reset(tls *libc.TLS, need int) bool {
	b.size = 0
	if need <= b.cap && (b.cap <= cbufKeepBytes || need > cbufKeepBytes) {
		return true
	}
	b.free(tls)
	n := max(need, 1024)
	if b.p = libc.Xmalloc(tls, libc.Tsize_t(n)); b.p == 0 {
		return false
	}
	b.cap = n
	return true
}

// add copies s behind what is there; reset made room.
func (b *cbuf) add(s string) uintptr {
	p := b.p + uintptr(b.size)
	copy(unsafe.Slice((*byte)(ptr(p)), len(s)), s)
	b.size += len(s)
	return p
}

func (b *cbuf) free(tls *libc.TLS) {
	if b.p != 0 {
		libc.Xfree(tls, b.p)
	}
	*b = cbuf{}
}
