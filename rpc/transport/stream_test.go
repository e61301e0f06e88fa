package transport

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand"
	"sync/atomic"
	"testing"
	"time"

	"github.com/debros/debros/structs"
)

func newEcho() any { return new(echoRequest) }

func TestStreamCarriesBytesBothWays(t *testing.T) {
	_, addr := start(t, newSide(t, nil).Config, nil, []StreamMethod{{Name: "Test.Copy", New: newEcho,
		Handle: func(_ context.Context, req any, in io.Reader, out io.Writer) error {
			io.WriteString(out, req.(*echoRequest).Text)
			_, err := io.Copy(out, in)
			return err
		}}})
	p := newPool(t, newSide(t, nil).Config, nil)
	data := make([]byte, 5<<20)
	rand.New(rand.NewSource(1)).Read(data)
	var out bytes.Buffer
	if err := p.Stream(withTimeout(t), addr, "Test.Copy", &echoRequest{Text: "head"}, bytes.NewReader(data), &out); err != nil {
		t.Fatal(err)
	}
	if got := out.Bytes(); len(got) != 4+len(data) || string(got[:4]) != "head" || sha256.Sum256(got[4:]) != sha256.Sum256(data) {
		t.Errorf("%d bytes came back", len(got))
	}
	out.Reset()
	if err := p.Stream(withTimeout(t), addr, "Test.Copy", &echoRequest{Text: "only"}, nil, &out); err != nil || out.String() != "only" {
		t.Errorf("without input: %q, %v", out.String(), err)
	}
	if err := p.Stream(withTimeout(t), addr, "Test.Copy", &echoRequest{}, bytes.NewReader(data[:10]), nil); err != nil {
		t.Errorf("without output: %v", err)
	}
}

// A torn input must not look like a complete one: a snapshot restore hangs on it.
func TestBrokenInputIsNoEndOfInput(t *testing.T) {
	saw, begun := make(chan error, 1), make(chan struct{})
	_, addr := start(t, newSide(t, nil).Config, nil, []StreamMethod{{Name: "Test.Sink", New: newEcho,
		Handle: func(_ context.Context, _ any, in io.Reader, _ io.Writer) error {
			in.Read(make([]byte, 1))
			close(begun)
			_, err := io.Copy(io.Discard, in)
			saw <- err
			return err
		}}})
	p := newPool(t, newSide(t, nil).Config, nil)
	torn := errors.New("torn")
	in := io.MultiReader(bytes.NewReader(make([]byte, 100_000)), errReader{torn, begun})
	if err := p.Stream(withTimeout(t), addr, "Test.Sink", &echoRequest{}, in, nil); !errors.Is(err, torn) {
		t.Errorf("the caller got %v", err)
	}
	if err := <-saw; err == nil {
		t.Error("the method took a torn input for a complete one")
	}
}

// errReader fails once the method is at work: a stream broken off sooner may never reach it.
type errReader struct {
	err   error
	after <-chan struct{}
}

func (r errReader) Read([]byte) (int, error) {
	<-r.after
	return 0, r.err
}

type errWriter struct{ err error }

func (w errWriter) Write([]byte) (int, error) { return 0, w.err }

func TestFailingOutputEndsTheMethod(t *testing.T) {
	saw := make(chan error, 1)
	_, addr := start(t, newSide(t, nil).Config, nil, []StreamMethod{{Name: "Test.Flood", New: newEcho,
		Handle: func(_ context.Context, _ any, _ io.Reader, out io.Writer) error {
			for {
				if _, err := out.Write(make([]byte, 10_000)); err != nil {
					saw <- err
					return err
				}
			}
		}}})
	p := newPool(t, newSide(t, nil).Config, nil)
	full := errors.New("disk full")
	if err := p.Stream(withTimeout(t), addr, "Test.Flood", &echoRequest{}, nil, errWriter{full}); !errors.Is(err, full) {
		t.Errorf("the caller got %v", err)
	}
	<-saw
}

func TestMethodErrorEndsTheStream(t *testing.T) {
	want := structs.Errorf(structs.KindConflict, "stop here")
	_, addr := start(t, newSide(t, nil).Config, nil, []StreamMethod{{Name: "Test.Stop", New: newEcho,
		Handle: func(_ context.Context, _ any, in io.Reader, out io.Writer) error {
			io.ReadFull(in, make([]byte, 1000))
			io.WriteString(out, "partial")
			return want
		}}})
	p := newPool(t, newSide(t, nil).Config, nil)
	var out bytes.Buffer
	// The input never ends of itself, and its reader never returns: the method's word must be enough.
	r, w := io.Pipe()
	defer w.Close()
	go w.Write(make([]byte, 1000))
	err := p.Stream(withTimeout(t), addr, "Test.Stop", &echoRequest{}, r, &out)
	if e, ok := err.(*structs.Error); !ok || *e != *want || out.String() != "partial" {
		t.Errorf("%v, output %q", err, out.String())
	}
}

func TestSlowReaderHoldsTheWriterBack(t *testing.T) {
	var written atomic.Int64
	_, addr := start(t, newSide(t, nil).Config, nil, []StreamMethod{{Name: "Test.Flood", New: newEcho,
		Handle: func(_ context.Context, _ any, _ io.Reader, out io.Writer) error {
			buf := make([]byte, 64<<10)
			for {
				if _, err := out.Write(buf); err != nil {
					return err
				}
				written.Add(int64(len(buf)))
			}
		}}})
	p := newPool(t, newSide(t, nil).Config, nil)
	ctx, cancel := context.WithCancel(withTimeout(t))
	first, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- p.Stream(ctx, addr, "Test.Flood", &echoRequest{}, nil, &stuckWriter{ctx: ctx, first: first})
	}()
	<-first
	// It stands still when two looks a while apart see the same.
	last, since := written.Load(), time.Now()
	eventually(t, "the writer stands still", func() bool {
		if now := written.Load(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > 200*time.Millisecond
	})
	if last > 32<<20 {
		t.Errorf("%d bytes went to a reader that reads nothing", last)
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("the cancelled stream ended well")
	}
}

// stuckWriter takes nothing until its context ends.
type stuckWriter struct {
	ctx   context.Context
	first chan struct{}
}

func (w *stuckWriter) Write([]byte) (int, error) {
	close(w.first)
	<-w.ctx.Done()
	return 0, w.ctx.Err()
}

func TestClosingTheServerEndsStreams(t *testing.T) {
	s, addr := start(t, newSide(t, nil).Config, nil, []StreamMethod{{Name: "Test.Wait", New: newEcho,
		Handle: func(ctx context.Context, _ any, in io.Reader, out io.Writer) error {
			io.WriteString(out, "x")
			_, err := in.Read(make([]byte, 1))
			return err
		}}})
	p := newPool(t, newSide(t, nil).Config, nil)
	r, w := io.Pipe()
	defer w.Close()
	or, ow := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- p.Stream(withTimeout(t), addr, "Test.Wait", &echoRequest{}, r, ow) }()
	or.Read(make([]byte, 1))
	s.Close()
	if err := <-done; structs.KindOf(err) != structs.KindUnknownResult && structs.KindOf(err) != structs.KindCanceled {
		t.Errorf("%v", err)
	}
}
