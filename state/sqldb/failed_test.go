package sqldb

import (
	"testing"

	"github.com/debros/debros/state/sqldb/sqlite"
)

func TestFailuresAreKeptWithTheirEntry(t *testing.T) {
	r := newReplica(t, Options{})
	entry := func(index uint64, commit bool, failed ...int) {
		t.Helper()
		tx, err := r.db.Begin(stampOf(index))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range failed {
			tx.NoteFailed(n)
		}
		if !commit {
			err = tx.Rollback()
		} else {
			err = tx.Commit()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	failed := func(index uint64, n int) bool {
		t.Helper()
		yes, err := r.db.Failed(index, n)
		if err != nil {
			t.Fatal(err)
		}
		return yes
	}
	entry(10, true, 0, 2, 2)
	entry(11, false, 0)
	entry(11, true)
	r.reopen()
	if !failed(10, 0) || failed(10, 1) || !failed(10, 2) || failed(11, 0) {
		t.Error("the notes are not those that were committed")
	}
	if _, err := r.db.Failed(12, 0); err == nil {
		t.Error("an answer for an entry that is not there")
	}
	notes := func() (n int64) {
		t.Helper()
		if _, err := r.db.w.ask("SELECT count(*) FROM _debros_meta WHERE key LIKE 'failed/%'", func(s *sqlite.Stmt) bool {
			n = s.Int64(0)
			return false
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	entry(10+failedEntries, true, 1)
	if _, err := r.db.Failed(10, 0); err == nil {
		t.Error("an answer for an entry whose notes may be gone")
	}
	if n := notes(); n != 3 {
		t.Errorf("%d notes, want those of the first entry too", n)
	}
	entry(11+failedEntries, true, 0)
	if n := notes(); n != 2 {
		t.Errorf("%d notes, want those of the last two entries", n)
	}
}
