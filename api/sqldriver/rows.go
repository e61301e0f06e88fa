package sqldriver

import (
	"database/sql/driver"
	"io"
	"strings"

	"github.com/debros/debros/api"
)

// columns are the names and the declared types of a result's columns.
type columns struct {
	names, types []string
	times        []bool // declared as a time
}

func newColumns(names, types []string) columns {
	c := columns{names, types, make([]bool, len(names))}
	for i := range names {
		switch c.ColumnTypeDatabaseTypeName(i) {
		case "DATE", "DATETIME", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP WITHOUT TIME ZONE":
			c.times[i] = true
		}
	}
	return c
}

// Columns implements driver.Rows.
func (c *columns) Columns() []string { return c.names }

// ColumnTypeDatabaseTypeName implements driver.RowsColumnTypeDatabaseTypeName.
func (c *columns) ColumnTypeDatabaseTypeName(i int) string {
	if i >= len(c.types) {
		return ""
	}
	name, _, _ := strings.Cut(c.types[i], "(")
	return strings.ToUpper(strings.TrimSpace(name))
}

// put hands a row to database/sql.
func (c *columns) put(row *api.SQLRow, dest []driver.Value) {
	for i, v := range row.Values() {
		dest[i] = v
		if !c.times[i] {
			continue
		}
		if text, ok := v.(string); ok {
			if t, err := api.ParseSQLTime(text); err == nil {
				dest[i] = t
			}
		}
	}
}

// rows are those of a query, as they come.
type rows struct {
	columns
	r    *api.SQLRows
	seen *read // nil where nobody asks later whether it still holds
}

func newRows(r *api.SQLRows, seen *read) *rows {
	return &rows{newColumns(r.Columns(), r.Types()), r, seen}
}

// Next implements driver.Rows.
func (r *rows) Next(dest []driver.Value) error {
	row, err := r.r.Next()
	if r.seen != nil {
		r.seen.next(row, err)
	}
	if err == nil {
		r.put(row, dest)
	}
	return err
}

// Close implements driver.Rows.
func (r *rows) Close() error {
	if r.seen != nil {
		r.seen.close(r.r)
	}
	return r.r.Close()
}

// returned are the rows of a write.
type returned struct {
	columns
	left []api.SQLRow
}

func newReturned(res *api.SQLResult) *returned {
	return &returned{newColumns(res.Columns, res.Types), res.Rows}
}

// Next implements driver.Rows.
func (r *returned) Next(dest []driver.Value) error {
	if len(r.left) == 0 {
		return io.EOF
	}
	r.put(&r.left[0], dest)
	r.left = r.left[1:]
	return nil
}

// Close implements driver.Rows.
func (r *returned) Close() error {
	r.left = nil
	return nil
}
