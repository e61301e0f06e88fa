package sqldb

import (
	"errors"
	"fmt"

	"github.com/debros/debros/state/sqldb/sqlite"
	"github.com/debros/debros/structs"
	lib "modernc.org/sqlite/lib"
)

// refusalOf turns what SQLite says of a statement into what its sender is told, or nil when it speaks of
// this machine: answering such a fault would make this replica differ from the others.
func refusalOf(err error) *structs.Error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return nil
	}
	kind := structs.KindInvalid
	switch e.Primary() {
	case lib.SQLITE_CONSTRAINT:
		kind = structs.KindConflict
	case lib.SQLITE_TOOBIG:
		return structs.Errorf(structs.KindTooLarge, "%s", e.Message).
			WithHint("a value may have %d bytes, a statement %d", valueBytesMax, sqlBytesMax)
	case lib.SQLITE_AUTH:
		kind = structs.KindDenied
	case lib.SQLITE_ERROR, lib.SQLITE_ABORT, lib.SQLITE_MISMATCH, lib.SQLITE_RANGE, lib.SQLITE_EMPTY, lib.SQLITE_NOTFOUND:
	case lib.SQLITE_CORRUPT:
		// A virtual table says that the user's rows contradict its own; a damaged page is plain CORRUPT.
		if e.Code != lib.SQLITE_CORRUPT_VTAB {
			return nil
		}
	case lib.SQLITE_LOCKED:
		// A statement that works on the table it reads: "database table is locked".
		if e.Code != lib.SQLITE_LOCKED {
			return nil
		}
	default:
		return nil
	}
	refusal := structs.Errorf(kind, "%s", e.Message)
	if hint := limitHint(e.Message); hint != "" && e.Primary() == lib.SQLITE_ERROR { // the words of a RAISE are a constraint's
		return refusal.WithHint("%s", hint)
	}
	return refusal
}

// refusalOf is what the sender is told of err, nil when it speaks of this machine. A full disk is this machine's; but where no write
// of this transaction found one full, "database or disk is full" is of what the log made, and the same on every replica.
func (tx *Tx) refusalOf(err error) *structs.Error {
	if isCode(err, lib.SQLITE_FULL) && tx.db.engine.writers.FullWrites() == tx.fullWrites {
		return structs.Errorf(structs.KindInvalid, "the values of an AUTOINCREMENT column, or the segments of an FTS5 table, are used up").
			WithHint("INSERT INTO t(t) VALUES ('rebuild') makes an FTS5 table t anew")
	}
	return refusalOf(err)
}

// localFault marks an error as one of this machine.
func (db *DB) localFault(doing string, err error) error {
	return fmt.Errorf("database %s: %s: %w", db.path, doing, err)
}

func isExtended(err error, code int32) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code == code
}

func isCode(err error, primary int32) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Primary() == primary
}
