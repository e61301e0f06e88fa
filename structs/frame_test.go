package structs

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
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

func TestFrameWriterHandsOnWholeFrames(t *testing.T) {
	var stream []byte
	sent := []string{"", "a", strings.Repeat("b", 300), "c"}
	for _, s := range sent {
		var err error
		if stream, err = AppendFrame(stream, s); err != nil {
			t.Fatal(err)
		}
	}
	for size := 1; size <= len(stream); size++ {
		var got []string
		w := FrameWriter{Frame: func(p []byte) error {
			var s string
			if err := Decode(p, &s); err != nil {
				return err
			}
			got = append(got, s)
			return nil
		}}
		for rest := stream; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			if _, err := w.Write(rest[:min(size, len(rest))]); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(got, sent) || !w.Whole() {
			t.Fatalf("by %d bytes: %q, whole: %v", size, got, w.Whole())
		}
	}
}

func TestFrameWriterTellsAStreamThatBrokeOff(t *testing.T) {
	stream, err := AppendFrame(nil, "some text")
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < len(stream); n++ {
		w := FrameWriter{Frame: func([]byte) error { return errors.New("no frame is whole") }}
		if _, err := w.Write(stream[:n]); err != nil || w.Whole() {
			t.Fatalf("cut to %d of %d bytes: whole %v, %v", n, len(stream), w.Whole(), err)
		}
	}
}

func TestFrameWriterFails(t *testing.T) {
	stop := errors.New("stop")
	w := FrameWriter{Frame: func([]byte) error { return stop }}
	if _, err := w.Write([]byte{0, 0, 0, 0}); !errors.Is(err, stop) {
		t.Error(err)
	}
	w = FrameWriter{}
	if _, err := w.Write([]byte{0xff, 0, 0, 0}); !errors.Is(err, ErrFrame) {
		t.Error(err)
	}
}
