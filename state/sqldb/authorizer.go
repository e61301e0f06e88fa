package sqldb

import (
	"cmp"
	"slices"
	"strings"

	"github.com/debros/debros/state/sqldb/sqlite"
	"github.com/debros/debros/structs"
	lib "modernc.org/sqlite/lib"
)

// intent is what a statement was found to want while it was compiled.
type intent struct {
	refusal  *structs.Error // why it may not
	schema   bool           // it changes the schema or the planner's statistics: compiled statements go stale
	stats    bool           // it changes the planner's statistics, which a rollback does not take back in memory
	checks   bool           // it is, or asks for, an integrity check
	alter    bool           // it alters a table, for which SQLite checks the rows
	stat     bool           // it writes to sqlite_stat1 or 4 ...
	ofStat   bool           // ... as it must: it is ANALYZE or drops something
	sequence bool           // it writes to sqlite_sequence
	writes   bool           // it inserts, updates or deletes rows of the user's tables itself
	inserts  bool           // it inserts them
	triggers bool           // its triggers write
	counts   bool           // it asks changes()
	grows    bool           // it, or a trigger, adds or changes rows, or defines something

	defines      string // the table or view that it makes, changes or drops, or whose index or trigger it does
	createsTable bool   // it makes one ...
	selects      bool   // ... or something else, with a SELECT
}

// check refuses what is only seen when the statement is known as a whole.
func (in *intent) check() *structs.Error {
	if in.stat && !in.ofStat {
		return denied("the planner's statistics cannot be written by hand", "run ANALYZE")
	}
	return nil
}

// define notes what a statement is about: the first thing that it says.
func (in *intent) define(name string) { in.defines = cmp.Or(in.defines, name) }

func denied(message, hint string) *structs.Error {
	return &structs.Error{Kind: structs.KindDenied, Message: message, Hint: hint}
}

const transactionHint = "send the statements together with transaction=true: all of them happen or none"

// vet refuses what the authorizer is not asked about.
func (c *conn) vet(sql string) *structs.Error {
	if len(sql) > sqlBytesMax {
		return structs.Errorf(structs.KindTooLarge, "a statement may have %d bytes, this one has %d", sqlBytesMax, len(sql)).
			WithHint("send the rows in several statements of one request, as parameters")
	}
	if strings.IndexByte(sql, 0) >= 0 {
		return structs.Errorf(structs.KindInvalid, "the statement has a zero byte").WithHint("send binary data as a parameter")
	}
	switch firstWord(sql) {
	case "vacuum":
		return denied("VACUUM is not allowed here: the file belongs to the cluster", "a backup gives a copy; freed pages are used again")
	case "begin", "commit", "end", "rollback", "savepoint", "release":
		return nil // the authorizer has the better answer
	}
	// SQLite compiles ON CONFLICT ROLLBACK and RAISE(ROLLBACK) without asking. They would take back
	// the requests of others, which share the transaction.
	if c.writer && hasWord(sql, "rollback") {
		return denied("ROLLBACK is not allowed as a conflict resolution: requests share a transaction",
			`write ABORT in its place, a request with transaction=true is then undone as a whole; a name is written "rollback"`)
	}
	return nil
}

// authorize is SQLite's authorizer: it notes what the statement does and refuses what is not allowed.
func (c *conn) authorize(a sqlite.Action) bool {
	if c.trusted {
		return true
	}
	in := &c.intent
	refusal := c.judge(in, a)
	if refusal != nil && in.refusal == nil {
		in.refusal = refusal
	}
	return refusal == nil
}

