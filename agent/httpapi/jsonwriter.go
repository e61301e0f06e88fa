package httpapi

import (
	"context"
)

// jsonWriterBytes is how much of a reply is gathered before it is sent on.
const jsonWriterBytes = 64 << 10

// jsonWriter sends JSON that is written piece by piece, indented where the client wants it.
type jsonWriter struct {
	c      *call
	pretty *indenter // nil = as it is
	buf    []byte
}

func (c *call) jsonWriter() *jsonWriter {
	w := &jsonWriter{c: c}
	if c.pretty() {
		w.pretty = &indenter{}
	}
	c.w.Header().Set("Content-Type", "application/json")
	return w
}

// full sends b on if it is large enough, and returns what to append to next.
func (w *jsonWriter) full(b []byte) ([]byte, error) {
	if len(b) < jsonWriterBytes {
		return b, nil
	}
	return b[:0], w.send(b)
}

// send writes b. It fails as the reader does: gone, or too slow.
func (w *jsonWriter) send(b []byte) error {
	if w.pretty != nil {
		w.buf = w.pretty.append(w.buf[:0], b)
		b = w.buf
	}
	w.c.extendDeadline()
	if _, err := w.c.w.Write(b); err != nil {
		w.c.w.gone = true
		return context.Canceled
	}
	return nil
}

// end writes the last piece.
func (w *jsonWriter) end(b []byte) error {
	if err := w.send(b); err != nil {
		return err
	}
	w.c.clearDeadline()
	if w.pretty != nil {
		w.pretty = nil
		return w.send([]byte("\n"))
	}
	return nil
}

// indenter is json.Indent for JSON that comes in pieces.
type indenter struct {
	depth           int
	inText, escaped bool
	opened          bool // a list or an object has just begun
}

// append indents the piece p behind b.
func (in *indenter) append(b, p []byte) []byte {
	for _, c := range p {
		if in.inText {
			b = append(b, c)
			switch {
			case in.escaped:
				in.escaped = false
			case c == '\\':
				in.escaped = true
			case c == '"':
				in.inText = false
			}
			continue
		}
		closes := c == ']' || c == '}'
		if in.opened && !closes {
			b = in.line(b)
		}
		wasOpened := in.opened
		in.opened = false
		switch c {
		case '"':
			in.inText = true
			b = append(b, c)
		case '[', '{':
			in.opened = true
			in.depth++
			b = append(b, c)
		case ']', '}':
			in.depth--
			if !wasOpened {
				b = in.line(b)
			}
			b = append(b, c)
		case ',':
			b = in.line(append(b, c))
		case ':':
			b = append(b, ':', ' ')
		default:
			b = append(b, c)
		}
	}
	return b
}

func (in *indenter) line(b []byte) []byte {
	b = append(b, '\n')
	for range in.depth {
		b = append(b, "    "...)
	}
	return b
}
