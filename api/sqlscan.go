package api

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// SQLRow is one row of a result.
type SQLRow struct {
	columns []string
	values  []any
}

// Columns are the names of the row's columns.
func (r *SQLRow) Columns() []string { return r.columns }

// Values are the row's values: nil, int64, float64, string or []byte, as SQLite stores them.
func (r *SQLRow) Values() []any { return slices.Clone(r.values) }

// Scan puts the row's values into the variables that dest points to, one for each column:
//
//   - *any: the value as it is
//   - *string, *[]byte: text, or the bytes of a blob, or a number as text
//   - pointers to integers: an integer in the range of the type, or a real or a text that is one
//   - *float32, *float64: a number, or a text that is one
//   - *bool: 0 or 1
//   - *time.Time: a text in a form of SQLite's (UTC where it names no zone) or of RFC 3339
//   - a sql.Scanner, as sql.Null is
//   - a pointer to a pointer: nil for NULL, else a new variable
//
// NULL goes into *any, *[]byte, a Scanner and a pointer to a pointer, and is an error elsewhere. A nil
// dest skips its column.
func (r *SQLRow) Scan(dest ...any) error {
	if len(dest) != len(r.values) {
		return errorf(KindInvalid, "scan row: it has %d columns, not %d", len(r.values), len(dest))
	}
	for i, d := range dest {
		if err := scanValue(r.values[i], d); err != nil {
			return errorf(KindInvalid, "scan column %d (%s): %v", i+1, r.columns[i], err)
		}
	}
	return nil
}

// scanner is sql.Scanner.
type scanner interface{ Scan(src any) error }

func scanValue(v, dest any) error {
	switch d := dest.(type) {
	case nil:
		return nil
	case *any:
		*d = v
		return nil
	case scanner:
		return d.Scan(v)
	case *[]byte:
		if v == nil {
			*d = nil
			return nil
		}
		*d = []byte(textOf(v))
		return nil
	case *string:
		if v == nil {
			return errNull(dest)
		}
		*d = textOf(v)
		return nil
	case *time.Time:
		return scanTime(v, d)
	}
	p := reflect.ValueOf(dest)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return fmt.Errorf("a %T is no pointer to a variable", dest)
	}
	return scanKind(v, p.Elem())
}

func errNull(dest any) error {
	return fmt.Errorf("it is NULL, which a %T cannot hold; a pointer to a pointer and sql.Null can", dest)
}

// scanKind scans into a variable by what its type is made of.
func scanKind(v any, to reflect.Value) error {
	if to.Kind() == reflect.Pointer {
		if v == nil {
			to.SetZero()
			return nil
		}
		to.Set(reflect.New(to.Type().Elem()))
		return scanValue(v, to.Interface())
	}
	if v == nil {
		return errNull(to.Addr().Interface())
	}
	switch to.Kind() {
	case reflect.String:
		to.SetString(textOf(v))
		return nil
	case reflect.Bool:
		if i, ok := integerOf(v); ok && (i == 0 || i == 1) {
			to.SetBool(i == 1)
			return nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if i, ok := integerOf(v); ok && !to.OverflowInt(i) {
			to.SetInt(i)
			return nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if i, ok := integerOf(v); ok && i >= 0 && !to.OverflowUint(uint64(i)) {
			to.SetUint(uint64(i))
			return nil
		}
	case reflect.Float32, reflect.Float64:
		if f, ok := realOf(v); ok {
			to.SetFloat(f)
			return nil
		}
	case reflect.Slice:
		if to.Type().Elem().Kind() == reflect.Uint8 {
			to.SetBytes([]byte(textOf(v)))
			return nil
		}
	}
	return fmt.Errorf("%s does not go into a %s", describe(v), to.Type())
}

func describe(v any) string {
	switch v := v.(type) {
	case int64:
		return "integer " + strconv.FormatInt(v, 10)
	case float64:
		return "real " + textOf(v)
	case string:
		return "a text"
	}
	return "a blob"
}

// textOf is a value as text; "" for NULL.
func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		if math.IsInf(v, 0) {
			return map[bool]string{true: "Inf", false: "-Inf"}[v > 0]
		}
		return string(appendReal(nil, v))
	}
	return ""
}

func integerOf(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case float64:
		i := int64(v)
		return i, float64(i) == v && math.Abs(v) < 1<<63
	case string:
		i, err := strconv.ParseInt(v, 10, 64)
		return i, err == nil
	}
	return 0, false
}

func realOf(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	case string:
		f, err := strconv.ParseFloat(v, 64)
		return f, err == nil
	}
	return 0, false
}

// timeForms are those of SQLite's date functions and of RFC 3339. A fraction of seconds may follow any
// that has seconds.
var timeForms = []string{
	"2006-01-02 15:04:05", "2006-01-02 15:04:05Z07:00", time.RFC3339, "2006-01-02T15:04:05", "2006-01-02", "2006-01-02 15:04", "2006-01-02T15:04",
}

// ParseSQLTime reads a time as text: in the forms of SQLite's date functions, UTC where it names no zone, or
// in that of RFC 3339.
func ParseSQLTime(text string) (time.Time, error) {
	for _, form := range timeForms {
		if t, err := time.Parse(form, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errorf(KindInvalid, "a text is no time: %q", text[:min(len(text), 40)])
}

func scanTime(v any, to *time.Time) error {
	if v == nil {
		return errNull(to)
	}
	if text, ok := v.(string); ok {
		if t, err := ParseSQLTime(text); err == nil {
			*to = t
			return nil
		}
	}
	return fmt.Errorf("%s is no time", describe(v))
}
