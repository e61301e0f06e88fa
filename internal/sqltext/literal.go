package sqltext

import (
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Name is a name as SQL, quoted.
func Name(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// AppendValue appends a value (nil, int64, float64, string or []byte) as an SQL literal, which gives back exactly
// that value.
func AppendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		return appendReal(b, v)
	case string:
		if strings.IndexByte(v, 0) >= 0 || !utf8.ValidString(v) { // no text of SQL can hold it
			return append(appendBlob(append(b, "CAST("...), v), " AS TEXT)"...)
		}
		b = append(b, '\'')
		for {
			quote := strings.IndexByte(v, '\'')
			if quote < 0 {
				return append(append(b, v...), '\'')
			}
			b, v = append(append(b, v[:quote+1]...), '\''), v[quote+1:]
		}
	case []byte:
		return appendBlob(b, string(v))
	}
	return append(b, "NULL"...)
}

func appendBlob(b []byte, data string) []byte {
	return append(hex.AppendEncode(append(b, "X'"...), []byte(data)), '\'')
}

func appendReal(b []byte, f float64) []byte {
	switch {
	case math.IsInf(f, 1):
		return append(b, "9e999"...)
	case math.IsInf(f, -1):
		return append(b, "-9e999"...)
	}
	start := len(b)
	b = strconv.AppendFloat(b, f, 'g', -1, 64)
	if !strings.ContainsAny(string(b[start:]), ".e") {
		b = append(b, ".0"...)
	}
	return b
}
