package structs

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

var edgeValues = []SQLValue{
	{}, IntegerValue(0), IntegerValue(-1), IntegerValue(math.MaxInt64), IntegerValue(math.MinInt64),
	RealValue(0), RealValue(math.Copysign(0, -1)), RealValue(math.Inf(1)), RealValue(math.SmallestNonzeroFloat64), RealValue(0.1),
	TextValue(""), TextValue("a\x00b"), TextValue("\xff not UTF-8"), TextValue(strings.Repeat("é", 1000)),
	BlobValue(nil), BlobValue([]byte{0, 1, 255}),
}

func TestRowGivesBackItsValues(t *testing.T) {
	got, err := NewSQLRow(edgeValues...).Values()
	if err != nil || !reflect.DeepEqual(got, edgeValues) {
		t.Fatalf("%v, %v", got, err)
	}
	if got, err := NewSQLRow().Values(); got != nil || err != nil {
		t.Fatalf("an empty row: %v, %v", got, err)
	}
}

func TestValueAnswersOnlyAsItsOwnKind(t *testing.T) {
	for _, v := range edgeValues {
		if v.Kind() != SQLInteger && v.Integer() != 0 || v.Kind() != SQLReal && v.Real() != 0 ||
			v.Kind() != SQLText && v.Kind() != SQLBlob && v.Bytes() != "" {
			t.Errorf("a %v answers as another kind", v.Kind())
		}
	}
	if v := RealValue(math.NaN()); v.Kind() != SQLNull {
		t.Errorf("NaN became a %v", v.Kind())
	}
	if v, _, _ := SQLRow(nil).AppendReal(math.NaN()).Next(); v.Kind() != SQLNull {
		t.Errorf("NaN became a %v", v.Kind())
	}
}

func TestDamagedRowIsAnError(t *testing.T) {
	row := NewSQLRow(IntegerValue(math.MinInt64))
	for n := 1; n < len(row); n++ {
		if _, err := row[:n].Values(); !errors.Is(err, ErrSQLRow) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	for name, bad := range map[string]SQLRow{
		"unknown kind":  {9},
		"endless text":  {byte(SQLText), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
		"text too long": {byte(SQLText), 2, 'a'},
		"short real":    {byte(SQLReal), 1, 2},
		"NaN":           {byte(SQLReal), 0x7f, 0xf8, 0, 0, 0, 0, 0, 1},
	} {
		if _, err := bad.Values(); !errors.Is(err, ErrSQLRow) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzSQLRow(f *testing.F) {
	f.Add([]byte(NewSQLRow(edgeValues...)))
	f.Add([]byte{byte(SQLBlob), 0x80})
	f.Fuzz(func(t *testing.T, data []byte) {
		values, err := SQLRow(data).Values()
		if err != nil {
			return
		}
		again, err := NewSQLRow(values...).Values()
		if err != nil || !reflect.DeepEqual(again, values) {
			t.Fatalf("%v became %v, %v", values, again, err)
		}
	})
}
