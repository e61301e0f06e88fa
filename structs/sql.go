package structs

import "regexp"

// DefaultDatabase is the database that a request means when it names none. Every namespace has it; its
// file is made by the first write.
const DefaultDatabase = "default"

var databaseRE = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// ValidDatabase reports whether name may name a database.
func ValidDatabase(name string) bool { return databaseRE.MatchString(name) }

// SQLDatabase is a row of the databases table: one SQLite file on every server.
type SQLDatabase struct {
	Namespace Namespace
	Name      string
	// PageBytes is the size of a page: a power of two from 512 to 65536, 0 = SQLite's own 4096. It is
	// fixed when the database is made; small ones suit thousands of small databases.
	PageBytes int `codec:",omitempty" json:",omitempty"`
	// DoubleQuotedStrings lets "text" be a string where no column has that name, as old SQLite programs expect.
	DoubleQuotedStrings bool `codec:",omitempty" json:",omitempty"`
	// ForeignKeys has foreign keys enforced; as in SQLite they are not unless one asks.
	ForeignKeys bool `codec:",omitempty" json:",omitempty"`
	// ChangesBytes is how much of the database's changes is kept for those who follow them, 0 = nothing. Only where
	// every server has FSMVersionChanges.
	ChangesBytes int64 `codec:",omitempty" json:",omitempty"`
	// UsedBytes is the size of the pages in use after the last entry that wrote to it, the same on every server.
	UsedBytes   int64 `codec:",omitempty" json:",omitempty"`
	CreateIndex uint64
	ModifyIndex uint64
	// FileIndex is the index at which an upload brought the file; 0 = it was made at CreateIndex.
	FileIndex uint64 `codec:",omitempty" json:",omitempty"`
	// Upload is set in the row of a file that is still on its way into the cluster. Its Name is no database's.
	Upload *SQLUpload `codec:",omitempty" json:",omitempty"`
}

// SQLDatabaseOp is what a SQLDatabaseRequest does.
type SQLDatabaseOp string

const (
	SQLDatabaseCreate SQLDatabaseOp = "create" // refused when it exists
	SQLDatabaseEnsure SQLDatabaseOp = "ensure" // created unless it exists, whatever its options are
	SQLDatabaseDrop   SQLDatabaseOp = "drop"   // with everything in it
	// SQLDatabaseSetChanges sets ChangesBytes of one that exists, or of the default one; only where every server has
	// FSMVersionChanges.
	SQLDatabaseSetChanges SQLDatabaseOp = "set-changes"
)

// SQLDatabaseRequest creates, drops or changes a database ("SQL.ApplyDatabase"; CommandSQLDatabase). Reply: SQLDatabaseReply.
type SQLDatabaseRequest struct {
	WriteOptions
	Op       SQLDatabaseOp
	Database SQLDatabase
}

// ConflictKeys implements Conflicter: a database is the unit that its writes conflict on.
func (r *SQLDatabaseRequest) ConflictKeys() []string { return nil }

// SQLDatabaseReply answers a SQLDatabaseRequest.
type SQLDatabaseReply struct {
	WriteMeta
	Database SQLDatabase
}

// SQLDatabaseListRequest lists ("SQL.Databases") or, with Name, reads one.
type SQLDatabaseListRequest struct {
	QueryOptions
	Name string
}

// SQLDatabaseListReply is empty when the one asked for does not exist.
type SQLDatabaseListReply struct {
	QueryMeta
	Databases []*SQLDatabaseInfo
}

// SQLDatabaseInfo is a database with what the answering server measured of its own copy.
type SQLDatabaseInfo struct {
	SQLDatabase
	SizeBytes     int64  // of the file and its write-ahead log; 0 while nothing was written
	AppliedIndex  uint64 // of the last entry that wrote to it
	SchemaVersion int64  // SQLite's schema_version: it grows with every change of the schema
}

// SQLStatement is one SQL statement with its arguments.
type SQLStatement struct {
	SQL string
	// Args are the values of the parameters, in order.
	Args SQLRow `codec:",omitempty"`
	// Names, when not empty, runs parallel to Args: the name of each argument without its ":", "@" or
	// "$", "" for a positional one.
	Names []string `codec:",omitempty"`
}

// SQLGuard is a condition on the database: a statement that only reads, and what it must give.
// Members that are not set ask for nothing.
type SQLGuard struct {
	SQLStatement
	Rows   *int64 `codec:",omitempty"` // number of rows
	First  SQLRow `codec:",omitempty"` // values of the first row
	Digest []byte `codec:",omitempty"` // sum of an SQLDigest of all rows, as an earlier read of the caller's found them
}

