package sqldb

import (
	"fmt"

	"github.com/debros/debros/state/sqldb/sqlite"
	"github.com/debros/debros/structs"
)

// changesSchema is the table of the changes that are kept, in the order of id: runs of structs.SQLChanges, one after the other.
// A run longer than changesPartBytes has several rows, which part numbers. sum is the bytes of all up to and with the row, also
// of those that are gone. It is there while changes are kept, and part of the replicated state as schema is.
const changesSchema = `CREATE TABLE _debros_changes (id INTEGER PRIMARY KEY, idx INTEGER NOT NULL, first INTEGER NOT NULL, part INTEGER NOT NULL, count INTEGER NOT NULL, ms INTEGER NOT NULL, sum INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE (idx, first, part))`

const changesPartBytes = 1 << 20 // well below valueBytesMax

// Keys of _debros_meta while changes are kept: how many bytes of them; and the position up to which none are there.
const (
	metaChanges      = "changes"
	metaChangesIndex = "changes-index"
	metaChangesSeq   = "changes-seq"
)

// loadCapture finds out whether changes are kept and has SQLite tell them.
func (w *writer) loadCapture() error {
	var keep int64
	_, err := w.ask(`SELECT value FROM _debros_meta WHERE key = ?`, func(s *sqlite.Stmt) bool {
		keep = s.Int64(0)
		return false
	}, metaChanges)
	if err != nil {
		return err
	}
	w.setCapture(keep)
	return nil
}

func (w *writer) setCapture(keep int64) {
	switch {
	case keep <= 0:
		w.capture = nil
		w.OnChange(nil)
	case w.capture != nil:
		w.capture.keepBytes = keep
	default:
		c := &capture{keepBytes: keep}
		c.reset()
		w.capture = c
		w.OnChange(func(r *sqlite.RowChange) {
			if w.running != nil { // else it is our own statement that writes
				c.row(r)
			}
		})
	}
}

// SetChanges sets how many bytes of the database's changes are kept, 0 = none. It stands alone in its entry. What was
// kept before stays, unless none are to be kept.
func (tx *Tx) SetChanges(keep int64) error {
	if tx.done {
		return errTxDone
	}
	w := tx.db.w
	err := w.keepChanges(keep, tx.stamp.Index)
	if err != nil {
		return tx.db.localFault("set which changes are kept", err)
	}
	return nil
}

func (w *writer) keepChanges(keep int64, index uint64) error {
	was := w.capture != nil
	w.trusted = true
	defer func() { w.trusted = false }()
	switch {
	case keep <= 0 && !was:
		return nil
	case keep <= 0:
		w.closeOwn() // they may be about the table
		if err := w.Exec(`DROP TABLE _debros_changes; DELETE FROM _debros_meta WHERE key IN ('changes', 'changes-index', 'changes-seq')`); err != nil {
			return err
		}
	default:
		sql := fmt.Sprintf(`INSERT OR REPLACE INTO _debros_meta VALUES ('changes', %d);`, keep)
		if !was {
			sql += fmt.Sprintf(`INSERT OR REPLACE INTO _debros_meta VALUES ('changes-index', %d), ('changes-seq', 0);`, index) + changesSchema
		}
		if err := w.Exec(sql); err != nil {
			return err
		}
	}
	w.setCapture(keep)
	if was == (keep > 0) {
		return nil
	}
	w.cache.clear() // statements are compiled in another way while SQLite tells changes
	w.changed = true
	return w.load()
}

