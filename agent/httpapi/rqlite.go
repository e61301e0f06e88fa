package httpapi

import (
	"bufio"
	"cmp"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/debros/debros/agent/httpapi/rqlite"
	"github.com/debros/debros/structs"
)

func rqliteRoutes() []route {
	const (
		p          = "/db/"
		forms      = "`db=` the database; `associative`, `blob_array`, `timings`"
		levels     = "`level=` none, weak (default), linearizable, strong or auto; `freshness=` and `freshness_strict` with none; `db_timeout=`"
		statements = "a JSON list of statements, each a string or `[\"sql\", argument, …]`; an object among the arguments has named ones, a list of numbers is a blob"
		results    = "`{\"results\": [{\"columns\", \"types\", \"values\", \"last_insert_id\", \"rows_affected\", \"error\", \"time\"}]}`; the error of a statement is in its result"
		queue      = "`queue` and `wait` change only the form of the reply, `{\"results\": [], \"sequence_number\"}`: the write is done when it comes"
	)
	return []route{
		{
			method: "POST", pattern: p + "execute", handle: dbExecute, basic: true,
			doc: "Run statements, as rqlite does.", params: forms + "; `transaction`; " + queue, body: statements, reply: results,
		},
		{
			method: "GET", pattern: p + "query", handle: dbQuery, basic: true,
			doc: "Read by one statement, as rqlite does.", params: "`q=` the statement; " + forms + "; " + levels, reply: results,
		},
		{
			method: "POST", pattern: p + "query", handle: dbQuery, basic: true, reads: true,
			doc:    "Read, as rqlite does. Each statement is a read of its own, none older than the one before it; `transaction` changes nothing.",
			params: forms + "; " + levels, body: statements, reply: results,
		},
		{
			method: "POST", pattern: p + "request", handle: dbRequest, basic: true,
			doc:    "Run statements that read and write, as rqlite does. All of them go through the log, unless all look like reads.",
			params: forms + "; `transaction`; " + levels, body: statements, reply: results,
		},
		{
			method: "GET", pattern: p + "backup", handle: dbBackup, basic: true,
			doc:    "Download a database, as rqlite gives it: as one SQLite file or as SQL text.",
			params: "`db=` the database; `fmt=sql` SQL text, with `tables=` only those; `vacuum`, `compress`; `noleader` of this server's own state",
			reply:  "the file; a connection broken off means that it is not whole",
		},
		{
			method: "POST", pattern: p + "load", handle: dbLoad, basic: true, plain: true,
			doc: "Run SQL text as sqlite3's .dump writes it, all of it or nothing; its BEGIN, COMMIT and PRAGMA foreign_keys are passed over. " +
				"Or put a SQLite file in the place of the database, as /v1/sql/restore does.",
			params: "`db=` the database", body: "the text, at most limits.sql_bytes_max, or the file", reply: "`{\"results\": [{\"last_insert_id\", \"rows_affected\"}]}` of the last statements that have them, `{\"results\": []}` for a file, or `{\"results\": [{\"error\"}]}` when nothing was loaded",
		},
	}
}

// dbCall is a request of the rqlite dialect.
type dbCall struct {
	*call
	form       rqlite.Form
	statements []structs.SQLStatement
	start      time.Time
}

func (c *call) db() (*dbCall, error) {
	d := &dbCall{
		call: c, start: time.Now(),
		form: rqlite.Form{Associative: c.flag("associative"), BlobArray: c.flag("blob_array"), Timings: c.flag("timings")},
	}
	if c.r.Method == http.MethodGet {
		d.statements = []structs.SQLStatement{{SQL: rqlite.OfShell(c.params.Get("q"))}}
		if d.statements[0].SQL == "" {
			return nil, invalid("the parameter q with the statement is missing")
		}
		return d, nil
	}
	body, err := c.sqlBody()
	if err != nil {
		return nil, err
	}
	if d.statements, err = rqlite.DecodeStatements(body); err != nil {
		return nil, err
	}
	// An empty string is no statement, and has no result.
	kept := d.statements[:0]
	for _, st := range d.statements {
		if st.SQL != "" {
			st.SQL = rqlite.OfShell(st.SQL)
			kept = append(kept, st)
		}
	}
	d.statements = kept
	return d, nil
}

func dbExecute(c *call) error {
	d, err := c.db()
	if err != nil {
		return err
	}
	return d.execute(false)
}

func dbQuery(c *call) error {
	d, err := c.db()
	if err != nil {
		return err
	}
	return d.query()
}

