package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strconv"
)

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
