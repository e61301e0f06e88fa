package sqljson

import (
	"unicode/utf16"
	"unicode/utf8"
)

// Text reads a string. Its bytes are valid until the next call.
func (r *Reader) Text() ([]byte, error) {
	if r.Next() != '"' {
		return nil, r.wrong("a string")
	}
	start := r.pos + 1
	for i := start; i < len(r.body); i++ {
		switch c := r.body[i]; {
		case c == '"':
			text := r.body[start:i]
			if !utf8.Valid(text) {
				return nil, r.errorAt(start+validPrefix(text), "a string must be UTF-8; bytes are sent as a blob")
			}
			r.pos = i + 1
			return text, nil
		case c == '\\':
			return r.escaped(start, i)
		case c < ' ':
			return nil, r.errorAt(i, "a control character must be escaped in a string")
		}
	}
	return nil, r.errorAt(len(r.body), "it ends within a string")
}

// validPrefix is how many bytes of b are UTF-8.
func validPrefix(b []byte) int {
	n := 0
	for n < len(b) {
		c, size := utf8.DecodeRune(b[n:])
		if c == utf8.RuneError && size == 1 {
			break
		}
		n += size
	}
	return n
}

// escaped reads on in a string that began at start and has its first escape at i.
func (r *Reader) escaped(start, i int) ([]byte, error) {
	out := append(r.scratch[:0], r.body[start:i]...)
	for i < len(r.body) {
		switch c := r.body[i]; {
		case c == '"':
			r.scratch = out
			if !utf8.Valid(out) {
				return nil, r.errorAt(start, "a string must be UTF-8; bytes are sent as a blob")
			}
			r.pos = i + 1
			return out, nil
		case c < ' ':
			return nil, r.errorAt(i, "a control character must be escaped in a string")
		case c != '\\':
			out = append(out, c)
			i++
		default:
			var err error
			if out, i, err = r.escape(out, i); err != nil {
				return nil, err
			}
		}
	}
	return nil, r.errorAt(len(r.body), "it ends within a string")
}

// escape decodes the escape at i behind out and returns where it ends.
func (r *Reader) escape(out []byte, i int) ([]byte, int, error) {
	if i+1 == len(r.body) {
		return nil, 0, r.errorAt(i, "it ends within a string")
	}
	switch c := r.body[i+1]; c {
	case '"', '\\', '/':
		return append(out, c), i + 2, nil
	case 'b':
		return append(out, '\b'), i + 2, nil
	case 'f':
		return append(out, '\f'), i + 2, nil
	case 'n':
		return append(out, '\n'), i + 2, nil
	case 'r':
		return append(out, '\r'), i + 2, nil
	case 't':
		return append(out, '\t'), i + 2, nil
	case 'u':
		u := r.hex(i)
		if u < 0 {
			return nil, 0, r.errorAt(i, `four hexadecimal digits must follow \u`)
		}
		if !utf16.IsSurrogate(u) {
			return utf8.AppendRune(out, u), i + 6, nil
		}
		if c := utf16.DecodeRune(u, r.hex(i+6)); c != utf8.RuneError {
			return utf8.AppendRune(out, c), i + 12, nil
		}
		return nil, 0, r.errorAt(i, "half a surrogate pair is no character")
	}
	return nil, 0, r.errorAt(i, "this is no escape of JSON")
}

// hex is the value of a \uXXXX at i, -1 when there is none.
func (r *Reader) hex(i int) rune {
	if i+6 > len(r.body) || r.body[i] != '\\' || r.body[i+1] != 'u' {
		return -1
	}
	var u rune
	for _, c := range r.body[i+2 : i+6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		u = u<<4 | rune(c)
	}
	return u
}
