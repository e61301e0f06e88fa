package sqlite

import (
	"encoding/binary"
	"unsafe"

	lib "modernc.org/sqlite/lib"
)

// TempBytes is how much the statement, as it runs, keeps for itself: what it sorts, and the tables that it makes for
// DISTINCT, GROUP BY, UNION, subqueries and recursion, whether in memory or in temporary files. It
// depends on the rows and the steps made, not on the caches, which decide when SQLite writes to a file. SQLite has no
// function for it: its own structures are read, as this version of it has them (TestTempBytes… notices another one).
// It may be asked between two steps: by a callback of Progress.
func (s *Stmt) TempBytes() int64 {
	v := (*lib.TVdbe)(ptr(s.stmt))
	var counted []uintptr
	n := cursorsTemp(v.FapCsr, v.FnCursor, &counted)
	for f := v.FpFrame; f != 0; { // a trigger runs: these are the cursors of who called it
		frame := (*lib.TVdbeFrame)(ptr(f))
		n += cursorsTemp(frame.FapCsr, frame.FnCursor, &counted)
		f = frame.FpParent
	}
	return n
}

// UsedBytes is the size of the pages that the database uses, without those that wait to be used again. It may be asked while the
// connection writes, which keeps the first page at hand; otherwise it may be -1.
func (c *Conn) UsedBytes() int64 {
	main := (*lib.TDb)(ptr((*lib.Tsqlite3)(ptr(c.db)).FaDb))
	shared := (*lib.TBtShared)(ptr((*lib.TBtree)(ptr(main.FpBt)).FpBt))
	if shared.FpPage1 == 0 {
		return -1
	}
	const freePages = 36 // in the file's header
	header := (*lib.TMemPage)(ptr(shared.FpPage1)).FaData
	free := binary.BigEndian.Uint32(unsafe.Slice((*byte)(ptr(header+freePages)), 4))
	return (int64(shared.FnPage) - int64(free)) * int64(shared.FpageSize)
}

// ephemeralBit is the first bit field of its byte.
var ephemeralBit = func() uint8 {
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return 1
	}
	return 0x80
}()

// cursorsTemp adds up cursors; counted are the tables that several of them share.
func cursorsTemp(array uintptr, count int32, counted *[]uintptr) (n int64) {
	if array == 0 {
		return 0
	}
	for _, p := range unsafe.Slice((*uintptr)(ptr(array)), count) {
		if p == 0 {
			continue
		}
		c := (*lib.TVdbeCursor)(ptr(p))
		switch {
		case c.FeCurType == lib.CURTYPE_SORTER && c.Fuc.FpCursor != 0:
			n += sorterBytes(c.Fuc.FpCursor)
		case c.FeCurType == lib.CURTYPE_BTREE && c.F__ccgo8&ephemeralBit != 0 && c.Fub.FpBtx != 0:
			bt := (*lib.TBtree)(ptr(c.Fub.FpBtx)).FpBt
			if !contains(*counted, bt) {
				*counted = append(*counted, bt)
				shared := (*lib.TBtShared)(ptr(bt))
				n += int64(shared.FnPage) * int64(shared.FpageSize)
			}
		}
	}
	return n
}

// sorterBytes is what a sorter holds in memory and has written to its files. It has one task: conn sets no threads.
func sorterBytes(p uintptr) int64 {
	sorter := (*lib.TVdbeSorter)(ptr(p))
	task := (*lib.TSortSubtask)(ptr(p + sorterTask))
	return sorter.Flist.FszPMA + task.Ffile.FiEof
}

// sorterTask is where the first task stands: behind the sorter itself.
const sorterTask = (unsafe.Sizeof(lib.TVdbeSorter{}) + 7) &^ 7

func contains(list []uintptr, p uintptr) bool {
	for _, have := range list {
		if have == p {
			return true
		}
	}
	return false
}
