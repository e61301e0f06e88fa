package sqldb

import (
	"errors"
	"time"

	"github.com/debros/debros/structs"
)

// Budgets, in steps of SQLite's virtual machine (some 20 to 50 million a second).
const (
	workDefault = 100_000_000 // of a request that names none
	workMost    = 2_000_000_000
	// wasteMax is how much an entry's requests may make the transaction do again; rebuildWork is what a
	// rebuild costs besides.
	wasteMax    = 4 * workDefault
	rebuildWork = 1_000_000
)

var errTxDone = errors.New("the transaction has ended")

// Tx is the requests of one log entry on one database: one SQLite transaction, always the same requests in the
// same order on every replica. After an error (not a refusal) only Rollback may follow.
type Tx struct {
	db    *DB
	stamp structs.Stamp
	ran   []*run // requests whose effects stand, in order
	marks []mark // open savepoints
	seq   int    // requests begun
	waste int64  // steps done in vain or again
	done  bool

	fullWrites uint64 // of the engine when the transaction began

	failed []int // transactions of the entry, by NoteFailed
}

// mark is an open savepoint: how many requests had run, and what they had changed.
type mark struct {
	ran     int
	changes captureMark
}

// Mark names a savepoint of a Tx.
type Mark int

// Begin starts the transaction of one log entry.
func (db *DB) Begin(stamp structs.Stamp) (*Tx, error) {
	tx := &Tx{db: db, stamp: stamp}
	if err := tx.begin(); err != nil {
		return nil, err
	}
	return tx, nil
}

func (tx *Tx) begin() error {
	w := tx.db.w
	tx.fullWrites = tx.db.engine.writers.FullWrites()
	w.draws.seed, w.draws.index = tx.stamp.Seed, tx.stamp.Index
	w.changed = false
	w.capture.reset()
	if err := w.do("BEGIN IMMEDIATE"); err != nil {
		return tx.db.localFault("begin", err)
	}
	return nil
}

// Commit makes the requests and the entry's index durable against a crash of the process, together.
func (tx *Tx) Commit() error {
	if tx.done {
		return errTxDone
	}
	tx.done = true
	w := tx.db.w
	err := tx.writeFailed()
	var used int64
	if err == nil {
		used, err = tx.writeUsed()
	}
	if err == nil {
		err = tx.writeChanges()
	}
	if err == nil {
		err = w.do(`UPDATE _debros_meta SET value = ? WHERE key = 'applied'`, int64(tx.stamp.Index))
	}
	if err == nil {
		err = w.do("COMMIT")
	}
	if err != nil {
		return errors.Join(tx.db.localFault("commit", err), tx.abandon())
	}
	tx.db.applied.Store(tx.stamp.Index)
	tx.db.used.Store(used)
	return tx.db.moveLog()
}

// Rollback ends the transaction without a trace. After Commit it does nothing.
func (tx *Tx) Rollback() error {
	if tx.done {
		return nil
	}
	tx.done = true
	return tx.abandon()
}

// abandon throws the transaction away with the connection that holds it, which forgets all it cached.
func (tx *Tx) abandon() error { return tx.db.reopen() }

func (db *DB) reopen() error {
	if err := db.w.close(); err != nil {
		return db.localFault("reopen", err)
	}
	w, err := db.openWriter()
	if err != nil {
		return db.localFault("reopen", err)
	}
	db.w = w
	err = w.loadCapture()
	if err == nil {
		err = w.load()
	}
	if err != nil {
		return db.localFault("reopen", err)
	}
	return nil
}

// Savepoint marks where RollbackTo can return to. Marks nest.
func (tx *Tx) Savepoint() (Mark, error) {
	if tx.done {
		return 0, errTxDone
	}
	if err := tx.db.w.do("SAVEPOINT mark"); err != nil {
		return 0, tx.db.localFault("savepoint", err)
	}
	tx.marks = append(tx.marks, mark{len(tx.ran), tx.db.w.capture.mark()})
	return Mark(len(tx.marks) - 1), nil
}

// Release forgets a mark and those set after it; what was done since stands.
func (tx *Tx) Release(m Mark) error {
	if tx.done {
		return errTxDone
	}
	for len(tx.marks) > int(m) {
		if err := tx.db.w.do("RELEASE mark"); err != nil {
			return tx.db.localFault("release", err)
		}
		tx.marks = tx.marks[:len(tx.marks)-1]
	}
	return nil
}

// RollbackTo undoes every request since the mark and forgets it and those set after it.
func (tx *Tx) RollbackTo(m Mark) error {
	if tx.done {
		return errTxDone
	}
	stats := false
	at := tx.marks[m]
	for _, r := range tx.ran[at.ran:] {
		stats = stats || r.stats
	}
	tx.ran = tx.ran[:at.ran]
	tx.db.w.capture.cut(at.changes)
	if stats { // in memory they would stay as they are
		tx.marks = tx.marks[:m]
		return tx.rebuild()
	}
	for len(tx.marks) > int(m) {
		if err := tx.db.w.undo("mark"); err != nil {
			return tx.db.localFault("roll back to savepoint", err)
		}
		tx.marks = tx.marks[:len(tx.marks)-1]
	}
	return nil
}

// undo takes back what was done since a savepoint and removes it.
func (w *writer) undo(savepoint string) error {
	if err := w.do("ROLLBACK TO " + savepoint); err != nil {
		return err
	}
	if err := w.do("RELEASE " + savepoint); err != nil {
		return err
	}
	return w.renew()
}

// renew follows on what was taken back: the schema may be another one, and virtual tables do not take back what they hold in
// memory (FTS5 counts the changes of its settings).
func (w *writer) renew() error {
	w.changed = w.changed || w.virtual
	w.cache.clear()
	return w.load()
}

// rebuild brings the transaction back after SQLite threw it away, or to be rid of what no savepoint can undo: on
// a new connection it runs again what stands. The waste it makes is counted, and bounded by Execute.
func (tx *Tx) rebuild() error {
	if err := tx.db.reopen(); err != nil {
		return err
	}
	if err := tx.begin(); err != nil {
		return err
	}
	tx.waste += rebuildWork
	ran, marks := tx.ran, tx.marks
	tx.ran, tx.marks = nil, nil
	for i := 0; ; i++ {
		for len(marks) > 0 && marks[0].ran == i {
			marks = marks[1:]
			if _, err := tx.Savepoint(); err != nil {
				return err
			}
		}
		if i == len(ran) {
			return nil
		}
		again, err := tx.once(ran[i])
		if err != nil {
			return err
		}
		if again {
			return tx.db.localFault("run an entry's requests again", errors.New("they did something else than the first time"))
		}
		tx.waste += ran[i].used
		tx.ran = append(tx.ran, ran[i])
	}
}

func (tx *Tx) now() int64 { return tx.stamp.Time.UnixMilli() }

const day = int64(24 * time.Hour / time.Millisecond)
