package structs

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"
)

func TestFramesComeBackInOrder(t *testing.T) {
	chunks := []SQLChunk{
		{Begin: &SQLBegin{QueryMeta: QueryMeta{Index: 7}, Columns: []string{"a"}, Types: []string{"integer"}}},
		{Rows: []SQLRow{NewSQLRow(IntegerValue(1)), NewSQLRow(TextValue("x"))}},
		{Done: &SQLDone{Rows: 2, Elapsed: 5, Err: Errorf(KindInvalid, "no").WithHint("yes")}},
	}
	var b []byte
	for i := range chunks {
		var err error
		if b, err = AppendFrame(b, &chunks[i]); err != nil {
			t.Fatal(err)
		}
	}
	r := bytes.NewReader(b)
	for i := range chunks {
		var got SQLChunk
		if err := ReadFrame(r, &got); err != nil || !reflect.DeepEqual(got, chunks[i]) {
			t.Fatalf("frame %d: %+v, %v", i, got, err)
		}
	}
	if err := ReadFrame(r, new(SQLChunk)); err != io.EOF {
		t.Fatalf("after the last: %v", err)
	}
}

func TestBrokenFrameIsAnError(t *testing.T) {
	whole, err := AppendFrame(nil, &SQLChunk{Rows: []SQLRow{NewSQLRow(IntegerValue(1))}})
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < len(whole); n++ {
		if err := ReadFrame(bytes.NewReader(whole[:n]), new(SQLChunk)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut to %d of %d bytes: %v", n, len(whole), err)
		}
	}
	if err := ReadFrame(bytes.NewReader([]byte{0xff, 0xff, 0xff, 0xff}), new(SQLChunk)); !errors.Is(err, ErrFrame) {
		t.Fatalf("absurd length: %v", err)
	}
	if err := ReadFrame(bytes.NewReader([]byte{0, 0, 0, 1, 0xc1}), new(SQLChunk)); !errors.Is(err, ErrFrame) {
		t.Fatalf("not msgpack: %v", err)
	}
}
