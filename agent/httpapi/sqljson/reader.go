package sqljson

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/debros/debros/structs"
)

// Reader reads a JSON text from its beginning to its end: the caller says what it expects next. The first error ends
// the reading. encoding/json does not fit: it makes floats of numbers and U+FFFD of what is no UTF-8, and says less
// about where an error is.
type Reader struct {
	body    []byte
	pos     int
	scratch []byte // of strings with escapes
	args    int    // read so far of the statement's
	of      string // what body is, "" = the request's
	anyCase bool   // the names of fields are matched as encoding/json does
}

// NewReader reads body, which stays the caller's.
func NewReader(body []byte) *Reader { return &Reader{body: body} }

// Errorf refuses the body because of what stands where the reader is.
func (r *Reader) Errorf(format string, args ...any) error { return r.errorAt(r.pos, format, args...) }

func (r *Reader) errorAt(pos int, format string, args ...any) error {
	before := r.body[:pos]
	line := bytes.Count(before, []byte{'\n'}) + 1
	column := pos - bytes.LastIndexByte(before, '\n')
	of := r.of
	if of == "" {
		of = "the request body"
	}
	return structs.Errorf(structs.KindInvalid, "%s is not the JSON expected here: line %d, column %d: %s",
		of, line, column, fmt.Sprintf(format, args...))
}

// Next skips blanks and returns the byte with which the next value begins, 0 at the end.
func (r *Reader) Next() byte {
	for ; r.pos < len(r.body); r.pos++ {
		switch c := r.body[r.pos]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// End refuses anything but blanks.
func (r *Reader) End() error {
	if r.Next() != 0 || r.pos < len(r.body) {
		return r.Errorf("it should end here")
	}
	return nil
}

// wrong is the error for a value of another kind than the wanted.
func (r *Reader) wrong(want string) error {
	if r.Next() == 0 && r.pos == len(r.body) {
		return r.Errorf("it ends where %s should stand", want)
	}
	c, _ := utf8.DecodeRune(r.body[r.pos:])
	return r.Errorf("%q stands where %s should", c, want)
}

// Array reads a list; element reads one element.
func (r *Reader) Array(element func() error) error {
	if r.Next() != '[' {
		return r.wrong("a list")
	}
	r.pos++
	if r.Next() == ']' {
		r.pos++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		more, err := r.more(']')
		if err != nil || !more {
			return err
		}
	}
}

// Object reads an object; field reads the value of the field with this name.
func (r *Reader) Object(field func(name string) error) error {
	if r.Next() != '{' {
		return r.wrong("an object")
	}
	r.pos++
	if r.Next() == '}' {
		r.pos++
		return nil
	}
	for {
		if r.Next() != '"' {
			return r.wrong("the name of a field")
		}
		name, err := r.Text()
		if err != nil {
			return err
		}
		if r.Next() != ':' {
			return r.wrong(`":"`)
		}
		r.pos++
		if err := field(string(name)); err != nil {
			return err
		}
		more, err := r.more('}')
		if err != nil || !more {
			return err
		}
	}
}

// more reads what follows an element: a comma, or the end.
func (r *Reader) more(end byte) (bool, error) {
	switch c := r.Next(); c {
	case ',', end:
		r.pos++
		return c == ',', nil
	}
	return false, r.wrong(fmt.Sprintf(`"," or %q`, string(end)))
}

// word reads one of JSON's three words.
func (r *Reader) word(w string) bool {
	if !bytes.HasPrefix(r.body[r.pos:], []byte(w)) {
		return false
	}
	r.pos += len(w)
	return true
}

// Null reads null if it stands here, and reports whether it did.
func (r *Reader) Null() bool { return r.Next() == 'n' && r.word("null") }

// Bool reads true or false.
func (r *Reader) Bool() (bool, error) {
	switch r.Next() {
	case 't':
		if r.word("true") {
			return true, nil
		}
	case 'f':
		if r.word("false") {
			return false, nil
		}
	}
	return false, r.wrong("true or false")
}

// Number reads a number and returns it as it is written; whole tells that it has neither fraction nor exponent.
func (r *Reader) Number() (literal []byte, whole bool, err error) {
	r.Next()
	start := r.pos
	digits := func() bool {
		from := r.pos
		for r.pos < len(r.body) && '0' <= r.body[r.pos] && r.body[r.pos] <= '9' {
			r.pos++
		}
		return r.pos > from
	}
	at := func(set string) bool {
		if r.pos < len(r.body) && strings.IndexByte(set, r.body[r.pos]) >= 0 {
			r.pos++
			return true
		}
		return false
	}
	at("-")
	if !at("0") && !digits() {
		return nil, false, r.wrong("a number")
	}
	whole = true
	if at(".") {
		if whole = false; !digits() {
			return nil, false, r.wrong("a digit")
		}
	}
	if at("eE") {
		whole = false
		at("+-")
		if !digits() {
			return nil, false, r.wrong("a digit")
		}
	}
	return r.body[start:r.pos], whole, nil
}

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
