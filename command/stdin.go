package command

import (
	"context"
	"io"
)

// interruptible is a reader whose Read ends with ctx, though that of r may not: nothing ends a read from
// a terminal, or from a pipe that nobody writes to. The goroutine that waits in it ends with the program.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader. After ctx has ended it never reads again: what r gives to the read that
// was left behind is lost.
func (i *interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	type result struct {
		b   []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		b := make([]byte, len(p)) // not p, which the caller has back when ctx ends
		n, err := i.r.Read(b)
		done <- result{b[:n], err}
	}()
	select {
	case r := <-done:
		return copy(p, r.b), r.err
	case <-i.ctx.Done():
		return 0, i.ctx.Err()
	}
}
