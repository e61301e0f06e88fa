package sqldb

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/debros/debros/state/sqldb/sqlite"
	lib "modernc.org/sqlite/lib"
)

// ErrDamaged is in the chain of an error that says: what this replica's file holds is no longer what was written.
var ErrDamaged = errors.New("the database is damaged")

// complaintsMax bounds what is heard of a database that is not sound.
const complaintsMax = 100

// Pace has rest called every some thousand steps of what the pin reads from now on; it may sleep.
func (p *Pin) Pace(rest func()) { p.r.rest = rest }

// Fingerprint is Hash together with what SQLite's integrity check says. Hash reads the rows; an index that has lost
// one, or the shadow of a virtual table, answers wrongly although all rows are there. Rows and indexes may disagree
// by no fault of a disk (install.go says how), but then on every replica in the same way: so what is said of rows goes into the
// sum, and what is said of pages is damage, an error with ErrDamaged.
func (p *Pin) Fingerprint(ctx context.Context) ([32]byte, error) {
	rows, err := p.Hash(ctx)
	if err != nil {
		return rows, damage(err)
	}
	sum := sha256.New()
	sum.Write(rows[:])
	p.r.ctx = ctx
	defer func() { p.r.ctx = nil }()
	var damaged string
	_, err = p.r.ask(fmt.Sprintf("PRAGMA integrity_check(%d)", complaintsMax), func(s *sqlite.Stmt) bool {
		line := string(s.Bytes(0))
		if ofPages(line) {
			damaged = line
			return false
		}
		fmt.Fprintf(sum, "%d:%s", len(line), line)
		return true
	})
	if err == nil && damaged != "" {
		err = fmt.Errorf("%w: %s", ErrDamaged, damaged)
	}
	return [32]byte(sum.Sum(nil)), damage(err)
}

// ofPages reports whether a line of the integrity check speaks of pages rather than of rows.
func ofPages(line string) bool {
	for _, begin := range []string{"*** in database", "Tree ", "Page ", "Freelist", "Main freelist", "Fragmentation", "Multiple uses", "database disk image"} {
		if strings.HasPrefix(line, begin) {
			return true
		}
	}
	return false
}

// damage marks errors that speak of the file's content, not of this machine's present state.
func damage(err error) error {
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Primary() {
		case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB, lib.SQLITE_FORMAT, lib.SQLITE_IOERR:
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	return err
}

// Damaged reports whether an error says that a file's content is not what was written.
func Damaged(err error) bool { return errors.Is(damage(err), ErrDamaged) }

// EngineVersion names what decides how a database is laid out, and so how its hash comes about.
const EngineVersion = "sqlite " + lib.SQLITE_VERSION
