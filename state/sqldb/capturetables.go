package sqldb

import (
	"fmt"
	"strings"

	"github.com/debros/debros/state/sqldb/sqlite"
	"github.com/debros/debros/structs"
)

// loadTables reads which tables there are. SQLite's own tables, ours and those of virtual tables are not captured, except for
// the rows of FTS5 tables, which are in a table beside them.
func (c *capture) loadTables(w *writer) error {
	c.tables = map[string]*capturedTable{}
	shadows := map[string]*capturedTable{}
	virtual := map[string]*capturedTable{}
	var all []*capturedTable
	_, err := w.ask(`SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main'`, func(s *sqlite.Stmt) bool {
		t := &capturedTable{SQLChangeTable: structs.SQLChangeTable{Name: string(s.Bytes(0)), WithoutRowID: s.Int64(2) != 0}}
		switch string(s.Bytes(1)) {
		case "table":
			if reserved(t.Name) != nil || strings.HasPrefix(t.Name, "sqlite_") {
				return true
			}
			c.tables[t.Name] = t
		case "shadow":
			shadows[t.Name] = t
		case "virtual":
			virtual[t.Name] = t
		default:
			return true
		}
		all = append(all, t)
		return true
	})
	if err != nil {
		return fmt.Errorf("read the tables: %w", err)
	}
	for _, t := range all {
		_, err := w.ask(`SELECT name, type, pk, hidden, cid FROM pragma_table_xinfo(?) ORDER BY cid`, func(s *sqlite.Stmt) bool {
			t.addColumn(s)
			return true
		}, t.Name)
		if err != nil && (virtual[t.Name] == nil || refusalOf(err) == nil) { // one that cannot be connected is refused where it is used
			return fmt.Errorf("read the columns of table %s: %w", t.Name, err)
		}
	}
	for name, t := range virtual {
		if content := shadows[name+"_content"]; content != nil && t.storedIn(content) {
			c.tables[name+"_content"] = t
		}
	}
	return nil
}

// addColumn adds the column of the current row, unless it is not stored.
func (t *capturedTable) addColumn(s *sqlite.Stmt) {
	const virtualTableHidden, virtualGenerated = 1, 2
	if hidden := s.Int64(3); hidden == virtualTableHidden || hidden == virtualGenerated {
		return
	}
	if pk := int(s.Int64(2)); pk > 0 && t.WithoutRowID {
		for len(t.Key) < pk {
			t.Key = append(t.Key, 0)
		}
		t.Key[pk-1] = len(t.Columns)
	}
	t.Columns = append(t.Columns, string(s.Bytes(0)))
	t.columns = append(t.columns, capturedColumn{number: int(s.Int64(4)), real: realAffinity(string(s.Bytes(1)))})
}

// storedIn finds the columns of an FTS5 table in the table of its content: id, c0, c1, … One without content of
// its own has no such table, or not all of the columns.
func (t *capturedTable) storedIn(content *capturedTable) bool {
	if len(content.Columns) < 1+len(t.Columns) || content.Columns[0] != "id" {
		return false
	}
	for i := range t.Columns {
		if content.Columns[1+i] != fmt.Sprintf("c%d", i) {
			return false
		}
		t.columns[i] = content.columns[1+i]
	}
	return true
}

// realAffinity is SQLite's rule for a declared type: such a column's whole numbers are stored as integers, but are reals.
func realAffinity(declared string) bool {
	d := strings.ToUpper(declared)
	for _, other := range []string{"INT", "CHAR", "CLOB", "TEXT", "BLOB"} {
		if strings.Contains(d, other) {
			return false
		}
	}
	return strings.Contains(d, "REAL") || strings.Contains(d, "FLOA") || strings.Contains(d, "DOUB")
}