func dbRequest(c *call) error {
	d, err := c.db()
	if err != nil {
		return err
	}
	for _, st := range d.statements {
		if !rqlite.Reads(st.SQL) {
			return d.execute(true)
		}
	}
	return d.query()
}

// execute runs the statements through the log. withRows also gives the rows of those that only read.
func (d *dbCall) execute(withRows bool) error {
	var rep structs.SQLReply
	if len(d.statements) > 0 {
		req := structs.SQLRequest{
			WriteOptions: d.write(), Database: d.params.Get("db"), Statements: d.statements, Transaction: d.flag("transaction"),
		}
		if err := d.rpc("SQL.Execute", &req, &rep); err != nil {
			return err
		}
		d.index(rep.Index)
	}
	w := d.jsonWriter()
	d.w.WriteHeader(http.StatusOK)
	if d.flag("queue") {
		b := append([]byte(`{"results":[],"sequence_number":`), strconv.FormatUint(rep.Index, 10)...)
		return w.end(append(d.form.AppendTook(b, time.Since(d.start)), '}'))
	}
	took := time.Since(d.start)
	b := []byte(`{"results":[`)
	for i := range rep.Results {
		res := &rep.Results[i]
		if i > 0 {
			b = append(b, ',')
		}
		if !withRows && res.Err == nil && rqlite.Reads(d.statements[i].SQL) {
			res = &structs.SQLResult{}
		}
		if len(res.Columns) == 0 {
			b = d.form.AppendWrite(b, res, took)
		} else {
			rows := d.form.Rows(res.Columns, res.Types)
			var err error
			if b, err = rows.Append(b, res.Rows); err != nil {
				return err
			}
			b = rows.End(b, nil, took)
		}
		var err error
		if b, err = w.full(b); err != nil {
			return err
		}
	}
	return w.end(append(d.form.AppendTook(append(b, ']'), time.Since(d.start)), '}'))
}

func (c *call) dbLoadFile(file *bufio.Reader) error {
	start, form := time.Now(), rqlite.Form{Timings: c.flag("timings")}
	rep, err := c.restoreFile(file, structs.SQLDatabase{Name: c.params.Get("db")})
	if err != nil {
		return err
	}
	c.index(rep.Index)
	w := c.jsonWriter()
	c.w.WriteHeader(http.StatusOK)
	return w.end(append(form.AppendTook([]byte(`{"results":[]`), time.Since(start)), '}'))
}

// loaded is the one result of SQL text that was loaded: SQLite keeps the last rowid and the last count until another statement sets them.
func loaded(results []structs.SQLResult) *structs.SQLResult {
	last := &results[len(results)-1]
	if last.Err != nil {
		return last
	}
	sum := &structs.SQLResult{}
	for i := range results {
		sum.LastInsertID = cmp.Or(results[i].LastInsertID, sum.LastInsertID)
		sum.RowsAffected = cmp.Or(results[i].RowsAffected, sum.RowsAffected)
	}
	return sum
}

// dbLoad answers with the error that undid everything, if there was one.
func dbLoad(c *call) error {
	file := c.bufferedFile()
	if begin, _ := file.Peek(len(sqliteMagic)); string(begin) == sqliteMagic {
		return c.dbLoadFile(file)
	}
	if limit := c.h.limits().SQLBytesMax; c.r.ContentLength > limit {
		// The body has begun to come: a connection that is closed on it would take the answer away.
		_, _ = io.CopyN(io.Discard, file, 2*limit)
	}
	c.r.Body = io.NopCloser(file)
	text, err := c.body(c.h.limits().SQLBytesMax, sqlKnob)
	if err != nil {
		return err
	}
	d := &dbCall{call: c, start: time.Now(), form: rqlite.Form{Timings: c.flag("timings")}}
	if d.statements, err = rqlite.DecodeDump(string(text)); err != nil {
		return err
	}
	if len(d.statements) == 0 {
		return invalid("no statements")
	}
	req := structs.SQLRequest{WriteOptions: c.write(), Database: c.params.Get("db"), Statements: d.statements, Transaction: true}
	var rep structs.SQLReply
	if err := c.rpc("SQL.Execute", &req, &rep); err != nil {
		return err
	}
	c.index(rep.Index)
	w := c.jsonWriter()
	c.w.WriteHeader(http.StatusOK)
	b := []byte(`{"results":[`)
	b = d.form.AppendWrite(b, loaded(rep.Results), time.Since(d.start))
	return w.end(append(d.form.AppendTook(append(b, ']'), time.Since(d.start)), '}'))
}
