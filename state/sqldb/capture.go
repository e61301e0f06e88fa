package sqldb

import (
	"fmt"
	"maps"

	"github.com/debros/debros/state/sqldb/sqlite"
	"github.com/debros/debros/structs"
)

// capture gathers what the running transaction changes, in the order in which it does. What is taken back is cut off
// again: whoever takes something back has a mark of before it.
type capture struct {
	keepBytes int64 // of changes, in the database

	tables map[string]*capturedTable // of the present schema, by name; one that is not in it is not captured
	runs   []capturedRun
	count  uint64
	bytes  int64
	limit  int64 // bytes may not be more, or over is set and nothing is gathered any more
	over   bool
	err    error // a local fault that the callback met
	before structs.SQLRow
	after  structs.SQLRow
}

// capturedRun is a run of changes: one value in _debros_changes, or a few.
type capturedRun struct {
	first, count uint64
	data         []byte
	tables       map[*capturedTable]int // that data names, by their numbers in it
}

// capturedTable is a table whose rows are captured, or the table of a virtual table's content, in the virtual one's name.
type capturedTable struct {
	structs.SQLChangeTable
	columns []capturedColumn
}

type capturedColumn struct {
	number int  // in SQLite's table
	real   bool // its integers are reals that SQLite stores so
}

const (
	runBytes = 64 << 10 // a run that has more is closed
	// captureRequestBytesMax bounds what one request may change where changes are kept: it is gathered in memory.
	captureRequestBytesMax = 128 << 20
)

type captureMark struct {
	runs, size, tables int
	count, inRun       uint64
	bytes              int64
}

// mark is where cut can return to. Like cut it does nothing for a nil capture.
func (c *capture) mark() (m captureMark) {
	if c == nil {
		return m
	}
	m = captureMark{runs: len(c.runs), count: c.count, bytes: c.bytes}
	if m.runs > 0 {
		last := &c.runs[m.runs-1]
		m.size, m.inRun, m.tables = len(last.data), last.count, len(last.tables)
	}
	return m
}

// cut forgets what was gathered since the mark.
func (c *capture) cut(m captureMark) {
	if c == nil || c.count == m.count && len(c.runs) == m.runs && !c.over {
		return
	}
	clear(c.runs[m.runs:])
	c.runs, c.count, c.bytes, c.over = c.runs[:m.runs], m.count, m.bytes, false
	if m.runs == 0 {
		return
	}
	last := &c.runs[m.runs-1]
	last.data, last.count = last.data[:m.size], m.inRun
	// Tables that were named since are named again: numbers must stay in order.
	maps.DeleteFunc(last.tables, func(_ *capturedTable, n int) bool { return n >= m.tables })
}

// request begins a request.
func (c *capture) request() {
	if c != nil {
		c.limit = c.bytes + min(c.keepBytes, captureRequestBytesMax)
	}
}

// full reports that the entry has changed so much that its next request is refused. An entry is kept whole, in memory
// first.
func (c *capture) full() bool { return c != nil && c.bytes > min(c.keepBytes, captureRequestBytesMax) }

func (c *capture) tooMuch() *structs.Error {
	return structs.Errorf(structs.KindTooLarge, "the request changes more than is kept of this database's changes").
		WithHint("do it in parts, or have more kept: debros sql database update -changes=SIZE NAME (it may change %d MiB at most)", captureRequestBytesMax>>20)
}

// row is told of each row by SQLite.
func (c *capture) row(r *sqlite.RowChange) {
	t := c.tables[string(r.Table())]
	if t == nil || c.over || c.err != nil {
		return
	}
	var before, after structs.SQLRow
	if r.Op != sqlite.OpInsert {
		c.before, c.err = t.values(c.before[:0], r.Old)
		before = c.before
	}
	if r.Op != sqlite.OpDelete && c.err == nil {
		c.after, c.err = t.values(c.after[:0], r.New)
		after = c.after
	}
	if c.err != nil {
		c.err = fmt.Errorf("capture a change of table %s: %w", t.Name, c.err)
		return
	}
	rowid, newRowID := r.OldRowID, r.NewRowID
	if r.Op == sqlite.OpInsert {
		rowid = newRowID
	}
	c.add(t, rowid, newRowID, before, after)
}

// values appends the stored values of a row.
func (t *capturedTable) values(row structs.SQLRow, value func(int) (sqlite.Value, error)) (structs.SQLRow, error) {
	for _, col := range t.columns {
		v, err := value(col.number)
		if err != nil {
			return row, err
		}
		switch v.Type() {
		case sqlite.Integer:
			if col.real {
				row = row.AppendReal(float64(v.Int64()))
			} else {
				row = row.AppendInteger(v.Int64())
			}
		case sqlite.Float:
			row = row.AppendReal(v.Float())
		case sqlite.Text:
			row = row.AppendText(v.Bytes())
		case sqlite.Blob:
			row = row.AppendBlob(v.Bytes())
		default:
			row = row.AppendNull()
		}
	}
	return row, nil
}

func (c *capture) add(t *capturedTable, rowid, newRowID int64, before, after structs.SQLRow) {
	run := c.run()
	size := len(run.data)
	n, ok := run.tables[t]
	if !ok {
		n = len(run.tables)
		run.tables[t] = n
		run.data = structs.AppendSQLChangeTable(run.data, &t.SQLChangeTable)
	}
	run.data = structs.AppendSQLRowChange(run.data, &t.SQLChangeTable, n, rowid, newRowID, before, after)
	c.added(run, size)
}

// schema adds a change of the schema.
func (c *capture) schema(table, sql string) {
	run := c.run()
	size := len(run.data)
	run.data = structs.AppendSQLSchemaChange(run.data, table, sql)
	c.added(run, size)
}

func (c *capture) added(run *capturedRun, size int) {
	run.count++
	c.count++
	c.bytes += int64(len(run.data) - size)
	c.over = c.bytes > c.limit
}

// run is the one that takes the next change.
func (c *capture) run() *capturedRun {
	if n := len(c.runs); n > 0 && len(c.runs[n-1].data) < runBytes {
		return &c.runs[n-1]
	}
	c.runs = append(c.runs, capturedRun{first: c.count + 1, data: structs.BeginSQLChanges(nil), tables: map[*capturedTable]int{}})
	return &c.runs[len(c.runs)-1]
}

// reset begins a transaction.
func (c *capture) reset() {
	if c != nil {
		clear(c.runs)
		c.runs, c.count, c.bytes, c.over, c.err = c.runs[:0], 0, 0, false, nil
		c.request()
	}
}
