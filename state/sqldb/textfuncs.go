package sqldb

import (
	"bytes"

	"github.com/debros/debros/state/sqldb/sqlite"
)

// SQLite's own trim, ltrim, rtrim, instr and replace take time in proportion to the product of the lengths of their arguments, and one call is one
// step of the budget: a megabyte trimmed by a set of ten kilobytes held up a server for 53 s. These give the same, byte for byte, in time that
// is in proportion to the sum. So replicas may have either.
func defineTextFunctions(c *sqlite.Conn) error {
	for _, f := range []struct {
		name string
		args int32
		call func(sqlite.Call)
	}{
		{"trim", 1, func(c sqlite.Call) { trimBlanks(c, true, true) }},
		{"ltrim", 1, func(c sqlite.Call) { trimBlanks(c, true, false) }},
		{"rtrim", 1, func(c sqlite.Call) { trimBlanks(c, false, true) }},
		{"trim", 2, func(c sqlite.Call) { trimSet(c, true, true) }},
		{"ltrim", 2, func(c sqlite.Call) { trimSet(c, true, false) }},
		{"rtrim", 2, func(c sqlite.Call) { trimSet(c, false, true) }},
		{"instr", 2, instr},
		{"replace", 3, replace},
	} {
		if err := c.PureFunc(f.name, f.args, f.call); err != nil {
			return err
		}
	}
	return nil
}

func giveText(c sqlite.Call, b []byte) { c.TextOf(len(b), func(out []byte) { copy(out, b) }) }

func trimBlanks(c sqlite.Call, left, right bool) {
	if c.IsNull(0) {
		return
	}
	b := c.Text(0)
	if left {
		b = bytes.TrimLeft(b, " ")
	}
	if right {
		b = bytes.TrimRight(b, " ")
	}
	giveText(c, b)
}

func trimSet(c sqlite.Call, left, right bool) {
	if c.IsNull(0) || c.IsNull(1) {
		return
	}
	b, set := c.Text(0), newCharSet(c.Text(1))
	for left && len(b) > 0 {
		n := set.prefix(b)
		if n == 0 {
			break
		}
		b = b[n:]
	}
	if right {
		b = set.trimRight(b)
	}
	giveText(c, b)
}

// isTail reports whether a byte goes on with a character that SQLite has begun.
func isTail(b byte) bool { return b&0xc0 == 0x80 }

// charSet is the characters of a text, as SQLite cuts it: a byte from 0xc0 on takes the tails behind it along, however many, and any other byte stands
// alone. The text ends at a NUL. Of two that match SQLite takes the one that comes first in the text.
type charSet struct {
	single [256]int       // place + 1 of a character of one byte
	multi  map[string]int // place + 1 of the longer ones
	// lengths of the longer ones, each once, by first byte.
	lengths map[byte][]int
	has     map[int]bool
}

func newCharSet(text []byte) *charSet {
	s := &charSet{}
	if i := bytes.IndexByte(text, 0); i >= 0 {
		text = text[:i]
	}
	for place := 1; len(text) > 0; place++ {
		n := charBytes(text)
		s.add(text[:n], place)
		text = text[n:]
	}
	return s
}

// charBytes is the length of the first character.
func charBytes(b []byte) int {
	n := 1
	if b[0] >= 0xc0 {
		for n < len(b) && isTail(b[n]) {
			n++
		}
	}
	return n
}

func (s *charSet) add(char []byte, place int) {
	if len(char) == 1 {
		if s.single[char[0]] == 0 {
			s.single[char[0]] = place
		}
		return
	}
	if s.multi == nil {
		s.multi, s.lengths, s.has = map[string]int{}, map[byte][]int{}, map[int]bool{}
	}
	if s.multi[string(char)] != 0 {
		return
	}
	s.multi[string(char)] = place
	s.has[len(char)] = true
	first := s.lengths[char[0]]
	for _, n := range first {
		if n == len(char) {
			return
		}
	}
	s.lengths[char[0]] = append(first, len(char))
}

// prefix is the length of the character of the set with which b begins, 0 for none. Only bytes from 0xc0 on begin longer ones, and these
// reach no further than the tails behind them, so all calls of one trim look at each byte a few times.
func (s *charSet) prefix(b []byte) int {
	best, n := s.single[b[0]], 1
	if best == 0 {
		n = 0
	}
	if b[0] < 0xc0 || s.multi == nil {
		return n
	}
	whole := charBytes(b)
	for _, length := range s.lengths[b[0]] {
		if length > whole {
			continue
		}
		if place := s.multi[string(b[:length])]; place != 0 && (best == 0 || place < best) {
			best, n = place, length
		}
	}
	return n
}

// trimRight takes characters of the set away from the end. A longer one that ends there begins at the last byte that is no tail.
func (s *charSet) trimRight(b []byte) []byte {
	begin := -1 // of the last byte that is no tail, where it is known
	for len(b) > 0 {
		last := len(b) - 1
		if begin > last {
			begin = -1
		}
		if begin < 0 && s.multi != nil && isTail(b[last]) {
			for begin = last - 1; begin >= 0 && isTail(b[begin]); begin-- {
			}
			if begin < 0 {
				begin = 0 // nothing but tails: none of them begins a longer one
			}
		}
		best, n := s.single[b[last]], 1
		if begin >= 0 && begin < last && b[begin] >= 0xc0 && s.has[len(b)-begin] {
			if place := s.multi[string(b[begin:])]; place != 0 && (best == 0 || place < best) {
				best, n = place, len(b)-begin
			}
		}
		if best == 0 {
			return b
		}
		b = b[:len(b)-n]
	}
	return b
}

// instr counts characters, or bytes where both are blobs.
func instr(c sqlite.Call) {
	if c.IsNull(0) || c.IsNull(1) {
		return
	}
	isText := !c.IsBlob(0) || !c.IsBlob(1)
	in, what := c.Text(0), c.Text(1)
	if len(what) == 0 {
		c.Int64(1)
		return
	}
	at := -1
	if isText && isTail(what[0]) { // SQLite looks at the beginnings of characters, and at the very first byte
		if bytes.HasPrefix(in, what) {
			at = 0
		}
	} else {
		at = bytes.Index(in, what)
	}
	if at < 0 {
		c.Int64(0)
		return
	}
	n := int64(1)
	for _, b := range in[1 : at+1] { // the first byte begins a character whatever it is
		if !isText || !isTail(b) {
			n++
		}
	}
	c.Int64(n)
}

// replace compares bytes, whatever characters they are of.
func replace(c sqlite.Call) {
	if c.IsNull(0) || c.IsNull(1) {
		return
	}
	in, what := c.Text(0), c.Text(1)
	if len(what) == 0 || what[0] == 0 {
		giveText(c, in)
		return
	}
	if c.IsNull(2) {
		return
	}
	with := c.Text(2)
	size := len(in)
	if grown := len(with) - len(what); grown != 0 {
		size += grown * bytes.Count(in, what)
	}
	if size > valueBytesMax {
		c.TooBig()
		return
	}
	c.TextOf(size, func(out []byte) {
		for {
			i := bytes.Index(in, what)
			if i < 0 {
				copy(out, in)
				return
			}
			out = out[copy(out, in[:i]):]
			out = out[copy(out, with):]
			in = in[i+len(what):]
		}
	})
}
