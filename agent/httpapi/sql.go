package httpapi

import (
	"net/http"

	"github.com/debros/debros/agent/httpapi/sqljson"
	"github.com/debros/debros/structs"
)

const sqlKnob = "limits.sql_bytes_max"

func sqlRoutes() []route {
	const (
		p     = "/v1/sql/"
		db    = "`db=` the database, `default` without it"
		query = db + "; consistency, also as rqlite's `level=` none, weak, linearizable, strong or auto; with `stale`, `freshness=`: how long ago the server may have heard from the leader, " +
			"and `freshness_strict`: if it knows of entries it has not applied, how old its last one may be; `format=json`"
		queryReply = "NDJSON: `{\"columns\", \"types\"}`, a list per row, `{\"rows\", \"elapsed_ms\", \"index\"}`, or `{\"error\"}` as the last line when the rows before it are not all; " +
			"with `format=json` or Accept: application/json one object `{\"columns\", \"types\", \"rows\", \"index\", \"elapsed_ms\"}`"
		fields   = "\"name\", \"namespace\", \"page_bytes\", \"double_quoted_strings\", \"changes_bytes\", \"create_index\", \"modify_index\""
		database = "`{" + fields + "}`"
	)
	return append([]route{
		{
			method: "POST", pattern: p + "execute", handle: sqlExecute,
			doc:    "Run SQL statements. The same request_id within a day gives the stored reply and does nothing.",
			params: db,
			body: "`{\"statements\": [{\"sql\", \"args\"}], \"transaction\", \"request_id\", \"database\", \"guards\": [{\"sql\", \"args\", \"rows\", \"first\", \"digest\"}]}`; " +
				"a statement may be a string, args are a list or an object of names; guards must all hold, else 409 and nothing is done",
			reply: "`{\"results\": [{\"rows_affected\", \"last_insert_id\", \"columns\", \"types\", \"rows\", \"error\"}], \"index\", \"replayed\"}`; what is zero is left out, a statement's error is in its result",
		},
		{
			method: "POST", pattern: p + "query", handle: sqlQuery, reads: true,
			doc:    "Read by one SQL statement; the rows are streamed.",
			params: query, body: "`{\"sql\", \"args\", \"database\"}`", reply: queryReply,
		},
		{
			method: "GET", pattern: p + "query", handle: sqlQuery,
			doc: "Read by one SQL statement without arguments.", params: "`q=` the statement; " + query, reply: queryReply,
		},
		{
			method: "GET", pattern: p + "backup", handle: sqlBackup,
			doc:    "Download a database as one SQLite file, which any SQLite opens, or as SQL text.",
			params: db + "; consistency; `fmt=sql` SQL text, with `tables=` only those; `vacuum` without free pages and without the servers' own tables; `compress` gzip",
			reply:  "the file; a connection broken off means that it is not whole",
		},
		{
			method: "POST", pattern: p + "restore", handle: sqlRestore,
			doc: "Put a SQLite file in the place of a database, or make a new one of it. The leader checks the file as a whole before anything changes; " +
				"then one entry of the log changes the database on every server.",
			params: db + "; for a new one `double_quoted_strings`, `foreign_keys`", body: "the file, at most limits.snapshot_bytes_max",
			reply: database,
		},
		{
			method: "POST", pattern: p + "import", handle: sqlImport, plain: true,
			doc: "Run SQL text as it comes, however long, hundreds of statements at a time as one transaction. BEGIN, COMMIT and PRAGMA are left out, except user_version and application_id; " +
				"an error names the line, and the transactions before it stay.",
			params: db, body: "the text, at most limits.snapshot_bytes_max", reply: "`{\"statements\", \"skipped\", \"transactions\", \"index\"}`",
		},
		{
			method: "POST", pattern: p + "migrate", handle: sqlMigrate,
			doc: "Do the migrations that were not done, in the order of their names, each whole or not at all and once, whoever sends them at the same time. The table schema_migrations remembers them; " +
				"409 when what was done is not what is sent.",
			params: db, body: "`{\"migrations\": [{\"name\", \"sql\"}], \"dry_run\"}`, all there ever were",
			reply: "`{\"migrations\": [{\"name\", \"done\"}], \"applied\", \"index\"}`; done: before this request",
		},
		{
			method: "GET", pattern: p + "schema", handle: sqlSchema,
			doc: "Describe tables and views with their columns, indexes, foreign keys and triggers.", params: db + "; consistency",
			reply: "`{\"database\", \"schema_version\", \"tables\": [{\"name\", \"kind\", \"sql\", \"columns\": [{\"name\", \"type\", \"not_null\", \"default\", \"primary_key\", \"generated\"}], " +
				"\"foreign_keys\", \"indexes\", \"triggers\"}], \"index\"}`",
		},
		{
			method: "GET", pattern: p + "databases", handle: sqlDatabaseList,
			doc: "List the databases of the namespace.", params: "blocking and paging",
			reply: "a list of `{" + fields + ", \"size_bytes\", \"applied_index\", \"schema_version\"}`, the last three as the answering server has them",
		},
		{
			method: "POST", pattern: p + "databases", handle: sqlDatabaseCreate,
			doc: "Create a database; 409 when it exists.", body: "`{\"name\", \"page_bytes\" (a power of two from 512 to 65536), \"double_quoted_strings\" (\"x\" may be a string), \"changes_bytes\" (see PATCH)}`",
			reply: database,
		},
		{
			method: "GET", pattern: p + "databases/{name}", handle: sqlDatabaseGet,
			doc: "Read a database; 404 for an unknown one.", params: "blocking", reply: "as in the list",
		},
		{
			method: "PATCH", pattern: p + "databases/{name}", handle: sqlDatabaseChange,
			doc:  "Set how much of a database's changes is kept for /v1/sql/changes.",
			body: "`{\"changes_bytes\"}`: from 1048576 to 68719476736, or 0 for none, which also drops what is kept", reply: database,
		},
		{
			method: "DELETE", pattern: p + "databases/{name}", handle: sqlDatabaseDrop,
			doc: "Drop a database with everything in it.", reply: database,
		},
	}, sqlChangeRoutes(p, db)...)
}

