package sqlite

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// fullWrites counts the writes of a VFS that found no room. SQLite says "database or disk is full" also where no disk has a part
// in it: when the values of AUTOINCREMENT or the segments of an FTS5 index are used up.
type fullWrites struct {
	count atomic.Uint64

	mu      sync.Mutex          // protects the following
	methods map[uintptr]uintptr // of files, by the methods they stand before
}

// FullWrites is how many writes to files found no room so far.
func (v *VFS) FullWrites() uint64 { return v.full.count.Load() }

func (v *VFS) openCounted(next openFunc) openFunc {
	return func(tls *libc.TLS, vfs, zpath, file uintptr, flags int32, outFlags uintptr) int32 {
		rc := next(tls, vfs, zpath, file, flags, outFlags)
		f := (*lib.Tsqlite3_file)(ptr(file))
		if rc != lib.SQLITE_OK || f.FpMethods == 0 {
			return rc
		}
		methods := v.countedOver(tls, f.FpMethods)
		if methods == 0 {
			fn[func(*libc.TLS, uintptr) int32]((*lib.Tsqlite3_io_methods)(ptr(f.FpMethods)).FxClose)(tls, file)
			f.FpMethods = 0
			return lib.SQLITE_NOMEM
		}
		f.FpMethods = methods
		return rc
	}
}

// countedOver makes base's methods with a write that is counted; 0 = out of memory.
func (v *VFS) countedOver(tls *libc.TLS, base uintptr) uintptr {
	v.full.mu.Lock()
	defer v.full.mu.Unlock()
	if p := v.full.methods[base]; p != 0 {
		return p
	}
	p := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(lib.Tsqlite3_io_methods{})))
	if p == 0 {
		return 0
	}
	m := (*lib.Tsqlite3_io_methods)(ptr(p))
	*m = *(*lib.Tsqlite3_io_methods)(ptr(base))
	write := fn[transfer](m.FxWrite)
	m.FxWrite = keep(v, transfer(func(tls *libc.TLS, file, data uintptr, n int32, at lib.Tsqlite3_int64) int32 {
		rc := write(tls, file, data, n, at)
		if rc == lib.SQLITE_FULL {
			v.full.count.Add(1)
		}
		return rc
	}))
	v.full.methods[base] = p
	return p
}

// free gives the methods back, after the last file was closed.
func (f *fullWrites) free(tls *libc.TLS) {
	for _, p := range f.methods {
		libc.Xfree(tls, p)
	}
}
