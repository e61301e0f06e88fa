package structs

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// SQLPosition is a place in a database's feed of changes: behind the Seq-th change that the entry Index made to the
// database. The zero value is before everything that is kept.
type SQLPosition struct {
	Index uint64
	Seq   uint64
}

// SQLWholeEntry as Seq means behind all changes of the entry, however many they are. A backup knows no more than that.
const SQLWholeEntry = math.MaxInt64

// ErrSQLPosition is in the chain of ParseSQLPosition's errors.
var ErrSQLPosition = errors.New(`not a position in a feed of changes: one is INDEX.SEQUENCE such as "120.3", or INDEX for "behind all of that entry"`)

// ParseSQLPosition reads "120.3", or "120" for behind the whole entry; "" is the zero position.
func ParseSQLPosition(text string) (p SQLPosition, err error) {
	if text == "" {
		return p, nil
	}
	index, seq, both := strings.Cut(text, ".")
	p.Seq = SQLWholeEntry
	if p.Index, err = strconv.ParseUint(index, 10, 63); err == nil && both {
		p.Seq, err = strconv.ParseUint(seq, 10, 63)
	}
	if err != nil || p.Index == 0 {
		return SQLPosition{}, fmt.Errorf("%q is %w", clipped(text), ErrSQLPosition)
	}
	return p, nil
}

func clipped(text string) string {
	if len(text) > 64 {
		return text[:64] + "…"
	}
	return text
}

// String is the form that ParseSQLPosition reads.
func (p SQLPosition) String() string { return string(p.AppendTo(nil)) }

// AppendTo appends String to b.
func (p SQLPosition) AppendTo(b []byte) []byte {
	if p == (SQLPosition{}) {
		return b
	}
	b = strconv.AppendUint(b, p.Index, 10)
	if p.Seq == SQLWholeEntry {
		return b
	}
	return strconv.AppendUint(append(b, '.'), p.Seq, 10)
}

// Before reports whether p is before q.
func (p SQLPosition) Before(q SQLPosition) bool {
	return p.Index < q.Index || p.Index == q.Index && p.Seq < q.Seq
}

// Bounds of SQLDatabase.ChangesBytes.
const (
	SQLChangesBytesMin = 1 << 20 // less would lose changes faster than anybody reads them
	SQLChangesBytesMax = 64 << 30
)

// SQLChangeOp is what a change did.
type SQLChangeOp uint8

const (
	SQLInserted SQLChangeOp = iota + 1
	SQLUpdated
	SQLDeleted
	SQLSchema // the schema changed
)

// String is the operation as JSON has it.
func (o SQLChangeOp) String() string {
	switch o {
	case SQLInserted:
		return "insert"
	case SQLUpdated:
		return "update"
	case SQLDeleted:
		return "delete"
	case SQLSchema:
		return "schema"
	}
	return "unknown"
}

// SQLChangeTable is a table as it was when a row of it changed.
type SQLChangeTable struct {
	Name         string
	Columns      []string // those that are stored: virtual generated ones are not
	WithoutRowID bool
	Key          []int // with WithoutRowID: which Columns are the primary key, in its order
}

// SQLChange is one change of a database. Which members are set depends on Op.
type SQLChange struct {
	At   SQLPosition
	Time int64 // of the entry, Unix milliseconds
	Op   SQLChangeOp
	// Of rows:
	Table           *SQLChangeTable
	RowID, NewRowID int64  // of a table with rowids; before and after the change, the same but for an update of the rowid
	Old, New        SQLRow // values of Table.Columns; Old of updates and deletes, New of inserts and updates
	// Of the schema:
	Of  string // the table (or view) that was defined, altered or dropped, or whose index or trigger was
	SQL string // the statement
}

// TableName is the table that the change is about.
func (c *SQLChange) TableName() string {
	if c.Table != nil {
		return c.Table.Name
	}
	return c.Of
}

// SQLChanges is a run of changes that one entry made to a database, as it is stored and sent.
type SQLChanges struct {
	Index uint64
	First uint64 // Seq of the first one
	Count uint64
	Skip  uint64 `codec:",omitempty"` // how many of them the reader has already
	Time  int64  // of the entry, Unix milliseconds
	Data  []byte // see sqlchangedata.go
}

// Last is the position behind the run.
func (c *SQLChanges) Last() SQLPosition { return SQLPosition{c.Index, c.First + c.Count - 1} }

// SQLChangesRequest reads a database's feed of changes ("SQL.Changes", a stream of SQLChangesChunk).
type SQLChangesRequest struct {
	QueryOptions
	Database string
	From     SQLPosition // what is behind it is wanted; zero = everything that is kept
	Latest   bool        `codec:",omitempty"` // instead of From: only what is still to come
	Follow   bool        `codec:",omitempty"` // wait for more at the end
}

// SQLChangesChunk is a part of a feed. The first has Begin; the last of a feed that is not followed has End.
type SQLChangesChunk struct {
	Begin *SQLChangesBegin `codec:",omitempty"`
	Runs  []SQLChanges     `codec:",omitempty"`
	End   *SQLChangesEnd   `codec:",omitempty"`
}

// SQLChangesBegin begins a feed.
type SQLChangesBegin struct {
	QueryMeta
	From SQLPosition // where it begins; zero for the beginning of what is kept, when there is something
}

// SQLChangesEnd ends a feed that is not followed.
type SQLChangesEnd struct {
	Index uint64 // of the last entry whose changes the feed is sure to have
}
