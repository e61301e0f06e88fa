package sqldb

import (
	"github.com/debros/debros/state/sqldb/sqlite"
	"github.com/debros/debros/structs"
	lib "modernc.org/sqlite/lib"
)

// What RETURNING may give when the request does not say.
const (
	rowsDefault  = 10_000
	bytesDefault = 4 << 20
	// statementWork is what a statement costs beside its steps, so that many small ones are work too.
	statementWork = 50
)

// outcome is how the execution of a compiled statement ended.
type outcome struct {
	refusal *structs.Error
	undo    bool // SQLite is content, we are not: what it did must be taken back
}

// statement runs the SQL text of one statement, which may be several: they stand or fall together, and the last
// one's result is the result. isLost: the transaction must be rebuilt without it.
func (tx *Tx) statement(x *run, i int, res *structs.SQLResult) (isLost bool, err error) {
	w, st := tx.db.w, &x.r.Statements[i]
	w.draws.statement, w.draws.source = i, nil
	savepoint, position, bound, before := false, 0, 0, w.capture.mark()
	for sql := st.SQL; ; position++ {
		p, refusal, err := w.prepare(sql)
		if err != nil {
			return false, err
		}
		out, rest := outcome{refusal: refusal}, ""
		if refusal == nil {
			if p.Stmt == nil {
				break
			}
			if rest = sql[len(sql)-p.tail:]; blank(rest) {
				rest = ""
			}
			if position == 0 && (rest != "" || tx.undoable(p)) {
				if err := w.do("SAVEPOINT statement"); err != nil {
					return false, err
				}
				savepoint = true
			}
			*res = structs.SQLResult{}
			out, err = tx.execute(x, p, sql[:len(sql)-p.tail], st, &bound, res)
			if x.flushes && out.refusal == nil && err == nil {
				out, err = tx.flush()
			}
			if err != nil {
				return false, err
			}
			w.forget(p, sql)
		}
		if out.refusal == nil && rest != "" {
			sql = rest
			continue
		}
		if out.refusal != nil {
			*res = structs.SQLResult{Err: out.refusal}
		}
		if w.Autocommit() {
			return true, nil
		}
		switch {
		case out.undo && !savepoint, out.refusal != nil && position > 0 && x.stats:
			return true, nil
		case out.undo, out.refusal != nil && position > 0:
			w.capture.cut(before)
			return false, w.undo("statement")
		case savepoint:
			err = w.do("RELEASE statement")
		}
		if err == nil && out.refusal != nil && w.virtual {
			err = w.renew()
		}
		return false, err
	}
	if savepoint {
		return false, w.do("RELEASE statement")
	}
	return false, nil
}

// undoable reports whether a statement may have to be taken back although SQLite finished it.
func (tx *Tx) undoable(p *prepared) bool {
	return !p.readOnly && (len(p.columns) > 0 || p.intent.sequence || p.intent.alter || tx.db.o.ForeignKeys)
}

// forget drops what the statement just run made stale. A compiled statement must never be found stale by
// SQLite itself: compiling it again would cost steps on a replica that has it cached, and none on another.
func (w *writer) forget(p *prepared, sql string) {
	if p.intent.schema {
		w.cache.clear()
		return
	}
	w.cache.trim(sql)
}

