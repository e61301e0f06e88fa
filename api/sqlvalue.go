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
