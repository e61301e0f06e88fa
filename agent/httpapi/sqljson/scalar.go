package sqljson

import (
	"bytes"
	"strings"
)

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