func (c *conn) judge(in *intent, a sqlite.Action) *structs.Error {
	if a.Database == "temp" && a.Code != lib.SQLITE_READ && a.Code != lib.SQLITE_UPDATE { // ALTER TABLE looks there
		return temporary()
	}
	switch a.Code {
	case lib.SQLITE_TRANSACTION:
		return denied(a.Arg1+" is not allowed here", transactionHint)
	case lib.SQLITE_SAVEPOINT:
		return denied("SAVEPOINT is not allowed here", transactionHint)
	case lib.SQLITE_ATTACH:
		return denied("ATTACH is not allowed here", "send each database its own request")
	case lib.SQLITE_DETACH:
		return denied("DETACH is not allowed here", "nothing can be attached")
	case lib.SQLITE_CREATE_TEMP_INDEX, lib.SQLITE_CREATE_TEMP_TABLE, lib.SQLITE_CREATE_TEMP_TRIGGER, lib.SQLITE_CREATE_TEMP_VIEW,
		lib.SQLITE_DROP_TEMP_INDEX, lib.SQLITE_DROP_TEMP_TABLE, lib.SQLITE_DROP_TEMP_TRIGGER, lib.SQLITE_DROP_TEMP_VIEW:
		return temporary()
	case lib.SQLITE_PRAGMA:
		return c.pragma(in, strings.ToLower(a.Arg1), a.Arg2)
	case lib.SQLITE_FUNCTION:
		return c.function(in, strings.ToLower(a.Arg2))
	case lib.SQLITE_CREATE_VTABLE, lib.SQLITE_DROP_VTABLE:
		in.schema, in.ofStat = true, true
		in.define(a.Arg1)
		in.grows = a.Code == lib.SQLITE_CREATE_VTABLE
		if module := strings.ToLower(a.Arg2); !slices.Contains([]string{"fts5", "fts5vocab", "rtree", "rtree_i32", "geopoly"}, module) {
			return denied("virtual tables of "+module+" are not allowed", "fts5, fts5vocab, rtree and geopoly are")
		}
		return reserved(a.Arg1)
	case lib.SQLITE_ALTER_TABLE:
		in.schema, in.alter, in.grows = true, true, true
		in.define(a.Arg2)
		return reserved(a.Arg2)
	case lib.SQLITE_ANALYZE:
		in.schema, in.stats, in.ofStat = true, true, true
		return nil
	case lib.SQLITE_REINDEX:
		in.schema = true
		return nil
	case lib.SQLITE_CREATE_TABLE, lib.SQLITE_CREATE_VIEW, lib.SQLITE_DROP_TABLE, lib.SQLITE_DROP_VIEW,
		lib.SQLITE_CREATE_INDEX, lib.SQLITE_CREATE_TRIGGER, lib.SQLITE_DROP_INDEX, lib.SQLITE_DROP_TRIGGER:
		in.schema = true
		in.define(cmp.Or(a.Arg2, a.Arg1)) // an index or a trigger has its table behind it
		switch a.Code {
		case lib.SQLITE_DROP_TABLE, lib.SQLITE_DROP_INDEX:
			in.ofStat = true
		case lib.SQLITE_CREATE_TABLE:
			in.createsTable, in.grows = true, true
		case lib.SQLITE_CREATE_INDEX, lib.SQLITE_CREATE_VIEW, lib.SQLITE_CREATE_TRIGGER:
			in.grows = true
		}
		if r := reserved(a.Arg1); r != nil {
			return r
		}
		return reserved(a.Arg2)
	case lib.SQLITE_INSERT, lib.SQLITE_UPDATE, lib.SQLITE_DELETE, lib.SQLITE_READ:
		return c.table(in, a)
	case lib.SQLITE_SELECT, lib.SQLITE_RECURSIVE:
		in.selects = true
		return nil
	}
	return denied("this statement is not allowed here", "")
}

func temporary() *structs.Error {
	return denied("temporary tables, views and triggers are not allowed here", "requests do not share a connection: use a table, or WITH inside the statement")
}

// table judges access to a table.
func (c *conn) table(in *intent, a sqlite.Action) *structs.Error {
	name := strings.ToLower(a.Arg1)
	if a.Code == lib.SQLITE_READ {
		if pragma, ok := strings.CutPrefix(name, "pragma_"); ok {
			return c.pragma(in, pragma, "")
		}
		switch name {
		case "sqlite_dbpage":
			return denied("sqlite_dbpage is not allowed here", "a backup gives the whole file")
		case "dbstat":
			if c.writer {
				return denied("dbstat is not allowed in a write: replicas may lay out their files differently", "read it by a query")
			}
		}
		return reserved(name)
	}
	switch name {
	case "sqlite_stat1", "sqlite_stat4":
		in.stat = true
	case "sqlite_sequence":
		in.sequence = true
	case "sqlite_master", "sqlite_schema", "sqlite_temp_master", "sqlite_temp_schema":
		return nil // SQLite itself lets only its own statements write here
	}
	in.triggers = in.triggers || a.Inside != ""
	in.grows = in.grows || a.Code != lib.SQLITE_DELETE
	if a.Inside == "" {
		in.writes = true
		in.inserts = in.inserts || a.Code == lib.SQLITE_INSERT
	}
	return reserved(name)
}

