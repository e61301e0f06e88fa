package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/debros/debros/internal/sqltext"
	"github.com/debros/debros/structs"
)

// migrationsTable remembers migrations; 'debros sql migrate' uses the same.
const migrationsTable = `CREATE TABLE IF NOT EXISTS schema_migrations (name TEXT PRIMARY KEY, sha256 TEXT NOT NULL, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)`

// migrateTries is how often a request begins anew because another one migrates.
const migrateTries = 10

type migration struct {
	Name string `json:"name"`
	SQL  string `json:"sql,omitempty"`
	Done bool   `json:"done"` // before this request
	sum  string
}

// sqlMigrate does the migrations of the body that were not done, in the order of their names, each whole or not at all.
func sqlMigrate(c *call) error {
	body, err := c.sqlBody()
	if err != nil {
		return err
	}
	in, err := decodeMigrations(body)
	if err != nil {
		return err
	}
	name, err := c.database("")
	if err != nil {
		return err
	}
	m := &migrator{c: c, database: name, all: in.Migrations}
	if err := m.check(); err != nil {
		return err
	}
	if err := m.run(in.DryRun); err != nil {
		return err
	}
	applied := []string{}
	for _, one := range m.all {
		one.SQL = ""
		if !one.Done {
			applied = append(applied, one.Name)
		}
	}
	c.index(m.index)
	return c.ok(struct {
		Migrations []*migration `json:"migrations"`
		Applied    []string     `json:"applied"`
		DryRun     bool         `json:"dry_run,omitempty"`
		Index      uint64       `json:"index,omitempty"`
	}{m.all, applied, in.DryRun, m.index})
}

// migrateBody is the body of a request. A field that is not known is refused: "dryrun" would do what it should not.
type migrateBody struct {
	Migrations []*migration `json:"migrations"`
	DryRun     bool         `json:"dry_run"`
}

func decodeMigrations(body []byte) (*migrateBody, error) {
	if !utf8.Valid(body) { // encoding/json would put other characters in their place
		return nil, invalid("the request body is not UTF-8").WithHint("bytes are written as blobs, x'ff', in SQL")
	}
	in := &migrateBody{}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	err := dec.Decode(in)
	if err == nil {
		if _, more := dec.Token(); more != io.EOF {
			err = errors.New("it goes on after its end")
		}
	}
	if err != nil {
		return nil, invalid("the request body is not the JSON expected here: %v", err)
	}
	return in, nil
}

type migrator struct {
	c        *call
	database string
	all      []*migration
	index    uint64
}

func (m *migrator) check() error {
	if len(m.all) == 0 {
		return invalid("the body has no migrations")
	}
	for i, one := range m.all {
		switch {
		case one == nil || one.Name == "":
			return invalid("migration %d has no name", i+1)
		case i > 0 && one.Name <= m.all[i-1].Name:
			return invalid("migration %q does not come after %q: send them in the order of their names", shorten(one.Name), shorten(m.all[i-1].Name))
		}
		sum := sha256.Sum256([]byte(one.SQL))
		one.sum, one.Done = hex.EncodeToString(sum[:]), false
	}
	return nil
}

func (m *migrator) run(dry bool) error {
	done := map[string]bool{} // by this request
	for range migrateTries + len(m.all) {
		last, err := m.compare()
		if err != nil {
			return err
		}
		var next *migration
		for _, one := range m.all {
			if !one.Done && next == nil {
				next = one
			}
		}
		if next == nil || dry {
			for _, one := range m.all {
				one.Done = one.Done && !done[one.Name]
			}
			return nil
		}
		err = m.do(next, last)
		if err != nil && structs.KindOf(err) == structs.KindConflict { // somebody else did it, or another, since we looked
			continue
		}
		if err != nil {
			return err
		}
		done[next.Name] = true
	}
	return structs.Errorf(structs.KindConflict, "somebody else migrates the database at the same time").WithHint("send the request again")
}

