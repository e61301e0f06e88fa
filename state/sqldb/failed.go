package sqldb

import (
	"fmt"
	"slices"
)

// A transaction over several databases and tables may fail for what happened elsewhere. Who applies its entry again
// after a crash, while this database has the entry already, cannot find out by running it: so the failure is noted here.

// failedEntries is for how many entries failures are kept: many more than ever stand between a snapshot and the
// end of the log.
const failedEntries = 1 << 22

// failedKey names a note in _debros_meta; the keys sort as the entries do.
func failedKey(index uint64, n int) string { return fmt.Sprintf("failed/%020d/%06d", index, n) }

// NoteFailed has Commit note that the n-th transaction of the entry failed. What it did must have been taken back.
func (tx *Tx) NoteFailed(n int) {
	if !slices.Contains(tx.failed, n) {
		tx.failed = append(tx.failed, n)
	}
}

// writeFailed writes what NoteFailed was told and drops notes that nobody can ask for any more.
func (tx *Tx) writeFailed() error {
	w := tx.db.w
	for _, n := range tx.failed {
		if err := w.do(`INSERT OR REPLACE INTO _debros_meta (key, value) VALUES (?, 1)`, failedKey(tx.stamp.Index, n)); err != nil {
			return err
		}
	}
	if len(tx.failed) == 0 || tx.stamp.Index <= failedEntries {
		return nil
	}
	return w.do(`DELETE FROM _debros_meta WHERE key > 'failed/' AND key < ?`, failedKey(tx.stamp.Index-failedEntries, 0))
}

// Failed reports whether the n-th transaction of an entry that the database has, by its AppliedIndex, failed. It may be
// asked between transactions by who writes.
func (db *DB) Failed(index uint64, n int) (bool, error) {
	if applied := db.AppliedIndex(); index > applied || applied-index >= failedEntries {
		return false, db.localFault("look up a failed transaction", fmt.Errorf("entry %d is too far from the last one, %d", index, applied))
	}
	rows, err := db.w.ask(`SELECT 1 FROM _debros_meta WHERE key = ?`, nil, failedKey(index, n))
	if err != nil {
		return false, db.localFault("look up a failed transaction", err)
	}
	return rows > 0, nil
}
