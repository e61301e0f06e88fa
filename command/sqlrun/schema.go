package sqlrun

import (
	"context"
	"strings"

	"github.com/debros/debros/api"
)

// notOwn, behind a name, leaves out what the servers keep for themselves in every database.
const notOwn = ` NOT LIKE '\_debros\_%' ESCAPE '\'`

// table is what an export must know of a table.
type table struct {
	name, sql string
	kind      string   // "table", "virtual" or "view" as PRAGMA table_list says it
	columns   []string // that can be written
	generated bool     // it has columns that cannot
	key       []string // the primary key of a table WITHOUT ROWID, in the order of the columns
}

// object is anything in the schema that is no table.
type object struct{ sql string }

// schema is what is in a database, at one version of its schema.
type schema struct {
	version  int64
	user     int64 // user_version
	app      int64 // application_id
	tables   []*table
	after    []object // indexes, triggers and views
	sequence bool     // there is a sqlite_sequence
	analyzed bool
}

// readSchema reads the schema. It takes several queries; who needs them to agree compares the version.
func readSchema(ctx context.Context, db *api.SQL, o *api.QueryOptions) (*schema, error) {
	s := &schema{}
	err := db.QueryRow(ctx, api.Stmt(`SELECT v.schema_version, u.user_version, a.application_id
		FROM pragma_schema_version v, pragma_user_version u, pragma_application_id a`), o, &s.version, &s.user, &s.app)
	if err != nil {
		return nil, err
	}
	kinds, noRowid := map[string]string{}, map[string]bool{}
	err = each(ctx, db, o, `SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' AND name`+notOwn, func(row *api.SQLRow) error {
		var name, kind string
		var wr bool
		err := row.Scan(&name, &kind, &wr)
		kinds[name], noRowid[name] = kind, wr
		return err
	})
	if err != nil {
		return nil, err
	}
	byName := map[string]*table{}
	err = each(ctx, db, o, `SELECT type, name, coalesce(sql, '') FROM sqlite_schema WHERE name`+notOwn+` AND tbl_name`+notOwn+` ORDER BY rowid`, func(row *api.SQLRow) error {
		var kind, name, sql string
		if err := row.Scan(&kind, &name, &sql); err != nil {
			return err
		}
		switch {
		case name == "sqlite_sequence":
			s.sequence = true
		case strings.HasPrefix(name, "sqlite_stat"):
			s.analyzed = true
		case kind == "table" && kinds[name] != "shadow":
			t := &table{name: name, sql: sql, kind: kinds[name]}
			s.tables, byName[name] = append(s.tables, t), t
		case kind != "table" && sql != "": // an index without SQL is a constraint's
			s.after = append(s.after, object{sql})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = each(ctx, db, o, `SELECT m.name, x.name, x.hidden, x.pk FROM sqlite_schema m, pragma_table_xinfo(m.name) x
		WHERE m.type = 'table' AND m.name`+notOwn+` ORDER BY m.rowid, x.cid`, func(row *api.SQLRow) error {
		var name, column string
		var hidden, pk int
		if err := row.Scan(&name, &column, &hidden, &pk); err != nil {
			return err
		}
		t := byName[name]
		if pk > 0 && noRowid[name] && t != nil {
			t.key = append(t.key, column)
		}
		switch {
		case t == nil: // a shadow, or younger than the list of tables
		case hidden == 0:
			t.columns = append(t.columns, column)
		case hidden > 1:
			t.generated = true
		}
		return nil
	})
	return s, err
}

func each(ctx context.Context, db *api.SQL, o *api.QueryOptions, sql string, row func(*api.SQLRow) error) error {
	rows, err := db.Query(ctx, api.Stmt(sql), o)
	if err != nil {
		return err
	}
	for r, err := range rows.All() {
		if err != nil {
			return err
		}
		if err := row(r); err != nil {
			return err
		}
	}
	return nil
}

// Names are the names that a person may type: tables and views, and columns of each.
type Names struct {
	Tables  []string
	Columns map[string][]string
}

// ReadNames reads the names of a database.
func ReadNames(ctx context.Context, db *api.SQL, o *api.QueryOptions) (*Names, error) {
	n := &Names{Columns: map[string][]string{}}
	err := each(ctx, db, o, `SELECT m.name, x.name FROM sqlite_schema m, pragma_table_info(m.name) x
		WHERE m.type IN ('table', 'view') AND m.name`+notOwn+` AND m.name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY m.name, x.cid`, func(row *api.SQLRow) error {
		var table, column string
		if err := row.Scan(&table, &column); err != nil {
			return err
		}
		if len(n.Columns[table]) == 0 {
			n.Tables = append(n.Tables, table)
		}
		n.Columns[table] = append(n.Columns[table], column)
		return nil
	})
	return n, err
}

// Schema gives the CREATE statements whose table, or whose own name, matches a LIKE pattern; "" is all.
func Schema(ctx context.Context, db *api.SQL, o *api.QueryOptions, pattern string, row func(sql string) error) error {
	if pattern == "" {
		pattern = "%"
	}
	rows, err := db.Query(ctx, api.Stmt(`SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND tbl_name`+notOwn+`
		AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND (tbl_name LIKE ?1 OR name LIKE ?1) ORDER BY tbl_name, type = 'table' DESC, rowid`, pattern), o)
	if err != nil {
		return err
	}
	for r, err := range rows.All() {
		var sql string
		if err == nil {
			err = r.Scan(&sql)
		}
		if err == nil {
			err = row(sql)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
