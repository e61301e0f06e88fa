package sqlrun

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/debros/debros/api"
	"github.com/debros/debros/internal/sqltext"
)

const (
	// exportTablesMax: SQLite joins at most 500 SELECTs by UNION ALL.
	exportTablesMax = 490
	// exportTries is how often an export begins anew because the schema changed between two of its queries.
	exportTries = 5
)

var errSchemaChanged = errors.New("the schema changed meanwhile, again and again")

// Export writes a database as SQL text, or those tables whose names match a LIKE pattern if that is not "". The
// stock sqlite3 program reads the text, and so does ImportSQL. The rows of all tables are of one state: one query
// reads them all.
func Export(ctx context.Context, db *api.SQL, o *api.QueryOptions, pattern string, to io.Writer) (rows int64, err error) {
	for range exportTries {
		s, err := readSchema(ctx, db, o)
		if err != nil {
			return 0, err
		}
		if pattern != "" {
			if s, err = s.only(ctx, db, o, pattern); err != nil {
				return 0, err
			}
		}
		e := &exporter{schema: s, whole: pattern == "", w: bufio.NewWriterSize(to, 64<<10)}
		err = e.run(ctx, db, o)
		if !errors.Is(err, errSchemaChanged) { // which comes before anything was written
			return e.rows, err
		}
	}
	return 0, errSchemaChanged
}

// only is the schema with the tables that match, and what hangs on them.
func (s *schema) only(ctx context.Context, db *api.SQL, o *api.QueryOptions, pattern string) (*schema, error) {
	out := &schema{version: s.version}
	st := api.Stmt(`SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND tbl_name LIKE ? ORDER BY rowid`, pattern)
	rows, err := db.Query(ctx, st, o)
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for row, err := range rows.All() {
		var kind, name, sql string
		if err == nil {
			err = row.Scan(&kind, &name, &sql)
		}
		if err != nil {
			return nil, err
		}
		if wanted[name] = true; kind != "table" {
			out.after = append(out.after, object{sql})
		}
	}
	for _, t := range s.tables {
		if wanted[t.name] {
			out.tables = append(out.tables, t)
		}
	}
	if len(wanted) == 0 {
		return nil, fmt.Errorf("no table matches %q", pattern)
	}
	return out, nil
}

type exporter struct {
	*schema
	whole bool
	w     *bufio.Writer
	parts []*part
	rows  int64
	line  []byte
	last  []byte // what the rows of sqlite_sequence become: other rows write to it
}

// part is one SELECT of the query, and what is written before its rows' values.
type part struct {
	columns []string // quoted
	from    string
	insert  string
}

func (e *exporter) run(ctx context.Context, db *api.SQL, o *api.QueryOptions) error {
	if len(e.tables) > exportTablesMax {
		return fmt.Errorf("the database has %d tables; an export takes at most %d", len(e.tables), exportTablesMax)
	}
	e.plan()
	rows, err := db.Query(ctx, api.Stmt(e.query()), o)
	if errors.Is(err, api.ErrInvalid) { // perhaps a table is gone
		var now int64
		if db.QueryRow(ctx, api.Stmt("SELECT schema_version FROM pragma_schema_version"), o, &now) == nil && now != e.version {
			return errSchemaChanged
		}
	}
	if err != nil {
		return err
	}
	first := true
	for row, err := range rows.All() {
		if err != nil {
			return fmt.Errorf("the export is not complete: %w", err)
		}
		if first {
			if row.Values()[1] != any(e.version) {
				rows.Close()
				return errSchemaChanged
			}
			first = false
			e.head()
			continue
		}
		if err := e.row(row.Values()); err != nil {
			rows.Close()
			return err
		}
	}
	if first {
		return errors.New("the export is not complete: the answer is empty")
	}
	e.tail()
	return e.w.Flush()
}

// plan chooses the SELECTs.
func (e *exporter) plan() {
	for _, t := range e.tables {
		if p := t.part(); p != nil {
			e.parts = append(e.parts, p)
		}
	}
	if e.sequence && e.whole {
		e.parts = append(e.parts, &part{columns: []string{"name", "seq"}, from: "sqlite_sequence", insert: "INSERT INTO sqlite_sequence VALUES("})
	}
}

