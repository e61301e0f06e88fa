package sqlrun

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/debros/debros/api"
	"github.com/debros/debros/internal/sqltext"
)

// Format is how results are written.
type Format string

// The formats.
const (
	Table Format = "table" // in columns, for people
	JSON  Format = "json"  // each result an array of objects, or an object for a statement without rows
	CSV   Format = "csv"   // RFC 4180 with a header; NULL is empty, a blob is X'hex'
	Line  Format = "line"  // name = value, a line for each
)

// Formats are all formats.
func Formats() []Format { return []Format{Table, JSON, CSV, Line} }

// done writes what a statement without rows did. CSV and lines have no place for that.
func (f Format) done(w io.Writer, r *api.SQLResult) error {
	switch f {
	case JSON:
		_, err := fmt.Fprintf(w, "{\"rows_affected\":%d,\"last_insert_id\":%d}\n", r.RowsAffected, r.LastInsertID)
		return err
	case Table:
		var err error
		switch {
		case r.RowsAffected == 1 && r.LastInsertID != 0:
			_, err = fmt.Fprintf(w, "OK, 1 row, id %d\n", r.LastInsertID)
		case r.RowsAffected == 1:
			_, err = fmt.Fprintln(w, "OK, 1 row")
		default:
			_, err = fmt.Fprintf(w, "OK, %d rows\n", r.RowsAffected)
		}
		return err
	}
	return nil
}

// printer writes one result.
type printer interface {
	row(values []any) error
	end() error
}

func newPrinter(w io.Writer, f Format, columns []string) printer {
	out := bufio.NewWriterSize(w, 32<<10)
	switch f {
	case JSON:
		return newJSONPrinter(out, columns)
	case CSV:
		p := &csvPrinter{w: csv.NewWriter(out), cells: make([]string, len(columns))}
		_ = p.w.Write(columns) // its error stays with the writer
		return p
	case Line:
		return newLinePrinter(out, columns)
	}
	return newTablePrinter(out, columns)
}

// cellText is a value for people.
func cellText(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case string:
		return visible(v)
	case []byte:
		return string(sqltext.AppendValue(nil, v))
	}
	return string(sqltext.AppendValue(nil, v))
}

// Printable is a text of many lines for people, likewise.
func Printable(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		parts := strings.Split(l, "\t")
		for j, p := range parts {
			parts[j] = visible(p)
		}
		lines[i] = strings.Join(parts, "\t")
	}
	return strings.Join(lines, "\n")
}

// visible shows what cannot be printed as a Go string would: nothing steers the terminal.
func visible(s string) string {
	plain := true
	for _, r := range s {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	for s != "" {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
		s = s[n:]
	}
	return b.String()
}

const (
	// The widths of a table's columns are those of its first rows; later rows are written as they come.
	tableRowsMeasured  = 500
	tableBytesMeasured = 1 << 20
	// A cell wider than that does not widen its column.
	tableWidthMax = 60
)

type tablePrinter struct {
	w       *bufio.Writer
	columns []string
	held    [][]string // the first rows; nil when the widths are known
	numeric []bool
	bytes   int
	widths  []int
}

func newTablePrinter(w *bufio.Writer, columns []string) *tablePrinter {
	p := &tablePrinter{w: w, columns: columns, held: [][]string{}, numeric: make([]bool, len(columns))}
	for i := range p.numeric {
		p.numeric[i] = true
	}
	return p
}

func (p *tablePrinter) row(values []any) error {
	cells := make([]string, len(values))
	for i, v := range values {
		cells[i] = cellText(v)
		p.bytes += len(cells[i])
	}
	if p.held == nil {
		return p.write(cells)
	}
	for i, v := range values {
		switch v.(type) {
		case string, []byte:
			p.numeric[i] = false
		}
	}
	p.held = append(p.held, cells)
	if len(p.held) < tableRowsMeasured && p.bytes < tableBytesMeasured {
		return nil
	}
	return p.release()
}

// release writes the rows that were held back to measure them.
func (p *tablePrinter) release() error {
	p.widths = make([]int, len(p.columns))
	names, rules := make([]string, len(p.columns)), make([]string, len(p.columns))
	for i, c := range p.columns {
		names[i] = visible(c)
		p.widths[i] = utf8.RuneCountInString(names[i])
		for _, cells := range p.held {
			if n := utf8.RuneCountInString(cells[i]); n <= tableWidthMax {
				p.widths[i] = max(p.widths[i], n)
			}
		}
		rules[i] = strings.Repeat("-", p.widths[i])
	}
	held := append([][]string{names, rules}, p.held...)
	p.held = nil
	for _, cells := range held {
		if err := p.write(cells); err != nil {
			return err
		}
	}
	return nil
}

func (p *tablePrinter) write(cells []string) error {
	for i, c := range cells {
		pad := max(0, p.widths[i]-utf8.RuneCountInString(c))
		if p.numeric[i] {
			p.w.WriteString(strings.Repeat(" ", pad))
		}
		p.w.WriteString(c)
		if i < len(cells)-1 {
			if !p.numeric[i] {
				p.w.WriteString(strings.Repeat(" ", pad))
			}
			p.w.WriteString("  ")
		}
	}
	return p.w.WriteByte('\n') // the error of any write before it, too
}

func (p *tablePrinter) end() error {
	if p.held != nil {
		if err := p.release(); err != nil {
			return err
		}
	}
	return p.w.Flush()
}

type linePrinter struct {
	w     *bufio.Writer
	names []string // padded on the left
	n     int
}

func newLinePrinter(w *bufio.Writer, columns []string) *linePrinter {
	width := 0
	for _, c := range columns {
		width = max(width, utf8.RuneCountInString(visible(c)))
	}
	p := &linePrinter{w: w}
	for _, c := range columns {
		c = visible(c)
		p.names = append(p.names, strings.Repeat(" ", width-utf8.RuneCountInString(c))+c)
	}
	return p
}

func (p *linePrinter) row(values []any) error {
	if p.n++; p.n > 1 {
		p.w.WriteByte('\n')
	}
	var err error
	for i, v := range values {
		_, err = p.w.WriteString(p.names[i] + " = " + cellText(v) + "\n")
	}
	return err
}

func (p *linePrinter) end() error { return p.w.Flush() }

type csvPrinter struct {
	w     *csv.Writer // its buffer is ours: csv.NewWriter takes a bufio.Writer as it is
	cells []string
}

func (p *csvPrinter) row(values []any) error {
	for i, v := range values {
		switch v := v.(type) {
		case nil:
			p.cells[i] = ""
		case string:
			p.cells[i] = v
		case int64:
			p.cells[i] = strconv.FormatInt(v, 10)
		default:
			p.cells[i] = string(sqltext.AppendValue(nil, v))
		}
	}
	return p.w.Write(p.cells)
}

func (p *csvPrinter) end() error {
	p.w.Flush()
	return p.w.Error()
}
