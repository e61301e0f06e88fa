package sqlite

import (
	"sync"
	"time"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// fp is what the translation takes for a function pointer: the address of the function value. Whoever
// hands it to SQLite keeps f alive.
func fp[T any](f T) uintptr {
	var x any = f
	return (*[2]uintptr)(unsafe.Pointer(&x))[1]
}

// Action is what a statement being compiled wants to do, as an authorizer sees it.
type Action struct {
	Code             int32  // SQLITE_*
	Arg1, Arg2       string // depend on Code
	Database, Inside string // "main" or ""; the trigger or view that asks, "" = the statement itself
}

// Authorizer sets who allows what statements do: allow returning false makes compiling them fail.
func (c *Conn) Authorizer(allow func(Action) bool) error {
	f := func(_ *libc.TLS, _ uintptr, code int32, a1, a2, db, inside uintptr) int32 {
		if allow(Action{code, gostring(a1), gostring(a2), gostring(db), gostring(inside)}) {
			return lib.SQLITE_OK
		}
		return lib.SQLITE_DENY
	}
	c.keep = append(c.keep, f)
	return c.check(lib.Xsqlite3_set_authorizer(c.tls, c.db, fp(f), 0))
}

// Progress has f called after every n steps that a statement makes itself; true ends the statement.
// Steps of statements that SQLite runs inside another one do not count, except reading a blob by its handle.
func (c *Conn) Progress(n int32, f func() bool) {
	cb := func(*libc.TLS, uintptr) int32 {
		if (*lib.Tsqlite3)(ptr(c.db)).FnVdbeExec > 1 {
			return 0
		}
		return libc.BoolInt32(f())
	}
	c.keep = append(c.keep, cb)
	lib.Xsqlite3_progress_handler(c.tls, c.db, n, fp(cb), c.account)
}

// Operations that OnUpdate tells.
const (
	OpInsert = lib.SQLITE_INSERT
	OpUpdate = lib.SQLITE_UPDATE
	OpDelete = lib.SQLITE_DELETE
)

// OnUpdate has f called for each row of a rowid table that is written.
func (c *Conn) OnUpdate(f func(op int32, rowid int64)) {
	cb := func(_ *libc.TLS, _ uintptr, op int32, _, _ uintptr, rowid lib.Tsqlite_int64) { f(op, rowid) }
	c.keep = append(c.keep, cb)
	lib.Xsqlite3_update_hook(c.tls, c.db, fp(cb), 0)
}

// OnCommit has f called after each commit with the number of frames in the write-ahead log, in the place of SQLite's own
// checkpoints.
func (c *Conn) OnCommit(f func(frames int)) {
	cb := func(_ *libc.TLS, _, _, _ uintptr, frames int32) int32 {
		f(int(frames))
		return lib.SQLITE_OK
	}
	c.keep = append(c.keep, cb)
	lib.Xsqlite3_wal_hook(c.tls, c.db, fp(cb), 0)
}

// Call is a call of a function that Func defined.
type Call struct {
	tls *libc.TLS
	ctx uintptr
	arg uintptr
}

// ArgInt64 is the first argument as an integer.
func (c Call) ArgInt64() int64 {
	return lib.Xsqlite3_value_int64(c.tls, *(*uintptr)(ptr(c.arg)))
}

// value is the argument at a place, from 0.
func (c Call) value(i int) uintptr {
	return *(*uintptr)(ptr(c.arg + uintptr(i)*unsafe.Sizeof(uintptr(0))))
}

// IsNull reports whether an argument is NULL.
func (c Call) IsNull(i int) bool {
	return lib.Xsqlite3_value_type(c.tls, c.value(i)) == lib.SQLITE_NULL
}

// IsBlob reports whether an argument is a blob.
func (c Call) IsBlob(i int) bool {
	return lib.Xsqlite3_value_type(c.tls, c.value(i)) == lib.SQLITE_BLOB
}

// Text is an argument as text, or the bytes of a blob. They are SQLite's, and valid until f returns.
func (c Call) Text(i int) []byte {
	p := lib.Xsqlite3_value_text(c.tls, c.value(i))
	n := lib.Xsqlite3_value_bytes(c.tls, c.value(i))
	if p == 0 || n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(ptr(p)), n)
}

