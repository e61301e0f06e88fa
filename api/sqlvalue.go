package api

import (
	"bytes"
	"database/sql/driver"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// A value of a database is one of nil, int64, float64, string and []byte. In JSON an INTEGER is a number
// without '.' or exponent, a REAL a number with one, and what JSON cannot say is an object:
// {"blob": base64}, {"text": base64} where a text is not UTF-8, {"real": "Infinity"}.

// timeForm is SQLite's own, in UTC: without a letter at its end, a shorter fraction sorts first as it should.
const timeForm = "2006-01-02 15:04:05.999999999"

// appendArgs appends the JSON of arguments: an array, or an object when they have names.
func appendArgs(b []byte, args []any) ([]byte, error) {
	named := len(args) > 0
	for i, a := range args {
		_, ok := a.(NamedArg)
		if i > 0 && ok != named {
			return nil, errors.New("either all arguments have names or none has")
		}
		named = ok
	}
	b = append(b, "[{"[btoi(named)])
	seen := map[string]bool{}
	for i, a := range args {
		if i > 0 {
			b = append(b, ',')
		}
		what := fmt.Sprintf("argument %d", i+1)
		if n, ok := a.(NamedArg); ok {
			if n.Name == "" || seen[n.Name] {
				return nil, fmt.Errorf("argument %d: the name %q is empty or comes twice", i+1, n.Name)
			}
			seen[n.Name] = true
			b = append(appendString(b, n.Name), ':')
			a, what = n.Value, "argument "+n.Name
		}
		v, err := toValue(a)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		b = appendValue(b, v)
	}
	return append(b, "]}"[btoi(named)]), nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// SQLValue is an argument as the database keeps it: nil, int64, float64, string or []byte. See Stmt for what
// an argument may be; a NamedArg is not one value.
func SQLValue(arg any) (any, error) {
	v, err := toValue(arg)
	if err != nil {
		return nil, errorf(KindInvalid, "%v", err)
	}
	return v, nil
}

// toValue turns an argument into one of the five kinds of values.
func toValue(a any) (any, error) {
	switch v := a.(type) {
	case nil, int64, string:
		return v, nil
	case []byte:
		if v == nil {
			return nil, nil
		}
		return v, nil
	case int:
		return int64(v), nil
	case NamedArg:
		return nil, errors.New("a name has a name")
	}
	// Pointers, Valuers, types made of others: as database/sql does it, which refuses a uint64 beyond int64.
	v, err := driver.DefaultParameterConverter.ConvertValue(a)
	if err != nil {
		return nil, fmt.Errorf("a %T is no value of SQL: %w", a, err)
	}
	switch v := v.(type) {
	case bool:
		return int64(btoi(v)), nil
	case float64:
		if math.IsNaN(v) {
			return nil, errors.New("NaN is no value of SQL; nil is NULL")
		}
	case []byte:
		if v == nil {
			return nil, nil
		}
	case time.Time:
		return v.UTC().Format(timeForm), nil
	}
	return v, nil
}

// appendValue appends the JSON of one of the five kinds of values.
func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		return appendReal(b, v)
	case string:
		if !utf8.ValidString(v) {
			return appendBase64(append(b, `{"text":"`...), []byte(v))
		}
		return appendString(b, v)
	case []byte:
		return appendBase64(append(b, `{"blob":"`...), v)
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
	b = strconv.AppendFloat(b, f, 'g', -1, 64)
	if !bytes.ContainsAny(b[start:], ".e") {
		b = append(b, ".0"...)
	}
	return b
}

func appendBase64(b, data []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(b, data), `"}`...)
}

func appendString(b []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // of a string: cannot fail
	return append(b, quoted...)
}

// rowBody is the values of one row, as they come.
type rowBody []any

// UnmarshalJSON implements json.Unmarshaler.
func (r *rowBody) UnmarshalJSON(data []byte) error {
	values, err := parseRow(data, nil)
	*r = values
	return err
}

// MarshalJSON implements json.Marshaler.
func (r rowBody) MarshalJSON() ([]byte, error) { return appendArgs(nil, r) }

