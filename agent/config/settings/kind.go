package settings

import (
	"errors"
	"maps"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// kind is a type a key can have.
type kind uint8

const (
	kindString kind = iota
	kindBool
	kindInt
	kindUint
	kindFloat
	kindDuration
	kindList
	kindMap
)

// kindNames are for the reference and for errors.
var kindNames = [...]string{"string", "bool", "number", "number", "number", "duration", "list of strings", "map of strings"}

func (k kind) String() string { return kindNames[k] }

// ordered reports whether values can be above and below others.
func (k kind) ordered() bool {
	switch k {
	case kindInt, kindUint, kindFloat, kindDuration:
		return true
	}
	return false
}

func kindOf(t reflect.Type) (kind, int) {
	if t == reflect.TypeFor[time.Duration]() {
		return kindDuration, 64
	}
	switch t.Kind() {
	case reflect.String:
		return kindString, 0
	case reflect.Bool:
		return kindBool, 0
	case reflect.Int, reflect.Int64:
		return kindInt, t.Bits()
	case reflect.Uint, reflect.Uint64:
		return kindUint, t.Bits()
	case reflect.Float64:
		return kindFloat, 64
	case reflect.Slice:
		return kindList, 0
	case reflect.Map:
		return kindMap, 0
	}
	panic("settings: a key of type " + t.String())
}

// parse reads a value as environment, flags and default tags write it. The error does not repeat the
// text, which may be a secret.
func (f *field) parse(s string) (any, error) {
	switch f.kind {
	case kindBool:
		b, err := strconv.ParseBool(s)
		if err != nil {
			return nil, errors.New("must be true or false")
		}
		return b, nil
	case kindInt:
		return f.number(strconv.ParseInt(s, 10, f.bits))
	case kindUint:
		return f.number(strconv.ParseUint(s, 10, f.bits))
	case kindFloat:
		v, err := strconv.ParseFloat(s, 64)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			err = strconv.ErrRange
		}
		return f.number(v, err)
	case kindDuration:
		return parseDuration(s)
	case kindList:
		var list []string
		for e := range strings.SplitSeq(s, ",") {
			if e = strings.TrimSpace(e); e != "" {
				list = append(list, e)
			}
		}
		return list, nil
	case kindMap:
		return parseMap(s)
	}
	return s, nil
}

func (f *field) number(v any, err error) (any, error) {
	switch {
	case errors.Is(err, strconv.ErrRange):
		return nil, errors.New("number out of range")
	case err != nil && f.kind == kindFloat:
		return nil, errors.New("must be a number")
	case err != nil && f.kind == kindUint:
		return nil, errors.New("must be a whole number, not negative")
	case err != nil:
		return nil, errors.New("must be a whole number")
	}
	return v, nil
}

func parseDuration(s string) (any, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return nil, errors.New(`must be a duration such as "10s", "1m30s" or "200ms"`)
	}
	return d, nil
}

func parseMap(s string) (any, error) {
	m := map[string]string{}
	for pair := range strings.SplitSeq(s, ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		one, err := parsePair(pair)
		if err != nil {
			return nil, err
		}
		maps.Copy(m, one)
	}
	return m, nil
}

// parsePair reads key:value or key=value; the value may hold either sign again.
func parsePair(s string) (map[string]string, error) {
	i := strings.IndexAny(s, ":=")
	if i <= 0 {
		return nil, errors.New("must be key:value")
	}
	return map[string]string{strings.TrimSpace(s[:i]): strings.TrimSpace(s[i+1:])}, nil
}
