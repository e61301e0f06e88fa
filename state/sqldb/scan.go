package sqldb

import "strings"

// words calls f with each word of sql outside of strings, quoted names and comments, in lower case, until f
// returns false. What SQLite's authorizer cannot see is looked for with it.
func words(sql string, f func(word string) bool) {
	for i := 0; i < len(sql); {
		switch c := sql[i]; {
		case c == '-' && strings.HasPrefix(sql[i:], "--"):
			i = after(sql, i+2, "\n")
		case c == '/' && strings.HasPrefix(sql[i:], "/*"):
			i = after(sql, i+2, "*/")
		case c == '\'' || c == '"' || c == '`':
			i = after(sql, i+1, sql[i:i+1]) // a doubled quote is two strings side by side
		case c == '[':
			i = after(sql, i+1, "]")
		case wordByte(c):
			from := i
			for i < len(sql) && wordByte(sql[i]) {
				i++
			}
			if !f(strings.ToLower(sql[from:i])) {
				return
			}
		default:
			i++
		}
	}
}

// blank reports whether sql has only space, comments and semicolons.
func blank(sql string) bool {
	for i := 0; i < len(sql); {
		switch c := sql[i]; {
		case c == '-' && strings.HasPrefix(sql[i:], "--"):
			i = after(sql, i+2, "\n")
		case c == '/' && strings.HasPrefix(sql[i:], "/*"):
			i = after(sql, i+2, "*/")
		case strings.IndexByte(" \t\r\n\f;", c) >= 0:
			i++
		default:
			return false
		}
	}
	return true
}

func after(s string, from int, mark string) int {
	if n := strings.Index(s[from:], mark); n >= 0 {
		return from + n + len(mark)
	}
	return len(s)
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// firstWord is the first word of sql in lower case.
func firstWord(sql string) (first string) {
	words(sql, func(w string) bool {
		first = w
		return false
	})
	return first
}

// hasWord reports whether word, in lower case, is one of sql's.
func hasWord(sql, word string) (has bool) {
	if len(sql) < len(word) {
		return false
	}
	words(sql, func(w string) bool {
		has = w == word
		return !has
	})
	return has
}
