package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"
)

// SQLChangeOp is what a change did.
type SQLChangeOp string

// The operations of changes.
const (
	SQLInsert SQLChangeOp = "insert"
	SQLUpdate SQLChangeOp = "update"
	SQLDelete SQLChangeOp = "delete"
	// SQLSchema is a change of the schema: Table is what was defined, altered or dropped, or whose index or trigger was,
	// and SQL the statement. DROP TABLE does not delete rows one by one.
	SQLSchema SQLChangeOp = "schema"
)

// SQLChange is one change of a database.
type SQLChange struct {
	ID    string // its position, "INDEX.SEQ": SQLFeedOptions.From goes on behind it
	Time  time.Time
	Op    SQLChangeOp
	Table string
	// RowID is the row's before the change (of an insert: after it), and NewRowID after it. Both are 0 in a table WITHOUT
	// ROWID, which has the columns of its primary key in Key instead.
	RowID, NewRowID int64
	Key             *SQLRow
	// Old and New are the row before and after the change; nil for an insert and a delete, respectively. Virtual
	// generated columns are not among theirs.
	Old, New *SQLRow
	SQL      string
}

// SQLFeedOptions say which changes a feed has.
type SQLFeedOptions struct {
	// From is the position behind which the feed begins: the ID of a change, or the index of a backup. "" is everything
	// that is kept, "now" only what is still to come.
	From string
	// Tables, when not empty, are the only ones whose changes are wanted.
	Tables []string
	// Follow waits for more at the end.
	Follow bool
	// Query says how the agent reads, and where; Index, PerPage and NextToken do not apply.
	Query *QueryOptions
}

// SQLFeed reads the changes of a database, in the order in which they were made. Every agent gives the same ones.
type SQLFeed struct {
	s  *SQL
	o  SQLFeedOptions
	at string
}

// feedSilenceMax is how long an agent, which sends heartbeats every 10 s, may say nothing.
const feedSilenceMax = 40 * time.Second

// Changes makes a feed; All reads it.
func (s *SQL) Changes(o SQLFeedOptions) *SQLFeed { return &SQLFeed{s: s, o: o, at: o.From} }

// Position is where the feed is: behind everything that was yielded and what was passed over because of Tables. Another feed
// goes on there, today or another day. It is From until the agent has answered. It belongs to the goroutine that reads.
func (f *SQLFeed) Position() string { return f.at }

// All yields the changes behind the position, and goes on where it was when it is ranged over again. It ends with ctx,
// without an error, and where nothing is to be followed at the end of what there is.
//
// An error is yielded with a nil change. If it may pass (ErrUnavailable, ErrNoLeader, ErrRateLimited for a reader that was too
// slow …) and the caller's loop goes on, All tries again after a growing pause, and nothing is lost or comes twice; any other
// ends the loop. ErrGone says that changes behind the position are no longer kept, ErrConflict that the database keeps none.
func (f *SQLFeed) All(ctx context.Context) iter.Seq2[*SQLChange, error] {
	return func(yield func(*SQLChange, error) bool) {
		for failures := 0; ctx.Err() == nil; failures++ {
			before := f.at
			more, err := f.read(ctx, func(c *SQLChange) bool { return yield(c, nil) })
			if !more || ctx.Err() != nil {
				return
			}
			if f.at != before {
				failures = 0
			}
			if !yield(nil, err) || !temporary(err) || sleep(ctx, f.s.c.retry.pause(failures)) != nil {
				return
			}
		}
	}
}

// read opens the feed and reads it until it breaks off. more is false at its end, or when the caller wants no more.
func (f *SQLFeed) read(ctx context.Context, yield func(*SQLChange) bool) (more bool, err error) {
	silence := &Error{Kind: KindUnavailable, Message: fmt.Sprintf("the agent at %s has said nothing for %s", f.s.c.base.Host, feedSilenceMax)}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(feedSilenceMax, func() { cancel(silence) })
	defer watchdog.Stop()

	r := f.s.c.newRequest(http.MethodGet, "/v1/sql/changes")
	set(r.params, "db", f.s.database)
	set(r.params, "from", f.at)
	r.query(f.o.Query)
	r.params["table"] = f.o.Tables
	if f.o.Follow {
		r.params.Set("follow", "")
	}
	r.streaming = true
	reply, err := f.s.c.send(ctx, r)
	if err != nil {
		return true, err
	}
	defer reply.Body.Close()
	in := lineReader{c: f.s.c, ctx: ctx, in: bufio.NewReaderSize(reply.Body, 64<<10)}
	for {
		watchdog.Reset(feedSilenceMax)
		line, err := in.line()
		watchdog.Stop() // a caller that takes its time is no silence of the agent
		if err != nil {
			if context.Cause(ctx) == error(silence) {
				err = silence
			}
			return true, err
		}
		more, err := f.line(&in, line, yield)
		if !more || err != nil {
			return more, err
		}
	}
}

