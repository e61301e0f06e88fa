package sqldb

import (
	"bytes"
	"context"

	"github.com/debros/debros/state/sqldb/sqlite"
	"github.com/debros/debros/structs"
	lib "modernc.org/sqlite/lib"
)

// Changes reads the runs of changes behind a position, about bytesMax of them, and the position behind what it gives: that
// of a change, or the one at which the keeping began. No runs: there are none yet. Refusals: KindConflict when none are kept;
// KindGone when those behind the position are not all there, or when it is no position of this database's.
func (db *DB) Changes(ctx context.Context, from structs.SQLPosition, bytesMax int) (runs []structs.SQLChanges, at structs.SQLPosition, err error) {
	r, err := db.pool.get(ctx)
	if err != nil {
		return nil, at, err
	}
	defer db.pool.put(r)
	// What is trimmed meanwhile must not be skipped: all is read from one state.
	if err := r.do("BEGIN"); err != nil {
		return nil, at, err
	}
	runs, at, err = r.changes(from, bytesMax)
	if rerr := r.do("ROLLBACK"); err == nil {
		err = rerr
	}
	if isCode(err, lib.SQLITE_INTERRUPT) && ctx.Err() != nil {
		err = ctx.Err()
	}
	return runs, at, err
}

// LastChange is the position behind everything that is kept.
func (db *DB) LastChange(ctx context.Context) (at structs.SQLPosition, err error) {
	r, err := db.pool.get(ctx)
	if err != nil {
		return at, err
	}
	defer db.pool.put(r)
	if err := r.do("BEGIN"); err != nil {
		return at, err
	}
	_, at, err = r.startOf(structs.SQLPosition{Index: 1<<63 - 1, Seq: structs.SQLWholeEntry})
	if rerr := r.do("ROLLBACK"); err == nil {
		err = rerr
	}
	return at, err
}

func (r *reader) changes(from structs.SQLPosition, bytesMax int) (runs []structs.SQLChanges, at structs.SQLPosition, err error) {
	id, at, err := r.startOf(from)
	if err != nil {
		return nil, at, err
	}
	size := 0
	_, err = r.ask(`SELECT idx, first, part, count, ms, data FROM _debros_changes WHERE id >= ? ORDER BY id`, func(s *sqlite.Stmt) bool {
		data := s.Bytes(5)
		if s.Int64(2) > 0 {
			if len(runs) == 0 { // of a run before the position
				return true
			}
			run := &runs[len(runs)-1]
			run.Data = append(run.Data, data...)
			size += len(data)
			return true
		}
		if size >= bytesMax {
			return false
		}
		size += len(data)
		run := structs.SQLChanges{
			Index: uint64(s.Int64(0)), First: uint64(s.Int64(1)), Count: uint64(s.Int64(3)), Time: s.Int64(4), Data: bytes.Clone(data),
		}
		if run.Index == at.Index && run.First <= at.Seq {
			run.Skip = at.Seq - run.First + 1
		}
		runs = append(runs, run)
		return true
	}, id)
	if err != nil {
		return nil, at, err
	}
	if n := len(runs); n > 0 {
		at = runs[n-1].Last()
	}
	return runs, at, nil
}

// startOf finds the row of _debros_changes with which the changes behind a position begin, and the position as that of a change.
func (r *reader) startOf(from structs.SQLPosition) (id int64, at structs.SQLPosition, err error) {
	var floor structs.SQLPosition
	n, err := r.ask(`SELECT i.value, s.value FROM _debros_meta i, _debros_meta s WHERE i.key = 'changes-index' AND s.key = 'changes-seq'`, func(s *sqlite.Stmt) bool {
		floor = structs.SQLPosition{Index: uint64(s.Int64(0)), Seq: uint64(s.Int64(1))}
		return false
	})
	switch {
	case err != nil:
		return 0, at, err
	case n == 0:
		return 0, at, structs.Errorf(structs.KindConflict, "the changes of this database are not kept")
	case from == structs.SQLPosition{} || from == floor:
		return 0, floor, nil
	case from.Before(floor):
		return 0, at, structs.Errorf(structs.KindGone, "the changes behind %s are no longer kept: those behind %s are", from, floor)
	}
	// The last run that begins at or before the position.
	var last structs.SQLPosition
	var first uint64
	n, err = r.ask(`SELECT id, idx, first, count FROM _debros_changes WHERE (idx, first) <= (?, ?) AND part = 0 ORDER BY idx DESC, first DESC LIMIT 1`, func(s *sqlite.Stmt) bool {
		id, first = s.Int64(0), uint64(s.Int64(2))
		last = structs.SQLPosition{Index: uint64(s.Int64(1)), Seq: first + uint64(s.Int64(3)) - 1}
		return false
	}, int64(from.Index), int64(from.Seq))
	if err != nil {
		return 0, at, err
	}
	if n == 0 {
		last = floor
	}
	switch {
	case from.Seq > 0 && from.Seq != structs.SQLWholeEntry && (n == 0 || last.Index != from.Index || last.Seq < from.Seq):
		// The database was restored to an earlier state, or the position comes from another one.
		return 0, at, structs.Errorf(structs.KindGone, "%s is no position of this database's changes: it has another history by now", from)
	case n == 0:
		return 0, floor, nil
	case last.Index == from.Index && from.Seq < last.Seq:
		return id, from, nil
	}
	return id + 1, last, nil // its further parts are passed over
}
