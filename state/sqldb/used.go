package sqldb

import (
	"fmt"

	"github.com/debros/debros/state/sqldb/sqlite"
)

// How much of its file a database uses follows from its entries, so that quotas may be decided by it. Who applies an entry
// again after a crash, while this database has that entry and later ones already, must decide as before: so the sizes of
// the past are kept in _debros_meta, one for each entry that changed it.

// usedEntries is for how many entries sizes are kept. A large database may be further ahead of its last snapshot:
// KnowsSizesFrom tells, and it is made again from there. To keep as many as failedEntries would make a small database that
// grows and shrinks all the time a large one.
const usedEntries = 1 << 17

func usedKey(index uint64) string { return fmt.Sprintf("used/%020d", index) }

// UsedBytes is the size of the pages that are in use now, with what the transaction has done.
func (tx *Tx) UsedBytes() int64 { return tx.db.w.UsedBytes() }

// Grows reports whether the request that was executed last may have added anything: one that only deletes and drops has not.
func (tx *Tx) Grows() bool { return len(tx.ran) > 0 && tx.ran[len(tx.ran)-1].grows }

// writeUsed notes the size at the end of the entry. The note itself is not in it.
func (tx *Tx) writeUsed() (int64, error) {
	db, w, index := tx.db, tx.db.w, tx.stamp.Index
	used := w.UsedBytes()
	if used == db.used.Load() {
		return used, nil
	}
	if err := w.do(`INSERT OR REPLACE INTO _debros_meta (key, value) VALUES (?, ?)`, usedKey(index), used); err != nil || index <= usedEntries {
		return used, err
	}
	return used, w.do(`DELETE FROM _debros_meta WHERE key >= 'used/' AND key < (SELECT max(key) FROM _debros_meta WHERE key >= 'used/' AND key <= ?)`,
		usedKey(index-usedEntries))
}

// readUsed reads what writeUsed noted last.
func (db *DB) readUsed() error {
	used := int64(-1)
	_, err := db.w.ask(`SELECT value FROM _debros_meta WHERE key >= 'used/' AND key < 'used0' ORDER BY key DESC LIMIT 1`, func(s *sqlite.Stmt) bool {
		used = s.Int64(0)
		return false
	})
	db.used.Store(used)
	return err
}

// KnowsSizesFrom reports whether UsedBytesAt can tell for an entry and all after it.
func (db *DB) KnowsSizesFrom(index uint64) bool {
	_, err := db.UsedBytesAt(index)
	return err == nil
}

// UsedBytesAt is what was used after an entry that the database has. It may be asked between transactions by who writes.
func (db *DB) UsedBytesAt(index uint64) (int64, error) {
	if index >= db.AppliedIndex() {
		return db.used.Load(), nil
	}
	used := int64(-1)
	_, err := db.w.ask(`SELECT value FROM _debros_meta WHERE key >= 'used/' AND key <= ? ORDER BY key DESC LIMIT 1`, func(s *sqlite.Stmt) bool {
		used = s.Int64(0)
		return false
	}, usedKey(index))
	if err == nil && used < 0 {
		err = fmt.Errorf("the size after entry %d is not known any more", index)
	}
	if err != nil {
		return 0, db.localFault("look up its size", err)
	}
	return used, nil
}