// changeBody is a line of a feed.
type changeBody struct {
	ID       string          `json:"id"`
	Time     time.Time       `json:"time"`
	Op       SQLChangeOp     `json:"op"`
	Table    string          `json:"table"`
	RowID    int64           `json:"rowid"`
	NewRowID *int64          `json:"new_rowid"`
	Key      json.RawMessage `json:"key"`
	Old      json.RawMessage `json:"old"`
	New      json.RawMessage `json:"new"`
	SQL      string          `json:"sql"`

	Control string     `json:"control"`
	At      string     `json:"at"`
	Error   *errorBody `json:"error"`
}

func (f *SQLFeed) line(in *lineReader, line []byte, yield func(*SQLChange) bool) (more bool, err error) {
	var b changeBody
	if err := json.Unmarshal(line, &b); err != nil {
		return true, in.broken(err)
	}
	switch b.Control {
	case "":
		c, err := b.change()
		if err != nil {
			return true, in.broken(err)
		}
		f.at = b.ID
		return yield(c), nil
	case "end":
		f.at = b.At
		return false, nil
	case "cut":
		f.at = b.At
		if b.Error == nil {
			return true, in.broken(errors.New("it was cut for no reason"))
		}
		return true, b.Error.err()
	}
	if b.At != "" {
		f.at = b.At
	}
	return true, nil
}

func (b *changeBody) change() (*SQLChange, error) {
	c := &SQLChange{ID: b.ID, Time: b.Time, Op: b.Op, Table: b.Table, RowID: b.RowID, NewRowID: b.RowID, SQL: b.SQL}
	if b.ID == "" {
		return nil, errors.New("a change has no id")
	}
	if b.NewRowID != nil {
		c.NewRowID = *b.NewRowID
	}
	for _, row := range []struct {
		data json.RawMessage
		to   **SQLRow
	}{{b.Key, &c.Key}, {b.Old, &c.Old}, {b.New, &c.New}} {
		if row.data == nil {
			continue
		}
		r, err := parseNamed(row.data)
		if err != nil {
			return nil, err
		}
		*row.to = r
	}
	return c, nil
}

// parseNamed reads a row that is an object: {column: value, …}
func parseNamed(data []byte) (*SQLRow, error) {
	r := &SQLRow{}
	rest := skipSpace(data)
	if len(rest) == 0 || rest[0] != '{' {
		return nil, errRowJSON
	}
	for rest = skipSpace(rest[1:]); len(rest) > 0 && rest[0] != '}'; {
		name, after, err := parseString(rest)
		if err != nil {
			return nil, err
		}
		if after = skipSpace(after); len(after) == 0 || after[0] != ':' {
			return nil, errRowJSON
		}
		v, after, err := parseValue(skipSpace(after[1:]))
		if err != nil {
			return nil, err
		}
		r.columns, r.values = append(r.columns, name.(string)), append(r.values, v)
		if rest = skipSpace(after); len(rest) > 0 && rest[0] == ',' {
			rest = skipSpace(rest[1:])
		} else if len(rest) > 0 && rest[0] != '}' {
			return nil, errRowJSON
		}
	}
	return r, atEnd(rest)
}

// SetChanges sets how many bytes of a database's changes are kept for feeds, 0 = none. The oldest go first. A database of
// which changes are kept is slower to write, and one request may not change more than is kept.
func (s *SQL) SetChanges(ctx context.Context, name string, bytes int64, o *WriteOptions) (*SQLDatabase, *WriteMeta, error) {
	r := s.c.newRequest(http.MethodPatch, databasePath(name))
	if err := r.json(map[string]int64{"changes_bytes": bytes}); err != nil {
		return nil, nil, err
	}
	out := &SQLDatabase{}
	m, err := s.c.put(ctx, r, o, out)
	if err != nil {
		return nil, m, err
	}
	return out, m, nil
}
