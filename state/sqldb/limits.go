package sqldb

import (
	"fmt"
	"strings"
)

// Limits are constants: a statement that one replica accepts must not fail on another.
const (
	valueBytesMax   = 4 << 20 // of one text, blob or row
	sqlBytesMax     = 1 << 20 // of one statement
	paramsMax       = 32766
	likeBytesMax    = 256 // of a pattern: matching takes time in proportion to it
	columnsMax      = 2000
	depthMax        = 1000 // of an expression
	compoundMax     = 500  // SELECTs in one
	functionArgsMax = 127
	triggersMax     = 100 // each started by the one before
)

// limitHints say what to do about what SQLite says of a limit, by the beginning of its message. They come from nothing but
// the message, for they stand in replies that are kept.
var limitHints = []struct{ message, hint string }{
	{"Expression tree is too large", "put the values into a list, x IN (1, 2), or into a table; AND, OR and + nest one level each"},
	{"variable number must be between", fmt.Sprintf("a statement has at most %d parameters; send several statements in one transaction", paramsMax)},
	{"too many SQL variables", fmt.Sprintf("a statement has at most %d parameters; send several statements in one transaction", paramsMax)},
	{"too many columns", fmt.Sprintf("a table, an index, a result and a SET have at most %d columns", columnsMax)},
	{"too many terms in compound SELECT", fmt.Sprintf("at most %d SELECTs in one; VALUES (1), (2) has no such limit", compoundMax)},
	{"too many terms in", fmt.Sprintf("ORDER BY and GROUP BY have at most %d terms", columnsMax)},
	{"too many arguments on function", fmt.Sprintf("a function takes at most %d arguments", functionArgsMax)},
	{"triggers nested too deep", fmt.Sprintf("triggers start one another at most %d deep", triggersMax)},
	{"too many levels of trigger recursion", fmt.Sprintf("triggers start one another at most %d deep", triggersMax)},
	{"LIKE or GLOB pattern too complex", fmt.Sprintf("a pattern has at most %d bytes", likeBytesMax)},
}

// limitHint is "" for a message that is not about a limit.
func limitHint(message string) string {
	for _, l := range limitHints {
		if strings.HasPrefix(message, l.message) {
			return l.hint
		}
	}
	return ""
}
