// Package sqltext reads and writes SQL as text: it splits a text into statements and writes names and
// values as literals. What a statement means is for the database to say.
//
// Contract: a text is split where SQLite's own sqlite3_complete says that a statement is complete. It is
// read as a stream; memory holds one statement.
package sqltext

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// statementBytesMax bounds a statement and the comments before it; servers allow much less.
const statementBytesMax = 64 << 20

// Statement is one statement of a text.
type Statement struct {
	Text string // without the ';' behind it and without blanks and comments before it
	Line int    // where it begins, from 1
}

// Splitter reads statements from a text.
type Splitter struct {
	in   *bufio.Reader
	m    machine
	buf  []byte
	line int // in which the next byte is
	at   Statement
	err  error
}

// NewSplitter reads from r.
func NewSplitter(r io.Reader) *Splitter {
	return &Splitter{in: bufio.NewReaderSize(r, 64<<10), line: 1}
}

// Next reads the next statement; false at the end of the text or at an error.
func (s *Splitter) Next() bool {
	for {
		start := s.line
		more := s.scan()
		if s.err != nil {
			return false
		}
		if skip := blank(s.buf); skip < len(s.buf) {
			s.at = Statement{Text: strings.TrimSpace(string(s.buf[skip:])), Line: start + countLines(s.buf[:skip])}
			return true
		}
		if !more {
			return false
		}
	}
}

// Statement is what Next read.
func (s *Splitter) Statement() Statement { return s.at }

// Err is why Next said false; nil at the end of the text.
func (s *Splitter) Err() error { return s.err }

// scan reads into buf up to a ';' that ends a statement, which true says, or to the end of the text.
func (s *Splitter) scan() bool {
	s.buf, s.m = s.buf[:0], machine{}
	start := s.line
	for {
		c, err := s.in.ReadByte()
		if errors.Is(err, io.EOF) {
			if open := s.m.open(); open != "" {
				s.err = fmt.Errorf("the text ends inside %s; the statement begins in line %d", open, start+countLines(s.buf[:blank(s.buf)]))
			}
			return false
		}
		if err != nil {
			s.err = err
			return false
		}
		if c == '\n' {
			s.line++
		}
		if s.m.next(c) {
			return true
		}
		if s.buf = append(s.buf, c); len(s.buf) > statementBytesMax {
			s.err = fmt.Errorf("the statement that begins in line %d has more than %d bytes", start+countLines(s.buf[:blank(s.buf)]), statementBytesMax)
			return false
		}
	}
}

// Split is every statement of a text that is at hand. rest is what is behind the last ';': a statement that is
// not complete, or "".
func Split(text string) (complete []Statement, rest string) {
	var m machine
	from, line := 0, 1
	for i := range len(text) {
		if !m.next(text[i]) {
			continue
		}
		part := []byte(text[from:i])
		if skip := blank(part); skip < len(part) {
			complete = append(complete, Statement{Text: strings.TrimSpace(string(part[skip:])), Line: line + countLines(part[:skip])})
		}
		line += countLines(part)
		from, m = i+1, machine{}
	}
	rest = text[from:]
	if blank([]byte(rest)) == len(rest) && m.open() == "" {
		rest = ""
	}
	return complete, rest
}

// FirstWord is a statement's first word in lower case, comments before it left out.
func FirstWord(statement string) string {
	text := statement[blank([]byte(statement)):]
	n := 0
	for n < len(text) && isWord(text[n]) {
		n++
	}
	return strings.ToLower(text[:n])
}

func countLines(b []byte) int {
	n := 0
	for _, c := range b {
		if c == '\n' {
			n++
		}
	}
	return n
}

// blank is the length of the blanks and comments that b begins with, and of a byte order mark.
func blank(b []byte) int {
	i := 0
	if strings.HasPrefix(string(b[:min(len(b), 3)]), "\ufeff") {
		i = 3
	}
	for i < len(b) {
		rest := string(b[i:min(len(b), i+2)])
		switch {
		case isSpace(b[i]):
			i++
		case rest == "--":
			for i < len(b) && b[i] != '\n' {
				i++
			}
		case rest == "/*":
			end := strings.Index(string(b[i+2:]), "*/")
			if end < 0 {
				return len(b)
			}
			i += 2 + end + 2
		default:
			return i
		}
	}
	return i
}