// execute runs one compiled statement, whose text is sql. bound counts the positional arguments that the statements before it took.
func (tx *Tx) execute(x *run, p *prepared, sql string, st *structs.SQLStatement, bound *int, res *structs.SQLResult) (outcome, error) {
	w := tx.db.w
	in := p.intent
	used, refusal, err := p.bind(st, *bound)
	*bound += used
	if refusal != nil || err != nil {
		return outcome{refusal: refusal}, err
	}
	var def ddl
	if in.schema {
		if def, err = w.beginDDL(sql); err != nil {
			return outcome{}, err
		}
	}
	refusal, tooMuch, err := tx.step(x, p, func() *structs.Error { return x.collect(p, res) })
	x.stats, x.grows = x.stats || in.stats, x.grows || in.grows
	if in.stats && refusal == nil && tooMuch == nil && err == nil {
		err = tx.sortStats(x)
	}
	if in.schema {
		p.done()
		w.changed = true
		if lerr := w.load(); lerr != nil && err == nil {
			err = lerr
		}
		if err == nil && refusal == nil && tooMuch == nil {
			err = w.endDDL(def, &in)
		}
	}
	switch {
	case err != nil:
		return outcome{}, err
	case tooMuch != nil:
		return outcome{refusal: tooMuch, undo: !p.readOnly}, nil
	case w.capture != nil && w.capture.over:
		return outcome{refusal: w.capture.tooMuch(), undo: true}, nil
	case w.maxRowid:
		return outcome{refusal: structs.Errorf(structs.KindInvalid, "the rowid %d is not allowed: SQLite would choose the next one at random", int64(maxInt64)), undo: true}, nil
	case refusal != nil:
		return outcome{refusal: refusal, undo: w.halfDone && !x.r.Transaction}, nil
	}
	if !x.r.Transaction && tx.db.o.ForeignKeys && w.DeferredForeignKeys() {
		return outcome{refusal: brokenForeignKey(), undo: true}, nil
	}
	if refusal, err := w.checkAfter(&in); refusal != nil || err != nil {
		return outcome{refusal: refusal, undo: true}, err
	}
	if in.writes && !in.schema && !p.readOnly {
		res.RowsAffected = w.Changes()
		if in.inserts && w.inserted && res.RowsAffected > 0 {
			res.LastInsertID = w.LastInsertRowID()
		}
	}
	return outcome{}, nil
}

// sortStats puts the rows of the planner's statistics in order: ANALYZE writes them in the order of a hash table of the
// connection, which depends on how it came to know the schema. Samples of one index keep theirs. It leaves no
// trace in what SQL can ask.
func (tx *Tx) sortStats(x *run) error {
	w := tx.db.w
	total, rowid := w.TotalChanges(), w.LastInsertRowID()
	for _, table := range []string{"sqlite_stat1", "sqlite_stat4"} {
		var last int64
		n, err := w.ask("SELECT 1 FROM sqlite_schema WHERE name = ?", nil, table)
		if n == 0 && err == nil {
			continue
		}
		if err == nil {
			_, err = w.ask("SELECT max(rowid) FROM "+table, func(s *sqlite.Stmt) bool {
				last = s.Int64(0)
				return false
			})
		}
		if err == nil {
			err = w.do("INSERT INTO " + table + " SELECT * FROM " + table + " ORDER BY tbl, idx, rowid")
		}
		if err == nil {
			err = w.do("DELETE FROM "+table+" WHERE rowid <= ?", last)
		}
		if err != nil {
			return err
		}
	}
	w.changesBase += w.TotalChanges() - total
	w.SetLastInsertRowID(rowid)
	x.counted = false
	return nil
}

// setsChanges reports whether changes() speaks of p after it ran: SQLite leaves it as it was where p defines something
// or is a PRAGMA, which need not be read only.
func (p *prepared) setsChanges() bool { return p.intent.writes && !p.intent.schema && !p.readOnly }

// checkAfter looks for what the authorizer is not told.
func (w *writer) checkAfter(in *intent) (*structs.Error, error) {
	if in.sequence {
		n, err := w.ask("SELECT 1 FROM sqlite_sequence WHERE "+badSequence, nil)
		if n > 0 || err != nil {
			return structs.Errorf(structs.KindInvalid, "sqlite_sequence.seq must be an integer below %d", int64(maxInt64)), err
		}
	}
	if in.alter {
		n, err := w.ask(`SELECT 1 FROM sqlite_schema WHERE lower(substr(name, 1, 8)) = '_debros_' AND name NOT IN ('_debros_meta', '_debros_replies', '_debros_changes')`, nil)
		if n > 0 || err != nil {
			return reserved(ownPrefix), err
		}
	}
	return nil, nil
}