// writeChanges keeps what the transaction changed and drops what is beyond the bound. The entry itself is kept whole, so that
// who follows has a chance to see it.
func (tx *Tx) writeChanges() error {
	w := tx.db.w
	c := w.capture
	if c == nil {
		return nil
	}
	var id, sum int64
	_, err := w.ask(`SELECT id, sum FROM _debros_changes ORDER BY id DESC LIMIT 1`, func(s *sqlite.Stmt) bool {
		id, sum = s.Int64(0), s.Int64(1)
		return false
	})
	for _, run := range c.runs {
		if run.count == 0 { // all of it was taken back
			continue
		}
		for part, rest := int64(0), run.data; len(rest) > 0 && err == nil; part++ {
			piece := rest[:min(len(rest), changesPartBytes)]
			rest = rest[len(piece):]
			id, sum = id+1, sum+int64(len(piece))
			err = w.do(`INSERT INTO _debros_changes (id, idx, first, part, count, ms, sum, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
				id, int64(tx.stamp.Index), int64(run.first), part, int64(run.count), tx.now(), sum, piece)
		}
	}
	if err != nil {
		return err
	}
	return tx.trimChanges(sum - c.keepBytes)
}

// trimChanges drops runs of earlier entries that lie before a sum.
func (tx *Tx) trimChanges(before int64) error {
	w := tx.db.w
	var keep int64 // the first row that is kept
	var last structs.SQLPosition
	trim := false
	_, err := w.ask(`SELECT id, idx, first, part, count, sum FROM _debros_changes ORDER BY id`, func(s *sqlite.Stmt) bool {
		index, whole := uint64(s.Int64(1)), s.Int64(3) == 0
		if whole && (s.Int64(5) > before || index == tx.stamp.Index) {
			keep = s.Int64(0)
			return false
		}
		trim = true
		keep = s.Int64(0) + 1
		last = structs.SQLPosition{Index: index, Seq: uint64(s.Int64(2) + s.Int64(4) - 1)}
		return true
	})
	if err != nil || !trim {
		return err
	}
	err = w.do(`DELETE FROM _debros_changes WHERE id < ?`, keep)
	if err == nil {
		err = w.do(`UPDATE _debros_meta SET value = ? WHERE key = 'changes-index'`, int64(last.Index))
	}
	if err == nil {
		err = w.do(`UPDATE _debros_meta SET value = ? WHERE key = 'changes-seq'`, int64(last.Seq))
	}
	return err
}

// ddl is what a statement that defines something is about, for capture.
type ddl struct {
	version int64  // of the schema before
	sql     string // the statement
}

func (w *writer) schemaVersion() (version int64, err error) {
	_, err = w.ask(`PRAGMA schema_version`, func(s *sqlite.Stmt) bool {
		version = s.Int64(0)
		return false
	})
	return version, err
}

// beginDDL is called before a statement that may change the schema.
func (w *writer) beginDDL(sql string) (d ddl, err error) {
	if w.capture == nil {
		return d, nil
	}
	d.sql = sql
	d.version, err = w.schemaVersion()
	return d, err
}

// endDDL captures what the statement did. SQLite tells nothing of rows that CREATE TABLE … AS SELECT makes: the event has
// the table's definition without the SELECT, and the rows follow as inserts.
func (w *writer) endDDL(d ddl, in *intent) error {
	if w.capture == nil || in.stats {
		return nil
	}
	version, err := w.schemaVersion()
	if err != nil || version == d.version { // IF NOT EXISTS, for example
		return err
	}
	if !in.createsTable || !in.selects {
		w.capture.schema(in.defines, d.sql)
		return nil
	}
	var name, sql string
	_, err = w.ask(`SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND lower(name) = lower(?)`, func(s *sqlite.Stmt) bool {
		name, sql = string(s.Bytes(0)), string(s.Bytes(1))
		return false
	}, in.defines)
	if err != nil {
		return err
	}
	w.capture.schema(name, sql)
	return w.captureAll(name)
}

// captureAll captures the rows of a table that was just made, whose rowids count from 1, as inserts.
func (w *writer) captureAll(name string) error {
	c := w.capture
	t := c.tables[name]
	if t == nil {
		return fmt.Errorf("capture table %s: it is not there", name)
	}
	w.trusted = true
	defer func() { w.trusted = false }()
	s, _, err := w.Prepare("SELECT * FROM " + quote(name) + " NOT INDEXED")
	if err != nil {
		return err
	}
	defer s.Finalize()
	p := &prepared{Stmt: s}
	p.describe()
	for rowid := int64(1); !c.over; rowid++ {
		more, err := s.Step()
		if err != nil || !more {
			return err
		}
		c.after = p.row(c.after[:0])
		c.add(t, rowid, rowid, nil, c.after)
	}
	return nil
}
