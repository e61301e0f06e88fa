package httpapi

import (
	"cmp"

	"github.com/debros/debros/structs"
)

// sqlBackup sends a database as one SQLite file.
func sqlBackup(c *call) error {
	o, err := c.query()
	if err != nil {
		return err
	}
	if o.Index > 0 || o.PerPage > 0 {
		return invalid("a backup neither blocks nor pages")
	}
	name, err := c.database("")
	if err != nil {
		return err
	}
	var ping structs.StatusReply
	// A ping fills the headers, which come before a file of unknown length.
	if err := c.rpc("Status.Ping", &structs.QueryRequest{QueryOptions: o}, &ping); err != nil {
		return err
	}
	file := cmp.Or(name, structs.DefaultDatabase)
	if !structs.ValidDatabase(file) { // it goes into a header
		return invalid("invalid database name %q", shorten(file))
	}
	out := &lateWriter{c: c, meta: ping.QueryMeta, mediaType: "application/vnd.sqlite3", file: file + ".sqlite"}
	defer c.clearDeadline()
	if err := c.h.b.Stream(c.r.Context(), "SQL.Backup", &structs.SQLBackupRequest{QueryOptions: o, Database: name}, nil, out); err != nil {
		return err // after the first byte this breaks the connection: half a file must not look whole
	}
	if !c.w.started() {
		return structs.Errorf(structs.KindUnavailable, "the server gave no file")
	}
	return nil
}
