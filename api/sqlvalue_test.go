package api

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
)

// appendRow is the JSON of a row of values.
func appendRow(values []any) []byte {
	b := []byte{'['}
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendValue(b, v)
	}
	return append(b, ']')
}

// FuzzParseRow: what is taken is JSON, and its values come back the same when they are written and read again.
func FuzzParseRow(f *testing.F) {
	f.Add(appendRow([]any{nil, int64(math.MinInt64), 1.0, math.Inf(1), "é\n\"\\\xff", []byte{0, 255}}))
	for _, seed := range []string{`[]`, `[ 1 , "a\u0000\ud83d\ude00" , null ] `, `[{"blob":"AA=="},{"text":"/w=="},{"real":"-Infinity"}]`, `[1e5,-0.0,1E-3]`, `[[1]]`, `[1,]`, `["`, `[{`, `[01]`, `[nullx]`, `[1]]`, `[{"blob":"AA=="}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		values, err := parseRow(data, nil)
		if err != nil {
			return
		}
		again, err := parseRow(appendRow(values), nil)
		if err != nil || len(again) != len(values) {
			t.Fatalf("%q: %v became %v, %v", data, values, again, err)
		}
		for i := range values {
			if !reflect.DeepEqual(values[i], again[i]) {
				t.Fatalf("%q: value %d: %#v became %#v", data, i, values[i], again[i])
			}
		}
		if written := appendRow(values); !json.Valid(written) {
			t.Fatalf("%q: written as %q", data, written)
		}
	})
}

func BenchmarkParseRow(b *testing.B) {
	row := appendRow([]any{int64(123456), "a name of some length", 1234.5678, nil, "another text"})
	var values []any
	b.SetBytes(int64(len(row)))
	for b.Loop() {
		var err error
		if values, err = parseRow(row, values[:0]); err != nil {
			b.Fatal(err)
		}
	}
}
