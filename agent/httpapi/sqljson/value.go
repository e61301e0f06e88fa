package sqljson

import (
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/debros/debros/structs"
)

// Scalar reads null, a boolean, a number or a string and appends it to row.
func (r *Reader) Scalar(row structs.SQLRow) (structs.SQLRow, error) {
	switch c := r.Next(); {
	case c == '"':
		text, err := r.Text()
		if err != nil {
			return nil, err
		}
		return row.AppendText(text), nil
	case c == '-' || '0' <= c && c <= '9':
		return r.number(row)
	case c == 't' || c == 'f':
		yes, err := r.Bool()
		if err != nil {
			return nil, err
		}
		if yes {
			return row.AppendInteger(1), nil
		}
		return row.AppendInteger(0), nil
	case r.Null():
		return row.AppendNull(), nil
	}
	return nil, r.wrong("a value")
}

// number keeps a whole number of 64 bits exactly; any other becomes a REAL, unless it is too large even for that.
func (r *Reader) number(row structs.SQLRow) (structs.SQLRow, error) {
	r.Next()
	start := r.pos
	literal, whole, err := r.Number()
	if err != nil {
		return nil, err
	}
	if whole {
		if i, err := strconv.ParseInt(string(literal), 10, 64); err == nil {
			return row.AppendInteger(i), nil
		}
	}
	f, err := strconv.ParseFloat(string(literal), 64)
	if err != nil {
		return nil, r.errorAt(start, "the number is too large for a REAL")
	}
	return row.AppendReal(f), nil
}

// Value reads a value in any of its forms and appends it to row.
func (r *Reader) Value(row structs.SQLRow) (structs.SQLRow, error) {
	if r.Next() != '{' {
		return r.Scalar(row)
	}
	start, done := r.pos, false
	err := r.Object(func(kind string) error {
		text, err := r.Text()
		if err != nil {
			return err
		}
		if done {
			return r.errorAt(start, "a value has one field")
		}
		done = true
		row, err = r.special(row, start, kind, text)
		return err
	})
	if err == nil && !done {
		err = r.errorAt(start, "an empty object is no value")
	}
	return row, err
}

// special is a value that JSON has no form for.
func (r *Reader) special(row structs.SQLRow, start int, kind string, text []byte) (structs.SQLRow, error) {
	switch kind {
	case "blob", "text":
		b := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
		n, err := base64.StdEncoding.Decode(b, text)
		if err != nil {
			return nil, r.errorAt(start, "the %s is not base64", kind)
		}
		if kind == "blob" {
			return row.AppendBlob(b[:n]), nil
		}
		return row.AppendText(b[:n]), nil
	case "real":
		switch string(text) {
		case "Infinity":
			return row.AppendReal(math.Inf(1)), nil
		case "-Infinity":
			return row.AppendReal(math.Inf(-1)), nil
		}
		return nil, r.errorAt(start, `the real is neither "Infinity" nor "-Infinity"; write other numbers as numbers, and NULL for NaN`)
	}
	return nil, r.errorAt(start, `a value that is an object has the field "blob", "text" or "real"`)
}

// AppendRow encodes a row as a JSON list behind b.
func AppendRow(b []byte, row structs.SQLRow) ([]byte, error) {
	b = append(b, '[')
	for first := true; len(row) > 0; first = false {
		if !first {
			b = append(b, ',')
		}
		v, rest, err := row.NextRaw()
		if err != nil {
			return nil, err
		}
		b, row = AppendValue(b, v), rest
	}
	return append(b, ']'), nil
}

// AppendValue encodes a value behind b.
func AppendValue(b []byte, v structs.SQLRawValue) []byte {
	switch v.Kind {
	case structs.SQLInteger:
		return strconv.AppendInt(b, v.Integer(), 10)
	case structs.SQLReal:
		return appendReal(b, v.Real())
	case structs.SQLText:
		if utf8.Valid(v.Bytes) {
			return AppendString(b, v.Bytes)
		}
		return append(AppendBase64(append(b, `{"text":`...), v.Bytes), '}')
	case structs.SQLBlob:
		return append(AppendBase64(append(b, `{"blob":`...), v.Bytes), '}')
	}
	return append(b, "null"...)
}

func appendReal(b []byte, f float64) []byte {
	switch {
	case math.IsInf(f, 1):
		return append(b, `{"real":"Infinity"}`...)
	case math.IsInf(f, -1):
		return append(b, `{"real":"-Infinity"}`...)
	}
	start := len(b)
	b = AppendFloat(b, f)
	for _, c := range b[start:] {
		if c == '.' || c == 'e' {
			return b
		}
	}
	return append(b, ".0"...) // or a reader would take it for an INTEGER
}

// AppendFloat encodes a finite number in the shortest form that gives it back, with an exponent where encoding/json
// would use one.
func AppendFloat(b []byte, f float64) []byte {
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(b, f, format, -1, 64)
}

// AppendBase64 encodes bytes as a JSON string in base64.
func AppendBase64(b, data []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(append(b, '"'), data), '"')
}

// AppendString encodes s as a JSON string; what is no UTF-8 in it becomes U+FFFD.
func AppendString[T string | []byte](b []byte, s T) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := decodeRune(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(append(b, s[from:i]...), "\ufffd"...)
				from = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[from:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
		i++
		from = i
	}
	return append(append(b, s[from:]...), '"')
}

func decodeRune[T string | []byte](s T) (rune, int) {
	var head [utf8.UTFMax]byte
	return utf8.DecodeRune(head[:copy(head[:], s)])
}
