package sqljson

import (
	"bytes"
	"fmt"
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
