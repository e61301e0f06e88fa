package rqlite

import (
	"strings"

	"github.com/debros/debros/structs"
)

// DecodeDump splits SQL text, as sqlite3's .dump writes it, into its statements. Those that only say how it is to be
// loaded are left out: the transaction's bounds, which are the request's here, and PRAGMA foreign_keys.
func DecodeDump(text string) ([]structs.SQLStatement, error) {
	var out []structs.SQLStatement
	for text = skipBlank(text); text != ""; text = skipBlank(text) {
		n := statementBytes(text)
		if sql := text[:n]; sql[0] != ';' && !loading(sql) {
			if len(out) == statementsMax {
				return nil, structs.Errorf(structs.KindTooLarge, "the text has more than %d statements", statementsMax).WithHint("load it in parts")
			}
			out = append(out, structs.SQLStatement{SQL: sql})
		}
		text = text[n:]
	}
	return out, nil
}

// loading reports whether the statement is about the loading only.
func loading(sql string) bool {
	first := sql[:wordBytes(sql)]
	switch strings.ToLower(first) {
	case "begin", "commit", "end":
		return true
	case "pragma":
		name := skipBlank(sql[len(first):])
		return strings.EqualFold(name[:wordBytes(name)], "foreign_keys")
	}
	return false
}

// statementBytes is how long the first statement of text is, its semicolon included. In CREATE TRIGGER the semicolons
// between BEGIN and END end nothing: the one behind an END that follows a semicolon does.
func statementBytes(text string) int {
	trigger, create := false, false
	semicolon, end := false, false // the token before, or the two
	words := 0
	rest := text
	for {
		if rest = skipBlank(rest); rest == "" {
			return len(text)
		}
		n := wordBytes(rest)
		switch {
		case n > 0:
			word := rest[:n]
			switch words {
			case 0:
				create = strings.EqualFold(word, "create")
			case 1, 2: // CREATE TEMP TRIGGER
				trigger = trigger || create && strings.EqualFold(word, "trigger")
			}
			words++
			end = semicolon && strings.EqualFold(word, "end")
			semicolon = false
		case rest[0] == ';':
			if !trigger || end {
				return len(text) - len(rest) + 1
			}
			n, semicolon, end = 1, true, false
		default:
			n, semicolon, end = quotedBytes(rest), false, false
		}
		rest = rest[n:]
	}
}
