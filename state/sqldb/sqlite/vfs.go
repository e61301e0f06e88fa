package sqlite

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// VFSConfig says how a VFS differs from the default one. The zero value is a copy of it.
type VFSConfig struct {
	// Now is the time that SQL sees, in milliseconds since 1970; nil = the machine's.
	Now func() int64
	// TempDir is where temporary files are made; "" = the system's place for them. They have no name once they are open.
	TempDir string
	// Fault is asked before each operation on a file: see Fault. For tests.
	Fault Fault
}

// VFS is the default VFS with what a VFSConfig changes.
type VFS struct {
	p     uintptr
	base  *lib.Tsqlite3_vfs
	c     VFSConfig
	keep  []any // SQLite holds their addresses, which the collector does not see
	fault *faultFiles
	full  fullWrites
}

// unixEpochMS is 1970-01-01 as SQLite counts time: milliseconds of Julian days.
const unixEpochMS = 210866760000000

// RegisterVFS registers a VFS under a name that no other one has.
func RegisterVFS(name string, c VFSConfig) (*VFS, error) {
	tls := libc.NewTLS()
	defer tls.Close()
	lib.Xsqlite3_initialize(tls)
	base := baseVFS(tls)
	p := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(lib.Tsqlite3_vfs{})))
	zname, err := libc.CString(name)
	if base == 0 || p == 0 || err != nil {
		return nil, errors.New("register VFS: out of memory")
	}
	v := &VFS{p: p, base: (*lib.Tsqlite3_vfs)(ptr(base)), c: c, full: fullWrites{methods: map[uintptr]uintptr{}}}
	f := (*lib.Tsqlite3_vfs)(ptr(p))
	*f = *v.base
	f.FzName, f.FpNext = zname, 0
	if c.Now != nil {
		f.FxCurrentTimeInt64 = keep(v, func(_ *libc.TLS, _, out uintptr) int32 {
			*(*int64)(ptr(out)) = unixEpochMS + c.Now()
			return lib.SQLITE_OK
		})
	}
	open := v.openBase(base)
	if c.TempDir != "" {
		open = v.openTemp(open)
	}
	if c.Fault != nil {
		v.fault = newFaultFiles(v)
		open = v.fault.opener(open)
		f.FxDelete = keep(v, v.fault.delete)
	}
	f.FxOpen = keep(v, v.openCounted(open))
	if rc := lib.Xsqlite3_vfs_register(tls, p, 0); rc != lib.SQLITE_OK {
		libc.Xfree(tls, p)
		libc.Xfree(tls, zname)
		return nil, &Error{Code: rc, Message: "register VFS", Offset: -1}
	}
	return v, nil
}

// exclusiveVFS is the default VFS where one process owns the files, as a server owns its data directory. Connections of
// this process share them as ever; but their locks, and the index of the write-ahead log, are in its memory, so that a small read costs no
// system call for a lock. Windows has no such VFS.
const exclusiveVFS = "unix-excl"

func baseVFS(tls *libc.TLS) uintptr {
	if name, err := libc.CString(exclusiveVFS); err == nil {
		defer libc.Xfree(tls, name)
		if base := lib.Xsqlite3_vfs_find(tls, name); base != 0 {
			return base
		}
	}
	return lib.Xsqlite3_vfs_find(tls, 0)
}

// openBase opens with the VFS that was copied: SQLite knows the exclusive one by its name.
func (v *VFS) openBase(base uintptr) openFunc {
	open := fn[openFunc](v.base.FxOpen)
	return func(tls *libc.TLS, _, zpath, file uintptr, flags int32, outFlags uintptr) int32 {
		return open(tls, base, zpath, file, flags, outFlags)
	}
}

// keep is fp of a function that lives as long as the VFS.
func keep[T any](v *VFS, f T) uintptr {
	v.keep = append(v.keep, f)
	return fp(f)
}

// fn is the opposite of fp.
func fn[T any](p uintptr) T { return *(*T)(unsafe.Pointer(&p)) }

// openFunc is xOpen of a VFS, transfer xRead or xWrite of a file.
type (
	openFunc = func(tls *libc.TLS, vfs, zpath, file uintptr, flags int32, outFlags uintptr) int32
	transfer = func(tls *libc.TLS, file, data uintptr, n int32, at lib.Tsqlite3_int64) int32
)

// tempFiles counts the temporary files of the process: their names live until they are open.
var tempFiles atomic.Uint64

// TempPrefix begins the names of temporary files in VFSConfig.TempDir. One is left over only if the process dies while it
// opens it.
const TempPrefix = "tmp-"

func (v *VFS) openTemp(next openFunc) openFunc {
	return func(tls *libc.TLS, vfs, zpath, file uintptr, flags int32, outFlags uintptr) int32 {
		if zpath != 0 {
			return next(tls, vfs, zpath, file, flags, outFlags)
		}
		// SQLite wants two zero bytes behind a name.
		name, err := libc.CString(fmt.Sprintf("%s/%s%d-%d\x00", v.c.TempDir, TempPrefix, os.Getpid(), tempFiles.Add(1)))
		if err != nil {
			return lib.SQLITE_NOMEM
		}
		defer libc.Xfree(tls, name) // with DELETEONCLOSE the file has lost its name by then
		return next(tls, vfs, name, file, flags, outFlags)
	}
}

// Close unregisters the VFS after the last connection through it was closed; twice is fine.
func (v *VFS) Close() {
	if v.p == 0 {
		return
	}
	tls := libc.NewTLS()
	defer tls.Close()
	lib.Xsqlite3_vfs_unregister(tls, v.p)
	libc.Xfree(tls, (*lib.Tsqlite3_vfs)(ptr(v.p)).FzName)
	libc.Xfree(tls, v.p)
	v.fault.free(tls)
	v.full.free(tls)
	v.p = 0
}
