package sqldb

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/debros/debros/structs"
)

// mirror is what a program has of a replica's tables that follows the changes: for each table, rows by their identity.
type mirror struct {
	t    *testing.T
	of   *replica
	at   structs.SQLPosition
	rows map[string]map[string]string
	n    int // changes that were compared
}

func newMirror(t *testing.T, of *replica) *mirror {
	m := &mirror{t: t, of: of}
	_, m.at = of.feed(structs.SQLPosition{}, 1<<20)
	m.rows = m.read()
	t.Cleanup(func() { t.Logf("%d changes mirrored", m.n) })
	return m
}

// read reads all tables anew.
func (m *mirror) read() map[string]map[string]string {
	all := map[string]map[string]string{}
	for line := range strings.SplitSeq(m.of.query(`SELECT t.name, t.wr, group_concat('"' || x.name || '"', ', ' ORDER BY cid), group_concat('"' || x.name || '"', ', ' ORDER BY pk) FILTER (WHERE pk)
		FROM pragma_table_list t JOIN pragma_table_xinfo(t.name) x
		WHERE t.schema = 'main' AND (t.type = 'table' OR t.name IN (SELECT name FROM sqlite_schema WHERE name = 'ft' AND sql NOT LIKE '%content%')) AND x.hidden IN (0, 3) AND t.name NOT LIKE '\_debros%' ESCAPE '\' AND t.name NOT LIKE 'sqlite%' GROUP BY t.name`), "\n") {
		f := strings.Split(line, "|")
		if len(f) != 4 {
			continue
		}
		name, columns, key := unquoted(f[0]), unquoted(f[2]), "rowid"
		if f[1] == "1" {
			key = unquoted(f[3])
		}
		all[name] = map[string]string{}
		keys := strings.Split(m.of.query("SELECT "+key+" FROM "+name+" ORDER BY "+key), "\n")
		for i, row := range strings.Split(m.of.query("SELECT "+columns+" FROM "+name+" ORDER BY "+key), "\n") {
			if keys[i] != "" {
				all[name][keys[i]] = row
			}
		}
	}
	return all
}

func unquoted(s string) string {
	s = strings.TrimSuffix(strings.TrimPrefix(s, `"`), `"`)
	return strings.ReplaceAll(s, `\"`, `"`)
}

// follow takes the changes of an entry, which must be the same on the other replicas and lead to the rows that are there.
// Where the schema changed the mirror is made anew.
func (m *mirror) follow(entry []*structs.SQLRequest, others ...*replica) {
	m.t.Helper()
	list, _ := m.of.feed(m.at, 1<<20)
	for _, r := range others {
		if theirs, _ := r.feed(m.at, 1<<20); !slices.Equal(list, theirs) {
			same(m.t, "changes", list, theirs)
			m.t.Fatalf("entry %d: replicas tell different changes", m.of.index)
		}
	}
	runs, at, err := m.of.db.Changes(context.Background(), m.at, 1<<30)
	if err != nil {
		m.t.Fatal(err)
	}
	m.at = at
	schema := slices.ContainsFunc(list, func(s string) bool { return strings.HasPrefix(s, "schema ") })
	for i := range runs {
		if err := runs[i].Each(func(c *structs.SQLChange) error {
			if schema {
				return nil
			}
			m.n++
			return m.apply(c)
		}); err != nil {
			m.explain(entry, list)
			m.t.Fatalf("entry %d: %v", m.of.index, err)
		}
	}
	now := m.read()
	if !schema && !maps.EqualFunc(now, m.rows, maps.Equal) {
		m.explain(entry, list)
		for name := range now {
			if !maps.Equal(now[name], m.rows[name]) {
				m.t.Logf("table %s: %v, not %v", name, m.rows[name], now[name])
			}
		}
		m.t.Fatalf("entry %d: the changes lead to other rows", m.of.index)
	}
	m.rows = now
}

func (m *mirror) explain(entry []*structs.SQLRequest, list []string) {
	for _, r := range entry {
		m.t.Log(describe(r))
	}
	m.t.Log(strings.Join(list, "\n"))
}

func (m *mirror) apply(c *structs.SQLChange) error {
	rows := m.rows[c.TableName()]
	if rows == nil {
		return fmt.Errorf("a change of the unknown table %s", c.TableName())
	}
	if c.Op != structs.SQLInserted {
		key := m.key(c, c.RowID, c.Old)
		if old, ok := rows[key]; !ok || old != showRow(m.t, c.Old) {
			return fmt.Errorf("%s: row %s was %q", showChange(m.t, c), key, old)
		}
		delete(rows, key)
	}
	if c.Op != structs.SQLDeleted {
		key := m.key(c, c.NewRowID, c.New)
		if _, ok := rows[key]; ok {
			return fmt.Errorf("%s: row %s is there already", showChange(m.t, c), key)
		}
		rows[key] = showRow(m.t, c.New)
	}
	return nil
}

func (m *mirror) key(c *structs.SQLChange, rowid int64, row structs.SQLRow) string {
	if !c.Table.WithoutRowID {
		return fmt.Sprint(rowid)
	}
	values, err := row.Values()
	if err != nil {
		m.t.Fatal(err)
	}
	var key structs.SQLRow
	for _, k := range c.Table.Key {
		key = key.Append(values[k])
	}
	return showRow(m.t, key)
}
