package httpapi

import (
	"bufio"
	"io"
	"net/http"

	"github.com/debros/debros/structs"
)

// sqliteMagic begins every SQLite file.
const sqliteMagic = "SQLite format 3\x00"

// sqlRestore puts a SQLite file in the place of a database.
func sqlRestore(c *call) error {
	name, err := c.database("")
	if err != nil {
		return err
	}
	d := structs.SQLDatabase{Name: name, DoubleQuotedStrings: c.flag("double_quoted_strings"), ForeignKeys: c.flag("foreign_keys")}
	rep, err := c.restoreFile(c.bufferedFile(), d)
	if err != nil {
		return err
	}
	c.index(rep.Index)
	return c.ok(shownDatabase(&rep.Database, nil))
}

// bufferedFile is the body, bounded as a file.
func (c *call) bufferedFile() *bufio.Reader {
	return bufio.NewReader(http.MaxBytesReader(c.w, c.r.Body, c.h.limits().SnapshotBytesMax))
}

// restoreFile sends a SQLite file to the leader, which answers when every write after it meets the new database.
func (c *call) restoreFile(file *bufio.Reader, d structs.SQLDatabase) (*structs.SQLDatabaseReply, error) {
	limit := c.h.limits().SnapshotBytesMax
	const knob = "limits.snapshot_bytes_max"
	if err := c.refuseLong(limit, knob); err != nil {
		return nil, err
	}
	if begin, err := file.Peek(len(sqliteMagic)); string(begin) != sqliteMagic {
		if len(begin) == 0 && err == io.EOF {
			return nil, invalid("the request has no file")
		}
		return nil, structs.Errorf(structs.KindInvalid, "this is no SQLite file, or it is encrypted").WithHint("SQL text is for /v1/sql/import")
	}
	defer c.clearDeadline()
	in := &bodyReader{r: file}
	var rep structs.SQLDatabaseReply
	frames := structs.FrameWriter{Frame: func(payload []byte) error { return structs.Decode(payload, &rep) }}
	req := structs.SQLRestoreRequest{QueryOptions: structs.QueryOptions{Token: c.token, Namespace: c.ns, Datacenter: c.dc}, Database: d}
	err := c.h.b.Stream(c.r.Context(), "SQL.Restore", &req, in, &frames)
	switch {
	case err != nil && in.err != nil: // the body is why, whatever became of it on the way
		return nil, c.bodyError(in.err, limit, knob)
	case err != nil:
		return nil, err
	case rep.Index == 0:
		return nil, structs.Errorf(structs.KindUnknownResult, "the server broke off its answer").WithHint("look at the data, and restore again if it is not there")
	}
	return &rep, nil
}