// query is one SELECT for all parts: the part's number, and its columns, padded to as many as the widest has.
func (e *exporter) query() string {
	width := 1
	for _, p := range e.parts {
		width = max(width, len(p.columns))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "SELECT -1, schema_version%s FROM pragma_schema_version", strings.Repeat(", NULL", width-1))
	for i, p := range e.parts {
		fmt.Fprintf(&b, "\nUNION ALL SELECT %d, %s%s FROM %s", i, strings.Join(p.columns, ", "), strings.Repeat(", NULL", width-len(p.columns)), p.from)
	}
	return b.String()
}

var (
	virtualModule = regexp.MustCompile(`(?is)\busing\s+([a-z0-9_]+)`)
	ftsContent    = regexp.MustCompile(`(?is)\bcontent\s*=\s*('[^']*'|"[^"]*"|[^,)\s]*)`)
)

// part is the SELECT for a table's rows; nil where there are none to keep.
func (t *table) part() *part {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = sqltext.Name(c)
	}
	from := sqltext.Name(t.name)
	into := "INSERT INTO " + sqltext.Name(t.name)
	switch {
	case len(names) == 0:
		return nil
	case t.kind == "virtual":
		m := virtualModule.FindStringSubmatch(t.sql)
		if m == nil || strings.EqualFold(m[1], "fts5vocab") || ftsContent.MatchString(t.sql) {
			return nil // its rows are another table's
		}
		if strings.EqualFold(m[1], "fts5") {
			names = append([]string{"rowid"}, names...)
		}
		return &part{columns: names, from: from, insert: into + "(" + strings.Join(names, ", ") + ") VALUES("}
	case t.generated:
		into += "(" + strings.Join(names, ", ") + ")"
	}
	if t.key != nil { // SQLite does not heed NOT INDEXED there
		key := make([]string, len(t.key))
		for i, c := range t.key {
			key[i] = sqltext.Name(c)
		}
		return &part{columns: names, from: "(SELECT * FROM " + from + " ORDER BY " + strings.Join(key, ", ") + ")", insert: into + " VALUES("}
	}
	// NOT INDEXED: in the order of the table, whatever indexes there are.
	return &part{columns: names, from: from + " NOT INDEXED", insert: into + " VALUES("}
}

func (e *exporter) head() {
	e.w.WriteString("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n")
	for _, t := range e.tables {
		e.w.WriteString(t.sql + ";\n")
	}
}

func (e *exporter) row(values []any) error {
	i, ok := values[0].(int64)
	if !ok || i < 0 || int(i) >= len(e.parts) {
		return errors.New("the export is not complete: the answer makes no sense")
	}
	p := e.parts[i]
	e.line = append(e.line[:0], p.insert...)
	for n, v := range values[1 : 1+len(p.columns)] {
		if n > 0 {
			e.line = append(e.line, ',')
		}
		e.line = sqltext.AppendValue(e.line, v)
	}
	e.line = append(e.line, ");\n"...)
	if e.sequence && e.whole && int(i) == len(e.parts)-1 {
		e.last = append(e.last, e.line...)
		return nil
	}
	e.rows++
	_, err := e.w.Write(e.line)
	return err
}

func (e *exporter) tail() {
	if len(e.last) > 0 {
		e.w.WriteString("DELETE FROM sqlite_sequence;\n")
		e.w.Write(e.last)
	}
	for _, t := range e.tables {
		if content := ftsContent.FindStringSubmatch(t.sql); t.kind == "virtual" && content != nil {
			if strings.Trim(content[1], `'"`) == "" {
				e.w.WriteString("-- " + sqltext.Name(t.name) + " keeps no text: what it had indexed is not in this file\n")
				continue
			}
			e.w.WriteString("INSERT INTO " + sqltext.Name(t.name) + "(" + sqltext.Name(t.name) + ") VALUES('rebuild');\n")
		}
	}
	for _, o := range e.after {
		e.w.WriteString(o.sql + ";\n")
	}
	if e.user != 0 {
		fmt.Fprintf(e.w, "PRAGMA user_version=%d;\n", e.user)
	}
	if e.app != 0 {
		fmt.Fprintf(e.w, "PRAGMA application_id=%d;\n", e.app)
	}
	if e.analyzed && e.whole {
		e.w.WriteString("ANALYZE;\n")
	}
	e.w.WriteString("COMMIT;\n")
}
