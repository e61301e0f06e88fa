package httpapi

import (
	"fmt"
	"net/http"

	"github.com/debros/debros/internal/sqltext"
	"github.com/debros/debros/structs"
)

const (
	// A batch of an import is one entry of the log: large ones save time, small ones let others write in between.
	importStatementsMax = 500
	importBytesMax      = 512 << 10
)

// sqlImport runs SQL text as it comes, many statements at a time as one transaction.
func sqlImport(c *call) error {
	limit := c.h.limits().SnapshotBytesMax
	const knob = "limits.snapshot_bytes_max"
	if err := c.refuseLong(limit, knob); err != nil {
		return err
	}
	name, err := c.database("")
	if err != nil {
		return err
	}
	defer c.clearDeadline()
	body := &bodyReader{r: http.MaxBytesReader(c.w, c.r.Body, limit)}
	im := &sqlImporter{c: c, database: name}
	err = im.run(sqltext.NewSplitter(body))
	switch {
	case body.err != nil:
		return im.partly(c.bodyError(body.err, limit, knob))
	case err != nil:
		return im.partly(err)
	}
	c.index(im.done.Index)
	return c.ok(im.done)
}

// imported is what an import did.
type imported struct {
	Statements   int64  `json:"statements"`
	Skipped      int64  `json:"skipped,omitempty"`
	Transactions int64  `json:"transactions"`
	Index        uint64 `json:"index"`
}

type sqlImporter struct {
	c        *call
	database string
	pending  []structs.SQLStatement
	lines    []int // where each begins
	bytes    int
	done     imported
}

func (im *sqlImporter) run(split *sqltext.Splitter) error {
	for split.Next() {
		st := split.Statement()
		switch skip, err := sqltext.FileOnly(st.Text); {
		case err != nil:
			return invalid("line %d: %v", st.Line, err)
		case skip:
			im.done.Skipped++
			continue
		}
		if im.bytes+len(st.Text) > importBytesMax || len(im.pending) == importStatementsMax {
			if err := im.send(); err != nil {
				return err
			}
		}
		im.pending, im.lines = append(im.pending, structs.SQLStatement{SQL: st.Text}), append(im.lines, st.Line)
		im.bytes += len(st.Text)
	}
	if err := split.Err(); err != nil {
		return invalid("%v", err)
	}
	return im.send()
}

func (im *sqlImporter) send() error {
	if len(im.pending) == 0 {
		return nil
	}
	req := structs.SQLRequest{WriteOptions: im.c.write(), Database: im.database, Statements: im.pending, Transaction: true}
	var rep structs.SQLReply
	if err := im.c.rpc("SQL.Execute", &req, &rep); err != nil {
		return fmt.Errorf("lines %d to %d: %w", im.lines[0], im.lines[len(im.lines)-1], err)
	}
	if failed := rep.Failed(); failed >= 0 {
		e := *rep.Results[failed].Err
		e.Message = fmt.Sprintf("line %d: %s", im.lines[failed], e.Message)
		return &e
	}
	im.done.Statements += int64(len(im.pending))
	im.done.Transactions++
	im.done.Index = rep.Index
	im.pending, im.lines, im.bytes = im.pending[:0], im.lines[:0], 0
	return nil
}

// partly says how much an import that failed has done.
func (im *sqlImporter) partly(err error) error {
	e := *structs.AsError(err)
	e.Message = fmt.Sprintf("%s (%d statements were imported before)", e.Message, im.done.Statements)
	return &e
}
