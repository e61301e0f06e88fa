package httpapi

import (
	"encoding/json"

	"github.com/debros/debros/structs"
)

// schemaQuery reads the schema in one statement, so that all of it is of one state.
const schemaQuery = `SELECT m.type, m.name, m.tbl_name, coalesce(m.sql, ''), coalesce(l.type, ''),
	(SELECT coalesce(json_group_array(json_object('name', x.name, 'type', x.type, 'not_null', json(iif(x."notnull", 'true', 'false')), 'default', x.dflt_value,
		'primary_key', x.pk, 'generated', json(iif(x.hidden > 1, 'true', 'false')))), '[]') FROM pragma_table_xinfo(m.name) x WHERE m.type IN ('table', 'view') AND x.hidden <> 1),
	(SELECT coalesce(json_group_array(json_object('from', k."from", 'table', k."table", 'to', k."to", 'on_update', k.on_update, 'on_delete', k.on_delete, 'id', k.id)), '[]')
		FROM pragma_foreign_key_list(m.name) k WHERE m.type = 'table'),
	(SELECT coalesce(json_group_array(i.name), '[]') FROM pragma_index_info(m.name) i WHERE m.type = 'index'),
	coalesce((SELECT u."unique" FROM pragma_index_list(m.tbl_name) u WHERE m.type = 'index' AND u.name = m.name), 0),
	v.schema_version
FROM pragma_schema_version v LEFT JOIN sqlite_schema m ON m.name NOT LIKE '\_debros\_%' ESCAPE '\' AND m.tbl_name NOT LIKE '\_debros\_%' ESCAPE '\'
	LEFT JOIN pragma_table_list l ON l.schema = 'main' AND l.name = m.name AND m.type IN ('table', 'view')
ORDER BY m.rowid`

type schemaTable struct {
	Name        string          `json:"name"`
	Kind        string          `json:"kind"` // table, view or virtual
	SQL         string          `json:"sql"`
	Columns     json.RawMessage `json:"columns"`
	ForeignKeys json.RawMessage `json:"foreign_keys,omitempty"`
	Indexes     []schemaIndex   `json:"indexes,omitempty"`
	Triggers    []schemaTrigger `json:"triggers,omitempty"`
}

type schemaIndex struct {
	Name    string          `json:"name"`
	Unique  bool            `json:"unique"`
	Columns json.RawMessage `json:"columns"`       // null for an expression
	SQL     string          `json:"sql,omitempty"` // none for that of a constraint
}

type schemaTrigger struct {
	Name string `json:"name"`
	SQL  string `json:"sql"`
}

type schemaReply struct {
	Database      string         `json:"database"`
	SchemaVersion int64          `json:"schema_version"`
	Tables        []*schemaTable `json:"tables"`
	Index         uint64         `json:"index"`
}

// sqlSchema describes tables and what hangs on them.
func sqlSchema(c *call) error {
	o, err := c.query()
	if err != nil {
		return err
	}
	if o.Index > 0 || o.PerPage > 0 {
		return invalid("a schema neither blocks nor pages").WithHint("min_index waits for a write")
	}
	name, err := c.database("")
	if err != nil {
		return err
	}
	req := &structs.SQLQueryRequest{QueryOptions: o, Database: name, SQLStatement: structs.SQLStatement{SQL: schemaQuery}}
	if err := c.sqlFreshness(req); err != nil {
		return err
	}
	reply := &schemaReply{Database: name, Tables: []*schemaTable{}}
	if name == "" {
		reply.Database = structs.DefaultDatabase
	}
	var meta *structs.QueryMeta
	byName := map[string]*schemaTable{}
	err = c.sqlRows(req, func(m *structs.QueryMeta) { meta = m }, func(row structs.SQLRow) error {
		v, err := row.Values()
		if err == nil {
			reply.add(v, byName)
		}
		return err
	})
	if err != nil {
		return err
	}
	if meta != nil {
		c.meta(meta)
		reply.Index = meta.Index
	}
	return c.ok(reply)
}

func (r *schemaReply) add(v []structs.SQLValue, byName map[string]*schemaTable) {
	text := func(i int) string { return v[i].Bytes() }
	r.SchemaVersion = v[9].Integer()
	on := byName[text(2)]
	switch kind := text(0); kind {
	case "table", "view":
		if text(4) == "shadow" {
			return
		}
		t := &schemaTable{Name: text(1), Kind: text(4), SQL: text(3), Columns: json.RawMessage(text(5))}
		if keys := text(6); keys != "[]" {
			t.ForeignKeys = json.RawMessage(keys)
		}
		r.Tables, byName[t.Name] = append(r.Tables, t), t
	case "index":
		if on != nil {
			on.Indexes = append(on.Indexes, schemaIndex{text(1), v[8].Integer() != 0, json.RawMessage(text(7)), text(3)})
		}
	case "trigger":
		if on != nil {
			on.Triggers = append(on.Triggers, schemaTrigger{text(1), text(3)})
		}
	}
}

// sqlRows runs a query and calls row for each of its rows, begin before them.
func (c *call) sqlRows(req *structs.SQLQueryRequest, begin func(*structs.QueryMeta), row func(structs.SQLRow) error) error {
	return c.sqlChunks(c.r.Context(), req, func(chunk *structs.SQLChunk) error {
		if chunk.Begin != nil {
			begin(&chunk.Begin.QueryMeta)
		}
		for _, r := range chunk.Rows {
			if err := row(r); err != nil {
				return err
			}
		}
		if chunk.Done != nil && chunk.Done.Err != nil {
			return chunk.Done.Err
		}
		return nil
	})
}
