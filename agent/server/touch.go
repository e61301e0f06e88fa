package server

import (
	"io"
	"sync/atomic"
)

// touch notices whether a stream's ends were used: one that was cannot be sent again from its beginning.
type touch struct {
	in  io.Reader
	out io.Writer
	yes atomic.Bool
}

// usedStream is the error of a stream that cannot be repeated.
type usedStream struct{ error }

func (t *touch) reader() io.Reader {
	if t.in == nil {
		return nil
	}
	return readerFunc(func(p []byte) (int, error) {
		t.yes.Store(true)
		return t.in.Read(p)
	})
}

func (t *touch) writer() io.Writer {
	if t.out == nil {
		return nil
	}
	return writerFunc(func(p []byte) (int, error) {
		t.yes.Store(true)
		return t.out.Write(p)
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
