package sqlite

import (
	"errors"
	"sync"
	"syscall"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// FileOp names an operation that SQLite asks of the file system.
type FileOp string

const (
	FileOpen     FileOp = "open"
	FileRead     FileOp = "read"
	FileWrite    FileOp = "write"
	FileTruncate FileOp = "truncate"
	FileSync     FileOp = "sync"
	FileSize     FileOp = "size"
	FileLock     FileOp = "lock"
	FileShmMap   FileOp = "shm-map"  // a part of the index of the write-ahead log
	FileShmLock  FileOp = "shm-lock" // a lock in it
	FileDelete   FileOp = "delete"
)

// FileOps are all operations.
var FileOps = []FileOp{FileOpen, FileRead, FileWrite, FileTruncate, FileSync, FileSize, FileLock, FileShmMap, FileShmLock, FileDelete}

// Fault is asked before each operation on a file; path is "" for a temporary one. nil lets it happen; an error, commonly a
// syscall.Errno, is what SQLite is told instead, as it would be by a disk that gives that error. After a failed
// write half of the bytes are in the file. It is called from any goroutine. Without a Fault files have SQLite's own methods: it costs nothing.
type Fault func(op FileOp, path string) error

// failures are the results of failed operations, as SQLite's own VFS gives them.
var failures = map[FileOp]int32{
	FileOpen: lib.SQLITE_CANTOPEN, FileRead: lib.SQLITE_IOERR_READ, FileWrite: lib.SQLITE_IOERR_WRITE, FileTruncate: lib.SQLITE_IOERR_TRUNCATE,
	FileSync: lib.SQLITE_IOERR_FSYNC, FileSize: lib.SQLITE_IOERR_FSTAT, FileLock: lib.SQLITE_IOERR_LOCK, FileShmMap: lib.SQLITE_IOERR_SHMMAP,
	FileShmLock: lib.SQLITE_IOERR_SHMLOCK, FileDelete: lib.SQLITE_IOERR_DELETE,
}

func (f Fault) ask(op FileOp, path string) int32 {
	err := f(op, path)
	switch {
	case err == nil:
		return lib.SQLITE_OK
	case op == FileWrite && errors.Is(err, syscall.ENOSPC):
		return lib.SQLITE_FULL
	}
	return failures[op]
}

// faultFiles gives open files methods that ask a Fault first.
type faultFiles struct {
	v *VFS

	mu      sync.Mutex // protects the following
	files   map[uintptr]*faultFile
	methods map[uintptr]uintptr // of ours, by the methods of the default VFS that they call
}

type faultFile struct {
	path string
	base *lib.Tsqlite3_io_methods
}

func newFaultFiles(v *VFS) *faultFiles {
	return &faultFiles{v: v, files: map[uintptr]*faultFile{}, methods: map[uintptr]uintptr{}}
}

func (ff *faultFiles) opener(next openFunc) openFunc {
	return func(tls *libc.TLS, vfs, zpath, file uintptr, flags int32, outFlags uintptr) int32 {
		path := gostring(zpath)
		f := (*lib.Tsqlite3_file)(ptr(file))
		if rc := ff.v.c.Fault.ask(FileOpen, path); rc != lib.SQLITE_OK {
			f.FpMethods = 0
			return rc
		}
		rc := next(tls, vfs, zpath, file, flags, outFlags)
		if rc == lib.SQLITE_OK && f.FpMethods != 0 {
			ff.mu.Lock()
			ff.files[file] = &faultFile{path, (*lib.Tsqlite3_io_methods)(ptr(f.FpMethods))}
			f.FpMethods = ff.methodsOver(tls, f.FpMethods)
			ff.mu.Unlock()
		}
		return rc
	}
}

func (ff *faultFiles) delete(tls *libc.TLS, vfs, zpath uintptr, syncDir int32) int32 {
	if rc := ff.v.c.Fault.ask(FileDelete, gostring(zpath)); rc != lib.SQLITE_OK {
		return rc
	}
	return fn[func(*libc.TLS, uintptr, uintptr, int32) int32](ff.v.base.FxDelete)(tls, vfs, zpath, syncDir)
}

// ask asks about an operation on an open file and gives its methods.
func (ff *faultFiles) ask(op FileOp, file uintptr) (*lib.Tsqlite3_io_methods, int32) {
	ff.mu.Lock()
	f := ff.files[file]
	ff.mu.Unlock()
	return f.base, ff.v.c.Fault.ask(op, f.path)
}

// methodsOver makes the methods that stand before base; the lock is held.
func (ff *faultFiles) methodsOver(tls *libc.TLS, base uintptr) uintptr {
	if p := ff.methods[base]; p != 0 {
		return p
	}
	p := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(lib.Tsqlite3_io_methods{})))
	if p == 0 {
		return base
	}
	ff.methods[base] = p
	m := (*lib.Tsqlite3_io_methods)(ptr(p))
	*m = *(*lib.Tsqlite3_io_methods)(ptr(base))
	m.FxClose = keep(ff.v, func(tls *libc.TLS, file uintptr) int32 {
		ff.mu.Lock()
		b := ff.files[file].base
		delete(ff.files, file)
		ff.mu.Unlock()
		return fn[func(*libc.TLS, uintptr) int32](b.FxClose)(tls, file)
	})
	m.FxRead = keep(ff.v, transfer(func(tls *libc.TLS, file, data uintptr, n int32, at lib.Tsqlite3_int64) int32 {
		b, rc := ff.ask(FileRead, file)
		if rc != lib.SQLITE_OK {
			return rc
		}
		return fn[transfer](b.FxRead)(tls, file, data, n, at)
	}))
	m.FxWrite = keep(ff.v, transfer(func(tls *libc.TLS, file, data uintptr, n int32, at lib.Tsqlite3_int64) int32 {
		b, rc := ff.ask(FileWrite, file)
		if rc != lib.SQLITE_OK {
			fn[transfer](b.FxWrite)(tls, file, data, n/2, at)
			return rc
		}
		return fn[transfer](b.FxWrite)(tls, file, data, n, at)
	}))
	m.FxTruncate = keep(ff.v, func(tls *libc.TLS, file uintptr, size lib.Tsqlite3_int64) int32 {
		b, rc := ff.ask(FileTruncate, file)
		if rc != lib.SQLITE_OK {
			return rc
		}
		return fn[func(*libc.TLS, uintptr, lib.Tsqlite3_int64) int32](b.FxTruncate)(tls, file, size)
	})
	m.FxSync = ff.simple(FileSync, func(b *lib.Tsqlite3_io_methods) uintptr { return b.FxSync })
	m.FxLock = ff.simple(FileLock, func(b *lib.Tsqlite3_io_methods) uintptr { return b.FxLock })
	m.FxFileSize = keep(ff.v, func(tls *libc.TLS, file, size uintptr) int32 {
		b, rc := ff.ask(FileSize, file)
		if rc != lib.SQLITE_OK {
			return rc
		}
		return fn[func(*libc.TLS, uintptr, uintptr) int32](b.FxFileSize)(tls, file, size)
	})
	ff.shared(m)
	return p
}

