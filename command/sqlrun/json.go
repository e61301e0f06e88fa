package sqlrun

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"unicode/utf8"

	"github.com/debros/debros/internal/sqltext"
)

// jsonPrinter writes an array of objects, one on a line, with the columns in their order.
type jsonPrinter struct {
	w     *bufio.Writer
	names [][]byte // `"name":`
	n     int
	line  []byte
}

func newJSONPrinter(w *bufio.Writer, columns []string) *jsonPrinter {
	p := &jsonPrinter{w: w}
	for _, c := range columns {
		p.names = append(p.names, append(appendJSONString(nil, c), ':'))
	}
	return p
}

func (p *jsonPrinter) row(values []any) error {
	p.line = append(p.line[:0], ",\n  {"...)
	if p.n++; p.n == 1 {
		p.line[0] = '['
	}
	for i, v := range values {
		if i > 0 {
			p.line = append(p.line, ',')
		}
		p.line = appendJSON(append(p.line, p.names[i]...), v)
	}
	_, err := p.w.Write(append(p.line, '}'))
	return err
}

func (p *jsonPrinter) end() error {
	end := "\n]\n"
	if p.n == 0 {
		end = "[]\n"
	}
	p.w.WriteString(end)
	return p.w.Flush()
}

// appendJSON writes a value as the HTTP API does: an INTEGER has no '.', a REAL has one or an exponent.
func appendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case string:
		if !utf8.ValidString(v) {
			return append(base64.StdEncoding.AppendEncode(append(b, `{"text":"`...), []byte(v)), `"}`...)
		}
		return appendJSONString(b, v)
	case []byte:
		return append(base64.StdEncoding.AppendEncode(append(b, `{"blob":"`...), v), `"}`...)
	case float64:
		if math.IsInf(v, 1) {
			return append(b, `{"real":"Infinity"}`...)
		}
		if math.IsInf(v, -1) {
			return append(b, `{"real":"-Infinity"}`...)
		}
	}
	return sqltext.AppendValue(b, v)
}

func appendJSONString(b []byte, s string) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // of a string: cannot fail
	return append(b, bytes.TrimRight(buf.Bytes(), "\n")...)
}