// reserved refuses the tables that keep the applied index and the stored replies.
func reserved(name string) *structs.Error {
	if len(name) >= len(ownPrefix) && strings.EqualFold(name[:len(ownPrefix)], ownPrefix) {
		return denied("names that begin with "+ownPrefix+" belong to the database itself", "use another name; leave these tables out of a dump")
	}
	return nil
}

// pragma judges a PRAGMA, as a statement or as a table-valued function.
func (c *conn) pragma(in *intent, name, arg string) *structs.Error {
	if c.running != nil && arg == "" && (name == "data_version" || name == "page_size") {
		return nil // FTS5 and R-tree ask these while they work
	}
	switch name {
	case "table_info", "table_xinfo", "index_list", "index_info", "index_xinfo", "foreign_key_list":
		return nil
	case "user_version", "application_id":
		if arg == "" || c.writer { // both are in the file and in its transactions
			return nil
		}
		return structs.ErrQueryWrites.WithHint("set %s by a write", name)
	case "foreign_keys", "encoding":
		if arg == "" {
			return nil
		}
	case "quick_check", "integrity_check":
		in.checks = true
		if !c.writer || in.alter || c.running != nil && c.running.alter {
			return nil
		}
		return denied("PRAGMA "+name+" is not allowed in a write", "send it as a query")
	case "schema_version", "page_count", "page_size", "freelist_count", "table_list", "foreign_key_check",
		"collation_list", "function_list", "module_list", "pragma_list", "compile_options", "journal_mode", "synchronous":
		if c.writer {
			return denied("PRAGMA "+name+" is not allowed in a write: its answer may differ between replicas", "send it as a query")
		}
		if arg == "" || name == "table_list" || name == "foreign_key_check" {
			return nil
		}
	case "optimize":
		return denied("PRAGMA optimize is not allowed here", "run ANALYZE")
	case "defer_foreign_keys":
		return denied("PRAGMA defer_foreign_keys is not allowed here", "declare the foreign key DEFERRABLE INITIALLY DEFERRED")
	}
	if name == "foreign_keys" {
		return denied("PRAGMA foreign_keys cannot be changed here: it would be one connection's", "it is an option of the database")
	}
	return denied("PRAGMA "+name+" is not allowed here", "settings of the database are chosen when it is created")
}

// function judges a function. In a write it must give the same on every replica; DESIGN.md has the list.
func (c *conn) function(in *intent, name string) *structs.Error {
	switch name {
	case "load_extension", "fts3_tokenizer":
		return denied(name+"() is not allowed here", "extensions cannot be loaded")
	case "changes":
		in.counts = true
	}
	if !c.writer {
		return nil
	}
	switch name {
	case "sqlite_version", "sqlite_source_id", "sqlite_compileoption_used", "sqlite_compileoption_get", "fts5_source_id":
		return denied(name+"() is not allowed in a write: servers may run different builds", "send it as a query")
	case "sqlite_offset":
		return denied(name+"() is not allowed in a write: replicas may lay out their files differently", "send it as a query")
	case "fts5_locale":
		return denied("fts5_locale() is not allowed in a write: its value differs between processes", "use an FTS5 table without locale=1")
	}
	if slices.Contains(inexact, name) {
		return denied(name+"() is not allowed in a write: its last digit may differ between processors", "compute it in the program and send it as a parameter; a query may use it")
	}
	return nil
}

// inexact are the functions that end in Go's math package, parts of which are assembly on some processors, and
// whose results are not correctly rounded. sqrt is: IEEE 754 defines it. Rounding (ceil, floor, trunc) and mod are exact.
var inexact = []string{
	"acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cos", "cosh", "exp", "ln", "log", "log10", "log2",
	"pow", "power", "sin", "sinh", "tan", "tanh",
}
