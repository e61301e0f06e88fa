package sqldb

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/debros/debros/internal/sqltext"
	"github.com/debros/debros/state/sqldb/sqlite"
	"github.com/debros/debros/structs"
)

// Dump writes the database as SQL text that makes it anew, as the sqlite3 program's .dump does; with tables only those.
// A table that is not there is a *structs.Error, before the first byte.
func (p *Pin) Dump(ctx context.Context, tables []string, w io.Writer) error {
	p.r.ctx = ctx
	defer func() { p.r.ctx = nil }()
	d := &dumper{r: p.r, w: bufio.NewWriterSize(w, 64<<10), whole: len(tables) == 0}
	if err := d.plan(tables); err != nil {
		return err
	}
	if err := d.run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	return d.w.Flush()
}

// dumped is a table of a dump.
type dumped struct {
	object
	virtual   bool
	columns   []string // that can be written, quoted
	generated bool
}

type dumper struct {
	r      *reader
	w      *bufio.Writer
	whole  bool
	tables []*dumped
	after  []object // indexes, triggers, views
	stats  bool
	seq    bool
}

// plan reads the schema.
func (d *dumper) plan(wanted []string) error {
	all, err := d.r.objects()
	if err != nil {
		return fmt.Errorf("dump database: %w", err)
	}
	kinds := map[string]string{}
	_, err = d.r.ask(`SELECT name, type FROM pragma_table_list WHERE schema = 'main'`, func(s *sqlite.Stmt) bool {
		kinds[string(s.Bytes(0))] = string(s.Bytes(1))
		return true
	})
	if err != nil {
		return fmt.Errorf("dump database: %w", err)
	}
	named := func(name string) bool {
		return d.whole || slices.ContainsFunc(wanted, func(w string) bool { return strings.EqualFold(w, name) })
	}
	for _, w := range wanted {
		if !slices.ContainsFunc(all, func(o object) bool { return (o.kind == "table" || o.kind == "view") && strings.EqualFold(o.name, w) }) {
			return structs.Errorf(structs.KindInvalid, "no such table: %s", w)
		}
	}
	for _, o := range all {
		switch {
		case strings.HasPrefix(o.table, ownPrefix) || !named(o.table):
		case o.name == "sqlite_sequence":
			d.seq = d.whole
		case isOfSQLite(o):
			d.stats = d.whole
		case o.kind == "table" && kinds[o.name] != "shadow":
			d.tables = append(d.tables, &dumped{object: o, virtual: kinds[o.name] == "virtual"})
		case o.kind != "table" && o.sql != "":
			d.after = append(d.after, o)
		}
	}
	for _, t := range d.tables {
		_, err := d.r.ask(`SELECT name, hidden FROM pragma_table_xinfo(?)`, func(s *sqlite.Stmt) bool {
			switch hidden := s.Int64(1); {
			case hidden == 0:
				t.columns = append(t.columns, quote(string(s.Bytes(0))))
			case hidden > 1:
				t.generated = true
			}
			return true
		}, t.name)
		if err != nil {
			return fmt.Errorf("dump database: %w", err)
		}
	}
	return nil
}

func (d *dumper) run() error {
	d.w.WriteString("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n")
	for _, t := range d.tables {
		d.w.WriteString(t.sql + ";\n")
	}
	for _, t := range d.tables {
		if insert, query := t.rows(); query != "" {
			if err := d.rows(insert, query); err != nil {
				return fmt.Errorf("dump table %s: %w", t.name, err)
			}
		}
	}
	if d.seq { // behind the rows, which write to it
		d.w.WriteString("DELETE FROM sqlite_sequence;\n")
		if err := d.rows("INSERT INTO sqlite_sequence VALUES(", "SELECT name, seq FROM sqlite_sequence"); err != nil {
			return fmt.Errorf("dump sqlite_sequence: %w", err)
		}
	}
	for _, t := range d.tables {
		if content := ftsContent.FindStringSubmatch(t.sql); t.virtual && content != nil {
			if strings.Trim(content[1], `'"`) == "" {
				d.w.WriteString("-- " + quote(t.name) + " keeps no text: what it had indexed is not in this file\n")
				continue
			}
			d.w.WriteString("INSERT INTO " + quote(t.name) + "(" + quote(t.name) + ") VALUES('rebuild');\n")
		}
	}
	for _, o := range d.after {
		d.w.WriteString(o.sql + ";\n")
	}
	for _, pragma := range []string{"user_version", "application_id"} {
		var n int64
		_, err := d.r.ask("PRAGMA "+pragma, func(s *sqlite.Stmt) bool { n = s.Int64(0); return false })
		if err != nil {
			return err
		}
		if n != 0 && d.whole {
			fmt.Fprintf(d.w, "PRAGMA %s=%d;\n", pragma, n)
		}
	}
	if d.stats {
		d.w.WriteString("ANALYZE;\n")
	}
	_, err := d.w.WriteString("COMMIT;\n")
	return err
}

var (
	virtualModule = regexp.MustCompile(`(?is)\busing\s+([a-z0-9_]+)`)
	ftsContent    = regexp.MustCompile(`(?is)\bcontent\s*=\s*('[^']*'|"[^"]*"|[^,)\s]*)`)
)

// rows is how a row begins, and the query for all of them; "" where there are none to keep.
func (t *dumped) rows() (insert, query string) {
	into, columns := "INSERT INTO "+quote(t.name), t.columns
	if len(columns) == 0 {
		return "", ""
	}
	if t.virtual {
		m := virtualModule.FindStringSubmatch(t.sql)
		if m == nil || strings.EqualFold(m[1], "fts5vocab") || ftsContent.MatchString(t.sql) {
			return "", "" // its rows are another table's
		}
		if strings.EqualFold(m[1], "fts5") {
			columns = append([]string{"rowid"}, columns...)
		}
	}
	names := strings.Join(columns, ", ")
	if t.virtual || t.generated {
		into += "(" + names + ")"
	}
	query = "SELECT " + names + " FROM " + quote(t.name)
	if !t.virtual { // in the order of the table, whatever indexes there are
		query += " NOT INDEXED"
	}
	return into + " VALUES(", query
}

func (d *dumper) rows(insert, query string) error {
	d.r.trusted = true
	defer func() { d.r.trusted = false }()
	s, _, err := d.r.Prepare(query)
	if err != nil {
		return err
	}
	defer s.Finalize()
	var line []byte
	for {
		more, err := s.Step()
		if err != nil || !more {
			return err
		}
		line = append(line[:0], insert...)
		for i := range s.Columns() {
			if i > 0 {
				line = append(line, ',')
			}
			line = sqltext.AppendValue(line, value(s, i))
		}
		if _, err := d.w.Write(append(line, ");\n"...)); err != nil {
			return err
		}
	}
}

func value(s *sqlite.Stmt, i int) any {
	switch s.Type(i) {
	case sqlite.Integer:
		return s.Int64(i)
	case sqlite.Float:
		return s.Float(i)
	case sqlite.Text:
		return string(s.Bytes(i))
	case sqlite.Blob:
		return s.Bytes(i)
	}
	return nil
}