// TextOf returns a text of n bytes that fill writes.
func (c Call) TextOf(n int, fill func([]byte)) {
	p := lib.Xsqlite3_malloc64(c.tls, lib.Tsqlite3_uint64(n)+1)
	if p == 0 {
		lib.Xsqlite3_result_error_nomem(c.tls, c.ctx)
		return
	}
	b := unsafe.Slice((*byte)(ptr(p)), n+1)
	fill(b[:n])
	b[n] = 0
	f := lib.Xsqlite3_free
	lib.Xsqlite3_result_text(c.tls, c.ctx, p, int32(n), fp(f))
}

// Int64 returns an integer.
func (c Call) Int64(v int64) { lib.Xsqlite3_result_int64(c.tls, c.ctx, v) }

// TooBig returns the error that a value is over the limit.
func (c Call) TooBig() { lib.Xsqlite3_result_error_toobig(c.tls, c.ctx) }

// Blob returns a blob of n bytes that fill writes.
func (c Call) Blob(n int, fill func([]byte)) {
	p := lib.Xsqlite3_malloc64(c.tls, lib.Tsqlite3_uint64(n))
	if p == 0 {
		lib.Xsqlite3_result_error_nomem(c.tls, c.ctx)
		return
	}
	fill(unsafe.Slice((*byte)(ptr(p)), n))
	f := lib.Xsqlite3_free
	lib.Xsqlite3_result_blob(c.tls, c.ctx, p, int32(n), fp(f))
}

// Func defines a function that SQL may also call from defaults, triggers and views.
func (c *Conn) Func(name string, args int32, f func(Call)) error {
	return c.define(name, args, lib.SQLITE_UTF8|lib.SQLITE_INNOCUOUS, f)
}

// PureFunc is Func for a function that gives the same for the same arguments for ever: indexes and generated columns may use it.
func (c *Conn) PureFunc(name string, args int32, f func(Call)) error {
	return c.define(name, args, lib.SQLITE_UTF8|lib.SQLITE_INNOCUOUS|lib.SQLITE_DETERMINISTIC, f)
}

func (c *Conn) define(name string, args, flags int32, f func(Call)) error {
	z, err := libc.CString(name)
	if err != nil {
		return &Error{Code: lib.SQLITE_NOMEM, Message: "out of memory", Offset: -1}
	}
	defer libc.Xfree(c.tls, z)
	cb := chargedCall(func(tls *libc.TLS, ctx uintptr, _ int32, argv uintptr) { f(Call{tls, ctx, argv}) }, weightOf(name))
	c.keep = append(c.keep, cb)
	return c.check(lib.Xsqlite3_create_function_v2(c.tls, c.db, z, args, flags, 0, fp(cb), 0, 0, 0))
}

// UTC makes local time UTC for every connection of the process, whatever TZ says.
var UTC = sync.OnceFunc(func() {
	tls := libc.NewTLS() // lives as long as the process, as SQLite keeps the callback
	lib.Xsqlite3_initialize(tls)
	va := libc.NewVaList(int32(2), fp(utc))
	lib.Xsqlite3_test_control(tls, lib.SQLITE_TESTCTRL_LOCALTIME_FAULT, va)
	libc.Xfree(tls, va)
})

// utc is gmtime(3) for SQLite, which asks localtime for times between 1970 and 2037 only.
func utc(_ *libc.TLS, t, tm uintptr) int32 {
	at := time.Unix(*(*int64)(ptr(t)), 0).UTC()
	*(*lib.Ttm)(ptr(tm)) = lib.Ttm{
		Ftm_sec: int32(at.Second()), Ftm_min: int32(at.Minute()), Ftm_hour: int32(at.Hour()),
		Ftm_mday: int32(at.Day()), Ftm_mon: int32(at.Month()) - 1, Ftm_year: int32(at.Year() - 1900),
		Ftm_wday: int32(at.Weekday()), Ftm_yday: int32(at.YearDay()) - 1,
	}
	return 0
}