// SQLRequest runs statements on one database ("SQL.Execute"; CommandSQL). The FSM's Reply is SQLReply.
type SQLRequest struct {
	WriteOptions
	Database   string
	Statements []SQLStatement
	// Transaction: all statements or none; the first that fails ends it. Without it each statement
	// stands alone.
	Transaction bool `codec:",omitempty"`
	// Guards must all hold, or nothing is done and the request is refused with KindConflict.
	Guards []SQLGuard `codec:",omitempty"`
	// RequestID, chosen by the caller, makes a repetition harmless: within a day the same id on the same
	// database answers with the stored reply and does nothing.
	RequestID string `codec:",omitempty"`
	// WorkMax bounds what the whole request may compute, in steps of SQLite's virtual machine: the same
	// number stops the same statement at the same place on every replica. The leader sets it.
	WorkMax int64 `codec:",omitempty"`
	// BytesPerStep is how many bytes that SQL functions go through count as one step of WorkMax; 0 = they count nothing. The leader sets
	// it where the cluster has FSMVersionOfCluster.
	BytesPerStep int64 `codec:",omitempty"`
	// TempBytesMax bounds what one of its statements may sort and collect, in the same way. The leader sets it.
	TempBytesMax int64 `codec:",omitempty"`
	// RowsMax and BytesMax bound the rows that RETURNING gives. The leader sets them.
	RowsMax  int `codec:",omitempty"`
	BytesMax int `codec:",omitempty"`
}

// SQLTempBytesMax is the TempBytesMax that a leader sets: enough to index tens of millions of rows, and little enough that
// a server has it on its disk beside the databases. Without a bound one statement could fill the disks of all.
const SQLTempBytesMax = 1 << 30

// SQLWorkMax is the WorkMax that a leader sets. While a request computes, every other write of the cluster waits: this is
// some six seconds of a core (a thousand million took 21 s), and enough to index some twenty million rows.
const SQLWorkMax = 300_000_000

// SQLBytesPerStep is the BytesPerStep that a leader sets. LIKE goes through as many bytes in the time of one step, for
// each byte of its pattern; most functions through more.
const SQLBytesPerStep = 16

// ConflictKeys implements Conflicter: none. Requests on one database may share an entry since each
// runs after the one before it, and no row of a table carries the entry's index.
func (r *SQLRequest) ConflictKeys() []string { return []string{} }

// SQLResult is what one statement gave.
type SQLResult struct {
	RowsAffected int64    `codec:",omitempty"` // rows that it inserted, updated or deleted itself, without triggers
	LastInsertID int64    `codec:",omitempty"` // rowid of its last insert; 0 when it inserted nothing
	Columns      []string `codec:",omitempty"` // of RETURNING; nil when it gave no rows
	Types        []string `codec:",omitempty"` // declared types, lower case, "" for an expression
	Rows         []SQLRow `codec:",omitempty"`
	Err          *Error   `codec:",omitempty"` // a refusal that is the same on every replica; then nothing else is set
}

// SQLReply answers a SQLRequest.
type SQLReply struct {
	WriteMeta
	// Results has one per statement, in order; in a transaction that failed it ends with the one that did.
	Results  []SQLResult
	Replayed bool `codec:",omitempty"` // the reply was stored by an earlier request of the same RequestID
}

// Failed is the place of the result that ended a transaction, -1 when none did.
func (r *SQLReply) Failed() int {
	if n := len(r.Results); n > 0 && r.Results[n-1].Err != nil {
		return n - 1
	}
	return -1
}

// SQLQueryRequest reads by one statement ("SQL.Query", a stream of SQLChunk).
type SQLQueryRequest struct {
	QueryOptions
	Database string
	SQLStatement
	// Freshness, with Stale, is how long ago the answering server may have heard from the leader, nanoseconds; 0 = any.
	Freshness int64 `codec:",omitempty"`
	// FreshnessStrict also refuses, with Freshness, a server that knows of entries it has not applied, where the last one
	// that it has applied is older than that by the leader's clock.
	FreshnessStrict bool `codec:",omitempty"`
}

// SQLBackupRequest reads a whole database ("SQL.Backup", a stream of the bytes of one SQLite file, or of SQL text).
type SQLBackupRequest struct {
	QueryOptions
	Database string
	Text     bool     `codec:",omitempty"` // SQL text
	Tables   []string `codec:",omitempty"` // with Text: only these
	Vacuum   bool     `codec:",omitempty"` // the file without free pages, and without the tables that servers keep in it
}

// SQLChunk is a part of a query's reply. The first has Begin, the last Done; they may be the same. A statement that
// could not be run at all has only the last.
type SQLChunk struct {
	Begin *SQLBegin `codec:",omitempty"`
	Rows  []SQLRow  `codec:",omitempty"`
	Done  *SQLDone  `codec:",omitempty"`
}

// SQLBegin begins a query's reply.
type SQLBegin struct {
	QueryMeta // Index: that of the last entry which the rows are sure to show
	Columns   []string
	Types     []string // declared types, lower case, "" for an expression
}

// SQLDone ends a query's reply.
type SQLDone struct {
	Rows    int64
	Elapsed int64  // nanoseconds on the answering server
	Err     *Error `codec:",omitempty"` // the rows before it are not the whole result
}

// ErrQueryWrites refuses a query that would write. Nothing was done; as a write it may be allowed.
var ErrQueryWrites = &Error{Kind: KindDenied, Message: "a query cannot write"}

// ErrStaleRead refuses a stale read for which the answering server's state is not fresh enough.
var ErrStaleRead = &Error{Kind: KindUnavailable, Message: "stale read"}
