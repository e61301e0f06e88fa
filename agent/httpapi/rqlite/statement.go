package rqlite

import "strings"

// Reads reports whether sql looks like one statement that only reads. It decides how a statement is run, never what it
// may do: a read that is taken for a write goes through the log and gives the same, a write that is taken for a read
// is refused by the database. Several statements in one text count as a write.
func Reads(sql string) bool {
	first, reads, done := true, false, false
	for sql = skipBlank(sql); sql != ""; sql = skipBlank(sql) {
		if done {
			return false
		}
		word := sql[:wordBytes(sql)]
		switch {
		case word == "":
			done = sql[0] == ';'
			sql = sql[quotedBytes(sql):]
			continue
		case first:
			switch strings.ToLower(word) {
			case "select", "values", "explain", "pragma", "with":
				reads = true
			default:
				return false
			}
		default:
			switch strings.ToLower(word) {
			case "insert", "update", "delete", "replace": // behind WITH; or a column's or function's name, and then this costs only time
				return false
			}
		}
		first = false
		sql = sql[len(word):]
	}
	return reads
}

// skipBlank cuts space and comments off the beginning.
func skipBlank(s string) string {
	for {
		s = strings.TrimLeft(s, " \t\r\n\f")
		switch {
		case strings.HasPrefix(s, "--"):
			_, s, _ = strings.Cut(s, "\n")
		case strings.HasPrefix(s, "/*"):
			_, s, _ = strings.Cut(s[2:], "*/")
		default:
			return s
		}
	}
}

func wordBytes(s string) int {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '_' || c == '$' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
		default:
			return i
		}
	}
	return len(s)
}

// quotedBytes is the length of the string or quoted name with which s begins, 1 for any other character.
func quotedBytes(s string) int {
	end := s[0]
	switch s[0] {
	case '\'', '"', '`':
	case '[':
		end = ']'
	default:
		return 1
	}
	if i := strings.IndexByte(s[1:], end); i >= 0 { // a doubled quote is two strings side by side
		return i + 2
	}
	return len(s)
}
