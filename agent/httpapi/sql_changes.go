package httpapi

import (
	"mime"
	"strings"

	"github.com/debros/debros/structs"
)

func sqlChangeRoutes(p, db string) []route {
	return []route{{
		method: "GET", pattern: p + "changes", handle: sqlChanges,
		doc: "Read the changes of a database's rows and schema, in the order in which they were made, the same from every agent. 410 when those behind the position are no longer " +
			"kept, 409 when none are kept (PATCH /v1/sql/databases/{name}).",
		params: db + "; consistency; `from=INDEX.SEQ` behind that change, `from=INDEX` behind that entry, `from=now`, all that is kept without it; `table=` (again for more) only these; " +
			"`follow` waits for more at the end; `format=sse` or Accept: text/event-stream, which always follows and heeds Last-Event-ID",
		reply: "NDJSON: `{\"id\", \"time\", \"op\": \"insert\"|\"update\"|\"delete\"|\"schema\", \"table\", \"rowid\" or \"key\", \"new_rowid\", \"old\": {column: value}, \"new\": {…}, \"sql\"}`, " +
			"an id is a position; `{\"control\": \"begin\", \"at\"}` first and `{\"control\": \"heartbeat\", \"at\"}` every 10 s, where `at` is the position to go on from; the last line is `{\"control\": \"end\", \"at\", \"index\"}` or " +
			"`{\"control\": \"cut\", \"at\", \"error\"}`, the latter too for a reader that is slow",
	}}
}

func sqlChanges(c *call) error {
	req, err := c.sqlChangesRequest()
	if err != nil {
		return err
	}
	sse, err := c.wantsEvents()
	if err != nil {
		return err
	}
	if sse {
		req.Follow = true
		if id := c.r.Header.Get("Last-Event-ID"); id != "" {
			if req.From, err = position(id); err != nil {
				return err
			}
			req.Latest = false
		}
	}
	release, err := c.h.watch(c)
	if err != nil {
		return err
	}
	defer release()
	f := &changeFeed{c: c, sse: sse, tables: c.params["table"], batches: make(chan changeBatch, changeBatches)}
	return f.run(req)
}

func (c *call) sqlChangesRequest() (*structs.SQLChangesRequest, error) {
	req := &structs.SQLChangesRequest{Follow: c.flag("follow")}
	var err error
	if req.QueryOptions, err = c.query(); err != nil {
		return nil, err
	}
	if req.Index > 0 || req.PerPage > 0 {
		return nil, invalid("a feed of changes neither blocks nor pages").WithHint("from=POSITION goes on behind an earlier one, follow waits for more")
	}
	if req.Database, err = c.database(""); err != nil {
		return nil, err
	}
	if from := c.params.Get("from"); from == "now" {
		req.Latest = true
	} else if req.From, err = position(from); err != nil {
		return nil, err
	}
	return req, nil
}

func position(text string) (structs.SQLPosition, error) {
	p, err := structs.ParseSQLPosition(text)
	if err != nil {
		return p, invalid("from: %v", err)
	}
	return p, nil
}

// wantsEvents tells the two forms of a feed apart.
func (c *call) wantsEvents() (bool, error) {
	switch f := c.params.Get("format"); f {
	case "sse":
		return true, nil
	case "ndjson":
		return false, nil
	case "":
	default:
		return false, invalid("format=%q is neither ndjson nor sse", shorten(f))
	}
	for accepted := range strings.SplitSeq(c.r.Header.Get("Accept"), ",") {
		if kind, _, _ := mime.ParseMediaType(accepted); kind == "text/event-stream" {
			return true, nil
		}
	}
	return false, nil
}