// shared sets the methods for memory that connections share.
func (ff *faultFiles) shared(m *lib.Tsqlite3_io_methods) {
	m.FxShmMap = keep(ff.v, func(tls *libc.TLS, file uintptr, region, size, extend int32, out uintptr) int32 {
		b, rc := ff.ask(FileShmMap, file)
		if rc != lib.SQLITE_OK {
			return rc
		}
		return fn[func(*libc.TLS, uintptr, int32, int32, int32, uintptr) int32](b.FxShmMap)(tls, file, region, size, extend, out)
	})
	m.FxShmLock = keep(ff.v, func(tls *libc.TLS, file uintptr, offset, n, flags int32) int32 {
		b, rc := ff.ask(FileShmLock, file)
		if rc != lib.SQLITE_OK && flags&lib.SQLITE_SHM_UNLOCK == 0 { // giving a lock back cannot fail
			return rc
		}
		return fn[func(*libc.TLS, uintptr, int32, int32, int32) int32](b.FxShmLock)(tls, file, offset, n, flags)
	})
}

// simple is a method that takes a file and flags.
func (ff *faultFiles) simple(op FileOp, of func(*lib.Tsqlite3_io_methods) uintptr) uintptr {
	return keep(ff.v, func(tls *libc.TLS, file uintptr, flags int32) int32 {
		b, rc := ff.ask(op, file)
		if rc != lib.SQLITE_OK {
			return rc
		}
		return fn[func(*libc.TLS, uintptr, int32) int32](of(b))(tls, file, flags)
	})
}

// free gives the methods back, after the last file was closed; nil is fine.
func (ff *faultFiles) free(tls *libc.TLS) {
	if ff == nil {
		return
	}
	for _, p := range ff.methods {
		libc.Xfree(tls, p)
	}
}
