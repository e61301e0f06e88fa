package httpapi

import (
	"cmp"
	"compress/gzip"
	"io"
	"strings"

	"github.com/debros/debros/structs"
)

// sqlBackup sends a database as one SQLite file, or as SQL text.
func sqlBackup(c *call) error {
	o, err := c.query()
	if err != nil {
		return err
	}
	if o.Index > 0 || o.PerPage > 0 {
		return invalid("a backup neither blocks nor pages")
	}
	return c.backup(o)
}

// dbBackup is rqlite's: by the leader's state unless noleader is given, and of any format that it knows.
func dbBackup(c *call) error {
	o, err := c.query()
	if err != nil {
		return err
	}
	if c.flag("noleader") {
		o.Consistency = structs.Stale
	}
	return c.backup(o)
}

func (c *call) backup(o structs.QueryOptions) error {
	name, err := c.database("")
	if err != nil {
		return err
	}
	req := structs.SQLBackupRequest{QueryOptions: o, Database: name, Vacuum: c.flag("vacuum")}
	switch format := c.params.Get("fmt"); format {
	case "sql":
		req.Text = true
	case "", "binary", "delete": // every file of ours is in the mode that rqlite calls delete
	default:
		return invalid("unknown backup format %q", shorten(format)).WithHint("sql, or nothing for a SQLite file")
	}
	for t := range strings.SplitSeq(c.params.Get("tables"), ",") {
		if t = strings.TrimSpace(t); t != "" {
			req.Tables = append(req.Tables, t)
		}
	}
	if len(req.Tables) > 0 && !req.Text {
		return invalid("tables= is for fmt=sql: a SQLite file is the whole database")
	}
	file := cmp.Or(name, structs.DefaultDatabase)
	if !structs.ValidDatabase(file) { // it goes into a header
		return invalid("invalid database name %q", shorten(file))
	}
	var ping structs.StatusReply
	// A ping fills the headers, which come before a file of unknown length.
	if err := c.rpc("Status.Ping", &structs.QueryRequest{QueryOptions: o}, &ping); err != nil {
		return err
	}
	out := &lateWriter{c: c, meta: ping.QueryMeta, mediaType: "application/vnd.sqlite3", file: file + ".sqlite"}
	if req.Text {
		out.mediaType, out.file = "application/sql", file+".sql"
	}
	if !c.flag("compress") {
		return c.sendBackup(&req, out, out)
	}
	out.mediaType, out.file = "application/gzip", out.file+".gz"
	zip := gzip.NewWriter(out)
	if err := c.sendBackup(&req, out, zip); err != nil {
		return err
	}
	return zip.Close()
}

func (c *call) sendBackup(req *structs.SQLBackupRequest, out *lateWriter, w io.Writer) error {
	defer c.clearDeadline()
	if err := c.h.b.Stream(c.r.Context(), "SQL.Backup", req, nil, w); err != nil {
		return err // after the first byte this breaks the connection: half a file must not look whole
	}
	if w == io.Writer(out) && !c.w.started() {
		return structs.Errorf(structs.KindUnavailable, "the server gave no file")
	}
	return nil
}