// sqlBodyBytesMax bounds the JSON of statements, as txnBodyBytesMax does that of transactions.
func (l Limits) sqlBodyBytesMax() int64 { return 2*l.SQLBytesMax + 4*smallBodyBytesMax }

func (c *call) sqlBody() ([]byte, error) { return c.body(c.h.limits().sqlBodyBytesMax(), sqlKnob) }

// database is the request's: the parameter's or the body's, which agree where both are given.
func (c *call) database(inBody string) (string, error) {
	name := c.params.Get("db")
	switch {
	case name == "":
		return inBody, nil
	case inBody != "" && inBody != name:
		return "", invalid("the body names database %q, the parameter db %q", shorten(inBody), shorten(name))
	}
	return name, nil
}

func sqlExecute(c *call) error {
	body, err := c.sqlBody()
	if err != nil {
		return err
	}
	req := structs.SQLRequest{WriteOptions: c.write()}
	if err := sqljson.DecodeExecute(body, &req); err != nil {
		return err
	}
	if req.Database, err = c.database(req.Database); err != nil {
		return err
	}
	var rep structs.SQLReply
	if err := c.rpc("SQL.Execute", &req, &rep); err != nil {
		return err
	}
	c.index(rep.Index)
	b, err := sqljson.AppendReply(nil, &rep)
	if err != nil {
		return err
	}
	w := c.jsonWriter()
	c.w.WriteHeader(http.StatusOK)
	return w.end(b)
}

// sqlDatabase is a database as JSON shows it.
type sqlDatabase struct {
	Name                string            `json:"name"`
	Namespace           structs.Namespace `json:"namespace"`
	PageBytes           int               `json:"page_bytes,omitempty"`
	DoubleQuotedStrings bool              `json:"double_quoted_strings,omitempty"`
	ChangesBytes        int64             `json:"changes_bytes,omitempty"`
	CreateIndex         uint64            `json:"create_index"`
	ModifyIndex         uint64            `json:"modify_index"`
	*sqlMeasures
}