var errRowJSON = errors.New("a row is not what JSON of SQL values is")

// parseRow appends the values of one row, a JSON array, to into. It is much quicker than encoding/json
// and tells integers from reals.
func parseRow(data []byte, into []any) ([]any, error) {
	data = bytes.TrimSpace(data)
	if len(data) < 2 || data[0] != '[' || data[len(data)-1] != ']' {
		return into, errRowJSON
	}
	rest := skipSpace(data[1:])
	if rest[0] == ']' {
		return into, atEnd(rest)
	}
	for {
		v, after, err := parseValue(rest)
		if err != nil {
			return into, err
		}
		into = append(into, v)
		after = skipSpace(after)
		if len(after) == 0 {
			return into, errRowJSON
		}
		if after[0] == ']' {
			return into, atEnd(after)
		}
		if after[0] != ',' {
			return into, errRowJSON
		}
		rest = skipSpace(after[1:])
	}
}

func atEnd(b []byte) error {
	if len(b) != 1 {
		return errRowJSON
	}
	return nil
}

func skipSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	return b
}

func parseValue(b []byte) (v any, rest []byte, err error) {
	if len(b) == 0 {
		return nil, nil, errRowJSON
	}
	switch {
	case b[0] == '"':
		return parseString(b)
	case b[0] == '{':
		return parseObject(b)
	case bytes.HasPrefix(b, []byte("null")):
		return nil, b[4:], nil
	case b[0] == '-' || b[0] >= '0' && b[0] <= '9':
		return parseNumber(b)
	}
	return nil, nil, errRowJSON
}

// stringEnd is the index behind the string that b begins with; simple when it has no escapes.
func stringEnd(b []byte) (end int, simple bool) {
	simple = true
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1, simple
		case c == '\\':
			simple = false
			i++
		case c < ' ':
			return -1, false
		}
	}
	return -1, false
}

func parseString(b []byte) (any, []byte, error) {
	if len(b) == 0 || b[0] != '"' {
		return nil, nil, errRowJSON
	}
	end, simple := stringEnd(b)
	if end < 0 {
		return nil, nil, errRowJSON
	}
	if simple {
		return string(b[1 : end-1]), b[end:], nil
	}
	var s string
	if err := json.Unmarshal(b[:end], &s); err != nil {
		return nil, nil, err
	}
	return s, b[end:], nil
}

// parseObject reads {"blob": …}, {"text": …} or {"real": …}: one name and one string.
func parseObject(b []byte) (any, []byte, error) {
	name, rest, err := parseString(skipSpace(b[1:]))
	if err != nil {
		return nil, nil, err
	}
	rest = skipSpace(rest)
	if len(rest) == 0 || rest[0] != ':' {
		return nil, nil, errRowJSON
	}
	text, rest, err := parseString(skipSpace(rest[1:]))
	if err != nil {
		return nil, nil, err
	}
	rest = skipSpace(rest)
	if len(rest) == 0 || rest[0] != '}' {
		return nil, nil, errRowJSON
	}
	v, err := special(name.(string), text.(string))
	return v, rest[1:], err
}

func special(name, text string) (any, error) {
	switch name {
	case "real":
		switch text {
		case "Infinity":
			return math.Inf(1), nil
		case "-Infinity":
			return math.Inf(-1), nil
		}
	case "blob", "text":
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, err
		}
		if name == "text" {
			return string(data), nil
		}
		return data, nil
	}
	return nil, errRowJSON
}

func parseNumber(b []byte) (any, []byte, error) {
	end, real := 0, false
	for end < len(b) {
		c := b[end]
		if c == '.' || c == 'e' || c == 'E' {
			real = true
		} else if c != '-' && c != '+' && (c < '0' || c > '9') {
			break
		}
		end++
	}
	if real {
		f, err := strconv.ParseFloat(string(b[:end]), 64)
		return f, b[end:], err
	}
	i, err := strconv.ParseInt(string(b[:end]), 10, 64)
	return i, b[end:], err
}
