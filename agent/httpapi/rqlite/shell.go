package rqlite

import "strings"

// ofShell are the statements that rqlite's shell sends for .tables, .indexes and .schema, with what is run for them: the
// same, without the tables in which we keep our own notes.
var ofShell = map[string]string{
	"SELECT name FROM sqlite_master WHERE type='table'": "SELECT name FROM sqlite_master WHERE type='table' AND " + notOurs,
	"SELECT sql FROM sqlite_master WHERE type='index'":  "SELECT sql FROM sqlite_master WHERE type='index' AND " + notOurs,
	"SELECT sql FROM sqlite_master":                     "SELECT sql FROM sqlite_master WHERE " + notOurs,
}

const notOurs = "lower(substr(tbl_name, 1, 8)) <> '_debros_'"

// OfShell is what is run for sql: itself, unless it is to the letter a statement of rqlite's shell, in which older ones
// have double quotes around strings. Every other statement about the schema sees all of it: a guess at what a statement
// asks would surprise where it is wrong.
func OfShell(sql string) string {
	if len(sql) <= len("SELECT name FROM sqlite_master WHERE type='table'") {
		if run, ok := ofShell[strings.ReplaceAll(sql, `"`, "'")]; ok {
			return run
		}
	}
	return sql
}