// step runs p to its end within what is left of the request's budget. row takes the current row and may end the
// execution (tooMuch). refusal is SQLite's; err a local fault.
func (tx *Tx) step(x *run, p *prepared, row func() *structs.Error) (refusal, tooMuch *structs.Error, err error) {
	w := tx.db.w
	if x.left() <= 0 {
		return x.spent(), nil, nil
	}
	if p.intent.counts && !x.counted { // else changes() speaks of an earlier request, or of none on a new connection
		if err := w.do("UPDATE _debros_meta SET value = value WHERE 0"); err != nil {
			return nil, nil, err
		}
	}
	p.Steps()
	if w.virtual {
		w.ZeroSteps()
	}
	w.limit, w.steps, w.over, w.maxRowid, w.inserted, w.wrote = x.left(), 0, false, false, false, false
	w.charge(x.left(), x.r.BytesPerStep)
	w.stepping, w.temp, w.tempMax, w.overTemp = p.Stmt, 0, x.tempMax(), false
	w.running, w.intent = &p.intent, intent{}
	before := w.capture.mark()
	more := true
	for more && err == nil && tooMuch == nil {
		if more, err = p.Step(); more {
			tooMuch = row()
		}
	}
	w.running, w.limit, w.stepping = nil, -1, nil
	// SQLite does not count on the type check of a STRICT table when it decides whether it could have to take back rows.
	w.halfDone = isExtended(err, lib.SQLITE_CONSTRAINT_DATATYPE) && (w.wrote || w.withoutRowID || p.intent.triggers)
	if err != nil && !p.KeptRows() {
		w.capture.cut(before)
	}
	if c := w.capture; c != nil && c.err != nil {
		return nil, nil, c.err
	}
	x.counted = x.counted || p.setsChanges()
	_, overCharged := w.Charged()
	w.lookAtSize()
	x.charged += w.charged()
	x.used += p.Steps() + w.charged() + statementWork
	w.Charge(-1)
	p.done()
	if err == nil {
		return nil, tooMuch, nil
	}
	if (w.over || overCharged) && isCode(err, lib.SQLITE_INTERRUPT) {
		x.used = x.budget()
		return x.spent(), nil, nil
	}
	if w.overTemp && isCode(err, lib.SQLITE_INTERRUPT) {
		return tooMuchTemp(w.tempMax), nil, nil
	}
	if w.intent.refusal != nil {
		return w.intent.refusal, nil, nil
	}
	if refusal = tx.refusalOf(err); refusal != nil {
		return refusal, nil, nil
	}
	return nil, nil, err
}

func tooMuchTemp(max int64) *structs.Error {
	return structs.Errorf(structs.KindTooLarge, "the statement sorts or collects too much: it was stopped after %d bytes", max).
		WithHint("an index spares the sort of ORDER BY, GROUP BY and DISTINCT; or do it in parts")
}

// collect adds the current row to the result.
func (x *run) collect(p *prepared, res *structs.SQLResult) *structs.Error {
	if res.Columns == nil {
		res.Columns, res.Types = p.columns, p.types
	}
	rowsMax, bytesMax := x.r.RowsMax, x.r.BytesMax
	if rowsMax <= 0 {
		rowsMax = rowsDefault
	}
	if bytesMax <= 0 {
		bytesMax = bytesDefault
	}
	if len(res.Rows) >= rowsMax {
		return structs.Errorf(structs.KindTooLarge, "a write may return %d rows", rowsMax).WithHint("read them by a query, which streams")
	}
	row := p.row(nil)
	if x.bytes += len(row); x.bytes > bytesMax {
		return structs.Errorf(structs.KindTooLarge, "a write may return %d bytes", bytesMax).WithHint("read them by a query, which streams")
	}
	res.Rows = append(res.Rows, row)
	return nil
}