// compare marks the migrations that were done, and refuses what does not fit what was.
func (m *migrator) compare() (last string, err error) {
	there, err := m.rows("SELECT count(*), '' FROM sqlite_schema WHERE name = 'schema_migrations'")
	if err != nil || len(there) == 0 || there[0][0].Integer() == 0 {
		return "", err
	}
	rows, err := m.rows("SELECT name, sha256 FROM schema_migrations ORDER BY name")
	if err != nil {
		return "", err
	}
	was := map[string]string{}
	for _, r := range rows {
		last = r[0].Bytes()
		was[last] = r[1].Bytes()
	}
	for _, one := range m.all {
		sum, ok := was[one.Name]
		delete(was, one.Name)
		switch one.Done = ok; {
		case ok && sum != one.sum:
			return "", structs.Errorf(structs.KindConflict, "migration %s is not what it was when it was done", one.Name).WithHint("write a new migration instead of changing an old one")
		case !ok && one.Name < last:
			return "", structs.Errorf(structs.KindConflict, "migration %s was not done, but %s after it was", one.Name, last).WithHint("give it a later name")
		}
	}
	for name := range was {
		return "", structs.Errorf(structs.KindConflict, "migration %s was done and is not among those sent", name)
	}
	return last, nil
}

func (m *migrator) rows(sql string) (rows [][]structs.SQLValue, err error) {
	req := &structs.SQLQueryRequest{Database: m.database, SQLStatement: structs.SQLStatement{SQL: sql}}
	req.Token, req.Namespace, req.Datacenter = m.c.token, m.c.ns, m.c.dc
	return rows, m.c.sqlRows(req, func(*structs.QueryMeta) {}, func(row structs.SQLRow) error {
		values, err := row.Values()
		rows = append(rows, values)
		return err
	})
}

// do is one migration as one transaction, if the last that was done is still the last.
func (m *migrator) do(one *migration, last string) error {
	if last == "" {
		var rep structs.SQLReply
		req := structs.SQLRequest{WriteOptions: m.c.write(), Database: m.database, Statements: []structs.SQLStatement{{SQL: migrationsTable}}}
		if err := m.c.rpc("SQL.Execute", &req, &rep); err != nil {
			return err
		}
	}
	req := structs.SQLRequest{WriteOptions: m.c.write(), Database: m.database, Transaction: true}
	var lines []int
	split := sqltext.NewSplitter(strings.NewReader(one.SQL))
	for split.Next() {
		st := split.Statement()
		skip, err := sqltext.FileOnly(st.Text)
		if err != nil {
			return invalid("migration %s: line %d: %v", one.Name, st.Line, err)
		}
		if !skip {
			req.Statements, lines = append(req.Statements, structs.SQLStatement{SQL: st.Text}), append(lines, st.Line)
		}
	}
	if err := split.Err(); err != nil {
		return invalid("migration %s: %v", one.Name, err)
	}
	req.Statements = append(req.Statements, structs.SQLStatement{
		SQL: "INSERT INTO schema_migrations (name, sha256) VALUES (?, ?)", Args: structs.NewSQLRow(structs.TextValue(one.Name), structs.TextValue(one.sum)),
	})
	req.Guards = []structs.SQLGuard{{
		SQLStatement: structs.SQLStatement{SQL: "SELECT coalesce(max(name), '') FROM schema_migrations"}, First: structs.NewSQLRow(structs.TextValue(last)),
	}}
	var rep structs.SQLReply
	if err := m.c.rpc("SQL.Execute", &req, &rep); err != nil {
		return err
	}
	if failed := rep.Failed(); failed >= 0 {
		e := *rep.Results[failed].Err
		where := ""
		if failed < len(lines) {
			where = fmt.Sprintf(" line %d:", lines[failed])
		}
		e.Kind, e.Message = structs.KindInvalid, fmt.Sprintf("migration %s:%s %s", one.Name, where, e.Message)
		return &e
	}
	m.index = rep.Index
	return nil
}