// sqlMeasures are one server's.
type sqlMeasures struct {
	SizeBytes     int64  `json:"size_bytes"`
	AppliedIndex  uint64 `json:"applied_index"`
	SchemaVersion int64  `json:"schema_version"`
}

func shownDatabase(d *structs.SQLDatabase, m *sqlMeasures) sqlDatabase {
	return sqlDatabase{d.Name, d.Namespace, d.PageBytes, d.DoubleQuotedStrings, d.ChangesBytes, d.CreateIndex, d.ModifyIndex, m}
}

func measured(i *structs.SQLDatabaseInfo) sqlDatabase {
	return shownDatabase(&i.SQLDatabase, &sqlMeasures{i.SizeBytes, i.AppliedIndex, i.SchemaVersion})
}

func sqlDatabaseList(c *call) error {
	o, err := c.query()
	if err != nil {
		return err
	}
	return sendList(c, o, pager[*structs.SQLDatabaseInfo]{
		fetch: func(o structs.QueryOptions) (page[*structs.SQLDatabaseInfo], error) {
			var rep structs.SQLDatabaseListReply
			err := c.rpc("SQL.Databases", &structs.SQLDatabaseListRequest{QueryOptions: o}, &rep)
			return page[*structs.SQLDatabaseInfo]{rep.QueryMeta, rep.Databases}, err
		},
		size: func(d *structs.SQLDatabaseInfo) int { return len(d.Name) + rowOverhead },
		show: func(d *structs.SQLDatabaseInfo) any { return measured(d) },
	})
}

func sqlDatabaseGet(c *call) error {
	o, err := c.query()
	if err != nil {
		return err
	}
	if c.param == "" {
		return invalid("the path names no database")
	}
	var rep structs.SQLDatabaseListReply
	if err := c.rpc("SQL.Databases", &structs.SQLDatabaseListRequest{QueryOptions: o, Name: c.param}, &rep); err != nil {
		return err
	}
	c.meta(&rep.QueryMeta)
	if len(rep.Databases) == 0 {
		return structs.Errorf(structs.KindNotFound, "database %q does not exist", shorten(c.param))
	}
	return c.ok(measured(rep.Databases[0]))
}

func sqlDatabaseCreate(c *call) error {
	body, err := c.body(smallBodyBytesMax, "")
	if err != nil {
		return err
	}
	d, err := sqljson.DecodeDatabase(body)
	if err != nil {
		return err
	}
	if d.Name == "" {
		return invalid("the body names no database")
	}
	return c.applyDatabase(structs.SQLDatabaseCreate, d)
}

func sqlDatabaseChange(c *call) error {
	body, err := c.body(smallBodyBytesMax, "")
	if err != nil {
		return err
	}
	if c.param == "" {
		return invalid("the path names no database")
	}
	bytes, err := sqljson.DecodeDatabaseChange(body)
	if err != nil {
		return err
	}
	return c.applyDatabase(structs.SQLDatabaseSetChanges, structs.SQLDatabase{Name: c.param, ChangesBytes: bytes})
}

func sqlDatabaseDrop(c *call) error {
	if c.param == "" {
		return invalid("the path names no database")
	}
	return c.applyDatabase(structs.SQLDatabaseDrop, structs.SQLDatabase{Name: c.param})
}

func (c *call) applyDatabase(op structs.SQLDatabaseOp, d structs.SQLDatabase) error {
	var rep structs.SQLDatabaseReply
	if err := c.rpc("SQL.ApplyDatabase", &structs.SQLDatabaseRequest{WriteOptions: c.write(), Op: op, Database: d}, &rep); err != nil {
		return err
	}
	c.index(rep.Index)
	return c.ok(shownDatabase(&rep.Database, nil))
}
