package structs

import (
	"bytes"
	"testing"
)

func TestDigestTellsRowsApart(t *testing.T) {
	one, two := NewSQLRow(IntegerValue(1)), NewSQLRow(IntegerValue(2))
	seen := map[string]string{}
	for name, rows := range map[string][]SQLRow{
		"none": {}, "empty": {nil}, "one": {one}, "one two": {one, two}, "two one": {two, one},
		"both in one row": {append(bytes.Clone(one), two...)},
	} {
		d := NewSQLDigest()
		for _, r := range rows {
			d.Add(r)
		}
		if other, ok := seen[string(d.Sum())]; ok {
			t.Errorf("%q and %q have one digest", name, other)
		}
		seen[string(d.Sum())] = name
	}
}
